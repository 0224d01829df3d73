"""REST: what is said and seen on an incident: activities, shared timeline, comments, handoffs, observables."""

from __future__ import annotations

from typing import Any, ClassVar

from django.db.models import CharField, Q, QuerySet, Value
from drf_spectacular.utils import OpenApiParameter, PolymorphicProxySerializer, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from alerts.models import Alert, AlertEntry, Observable
from alerts.serializers import ObservableSerializer, ObservablesIn, show_added, show_observables, typed_values
from incidents import serializers as shapes
from incidents import services
from incidents.access import get_handoff_for, get_incident_for
from incidents.models import Handoff, Incident, IncidentEntry
from incidents.serializers import HandoffSerializer, show_handoffs
from opensoar.actors import Actor
from opensoar.api.activities import (
    ActivitySerializer,
    CommentIn,
    TimelineEventSerializer,
    show_activities,
)
from opensoar.api.base import ApiView
from opensoar.api.pagination import PAGE_PARAMETERS, envelope, paginate
from opensoar.text import choice
from opensoar.timeline import first_entries

READ, UPDATE = "incidents:read", "incidents:update"
EVENT_TYPES = ["all", "alert", "incident", "comment"]
EVENT_TYPE = OpenApiParameter("event_type", str, enum=EVENT_TYPES, default="all")


class IncidentActivitiesView(ApiView):
    capability = READ

    @extend_schema(
        operation_id="incident_activities",
        responses=envelope("activities", ActivitySerializer),
        parameters=PAGE_PARAMETERS,
    )
    def get(self, request: Request, pk: str) -> Response:
        """What happened to it, newest first."""
        incident = get_incident_for(self.actor, pk, READ)
        entries = first_entries(IncidentEntry, [incident.pk])
        return paginate(request, entries, "activities", lambda rows: show_activities(rows, "incident"))


class IncidentTimelineView(ApiView):
    capability = READ

    @extend_schema(
        operation_id="incident_timeline",
        responses=envelope("events", TimelineEventSerializer),
        parameters=[EVENT_TYPE, *PAGE_PARAMETERS],
    )
    def get(self, request: Request, pk: str) -> Response:
        """What happened to it and to its alerts, as one timeline, newest first."""
        incident = get_incident_for(self.actor, pk, READ)
        event_type = choice(request.query_params.get("event_type", "all"), EVENT_TYPES, field="event_type")
        return paginate(request, _shared_timeline(self.actor, incident, event_type), "events", _show_events)


def _shared_timeline(actor: Actor, incident: Incident, event_type: str) -> QuerySet[Any, tuple[Any, ...]]:
    """(id, time, source) of the entries of both timelines, newest first; alerts' as far as the actor may see them."""
    kinds: dict[str, QuerySet[Any]] = {}
    if event_type != "alert":
        kinds["incident"] = first_entries(IncidentEntry, [incident.pk])
    if event_type != "incident" and actor.can("alerts:read"):
        linked = Alert.objects.visible_to(actor).filter(incident_links__incident=incident)
        kinds["alert"] = first_entries(AlertEntry, linked.values_list("pk", flat=True))
    if event_type == "comment":
        kinds = {source: entries.filter(action="comment") for source, entries in kinds.items()}
    parts = [
        entries.order_by()
        .annotate(source=Value(source, output_field=CharField()))
        .values_list("id", "occurred_at", "source")
        for source, entries in kinds.items()
    ]
    if not parts:
        return IncidentEntry.objects.none().values_list("id", "occurred_at", "action")
    found = parts[0].union(*parts[1:], all=True) if len(parts) > 1 else parts[0]
    return found.order_by("-occurred_at", "-id")


def _show_events(rows: list[tuple[Any, ...]]) -> list[dict[str, Any]]:
    """The events of (id, time, source), in that order: the same few queries, however many."""
    shown: dict[str, dict[str, Any]] = {}
    for source, model in (("incident", IncidentEntry), ("alert", AlertEntry)):
        ids = [pk for pk, _at, kind in rows if kind == source]
        entries = list(model.objects.filter(pk__in=ids)) if ids else []
        shown |= {event["id"]: event | {"source": source} for event in show_activities(entries, source)}
    return [shown[str(pk)] for pk, _at, _source in rows]


class IncidentCommentsView(ApiView):
    capability = UPDATE

    @extend_schema(request=CommentIn, responses=ActivitySerializer)
    def post(self, request: Request, pk: str) -> Response:
        """Say something."""
        incident = get_incident_for(self.actor, pk, UPDATE)
        entry = services.comment_incident(
            actor=self.actor, incident=incident, text=self.body(CommentIn)["text"]
        )
        return Response(show_activities([entry], "incident")[0])


class IncidentCommentView(ApiView):
    capability = UPDATE

    @extend_schema(request=CommentIn, responses=ActivitySerializer)
    def patch(self, request: Request, pk: str, comment_id: str) -> Response:
        """Change one's own comment; what it was stays in the history."""
        incident = get_incident_for(self.actor, pk, UPDATE)
        text = self.body(CommentIn)["text"]
        edit = services.edit_comment(actor=self.actor, incident=incident, entry_id=comment_id, text=text)
        first = IncidentEntry.objects.get(pk=edit.supersedes or edit.pk)
        return Response(show_activities([first], "incident")[0])


def _handoffs(**found_by: Any) -> QuerySet[Handoff]:
    return Handoff.objects.filter(**found_by).select_related("from_user", "to_user", "acknowledgement")


class HandoffsView(ApiView):
    capabilities: ClassVar[dict[str, str]] = {"GET": READ, "POST": UPDATE}

    @extend_schema(
        operation_id="incident_handoffs",
        responses=envelope("handoffs", HandoffSerializer),
        parameters=PAGE_PARAMETERS,
    )
    def get(self, request: Request, pk: str) -> Response:
        """Its handoff notes, newest first."""
        incident = get_incident_for(self.actor, pk, READ)
        return paginate(request, _handoffs(incident=incident), "handoffs", show_handoffs)

    @extend_schema(request=shapes.HandoffIn, responses={201: HandoffSerializer})
    def post(self, request: Request, pk: str) -> Response:
        """Hand it over."""
        incident = get_incident_for(self.actor, pk, UPDATE)
        handoff = services.hand_off(actor=self.actor, incident=incident, **self.body(shapes.HandoffIn))
        return Response(show_handoffs(_handoffs(pk=handoff.pk))[0], status=201)


class AcknowledgeView(ApiView):
    capability = UPDATE

    @extend_schema(request=None, responses=HandoffSerializer)
    def post(self, request: Request, pk: str) -> Response:
        """Take over."""
        handoff = get_handoff_for(self.actor, pk, UPDATE)
        services.acknowledge_handoff(actor=self.actor, handoff=handoff)
        return Response(show_handoffs(_handoffs(pk=handoff.pk))[0])


class IncidentObservablesView(ApiView):
    capabilities: ClassVar[dict[str, str]] = {"GET": "observables:read", "POST": "observables:manage"}

    @extend_schema(operation_id="incident_observables", responses=ObservableSerializer(many=True))
    def get(self, request: Request, pk: str) -> Response:
        """What somebody put on it, and what its alerts mention; newest first."""
        incident = get_incident_for(self.actor, pk, READ)
        linked = Alert.objects.visible_to(self.actor).filter(incident_links__incident=incident)
        found = Q(incidents=incident) | Q(alerts__in=linked.values("pk"))
        rows = Observable.objects.visible_to(self.actor).filter(found).distinct()
        return Response(show_observables(rows.order_by("-id")))

    @extend_schema(
        request=ObservablesIn,
        responses={
            201: PolymorphicProxySerializer(
                "ObservablesAdded",
                [ObservableSerializer, envelope("observables", ObservableSerializer)],
                resource_type_field_name=None,
            )
        },
    )
    def post(self, request: Request, pk: str) -> Response:
        """Put one on it (``type``, ``value``), several (``observables``), or whatever a ``text`` mentions."""
        incident = get_incident_for(self.actor, pk, UPDATE)
        body = self.body(ObservablesIn)
        rows = services.add_observables(
            actor=self.actor, incident=incident, values=typed_values(body), source=body.get("source")
        )
        return Response(show_added(rows, body), status=201)
