"""REST: observables, what sources say about them, and what they are put on."""

from __future__ import annotations

from typing import Any, ClassVar

from django.db import transaction
from django.utils.translation import gettext as _
from drf_spectacular.utils import PolymorphicProxySerializer, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from alerts import services
from alerts.access import get_alert_for, get_observable_for
from alerts.api_filters import ObservableFilter
from alerts.holders import holders
from alerts.iocs import parse_text
from alerts.models import Observable
from alerts.serializers import (
    EnrichmentIn,
    ObservableIn,
    ObservableSerializer,
    ObservablesIn,
    ParsedTextSerializer,
    ParseIn,
    RemovedSerializer,
    show_added,
    show_observables,
    typed_values,
)
from alerts.services.observables import TypedValue
from opensoar.actors import Actor
from opensoar.api.base import ApiView, query_parameters
from opensoar.api.pagination import CURSOR_PARAMETER, PAGE_PARAMETERS, envelope, paginate
from opensoar.errors import Invalid

READ, MANAGE = "observables:read", "observables:manage"
READ_OR_MANAGE = {"GET": READ, "POST": MANAGE}
ADDED = PolymorphicProxySerializer(
    "ObservablesAdded",
    [ObservableSerializer, envelope("observables", ObservableSerializer)],
    resource_type_field_name=None,
)


class ObservablesView(ApiView):
    capabilities: ClassVar[dict[str, str]] = READ_OR_MANAGE

    @extend_schema(
        operation_id="observables_list",
        responses=envelope("observables", ObservableSerializer, cursor=True),
        parameters=[*PAGE_PARAMETERS, CURSOR_PARAMETER, *query_parameters(ObservableFilter)],
    )
    def get(self, request: Request) -> Response:
        """Observables, newest first."""
        found = self.filtered(ObservableFilter, Observable.objects.visible_to(self.actor).order_by("-id"))
        return paginate(request, found, "observables", show_observables, cursor=True)

    @extend_schema(request=ObservableIn, responses={201: ObservableSerializer})
    def post(self, request: Request) -> Response:
        """Keep one, on an alert, an incident, both or nothing; the existing one where there is one."""
        row = _keep(self.actor, self.body(ObservableIn))
        return Response(show_observables([row])[0], status=201)


@transaction.atomic
def _keep(actor: Actor, body: dict[str, Any]) -> Observable:
    values: list[TypedValue] = [(body["type"], body["value"])]
    source = body.get("source")
    rows: list[Observable] = []
    # Before the alert, whose lock comes after those of what holds alerts.
    for field, put in holders().items():
        if pk := body.get(field):
            rows += put(actor=actor, pk=pk, values=values, source=source)
    if pk := body.get("alert_id"):
        alert = get_alert_for(actor, pk, "alerts:update")
        rows += services.add_observables(actor=actor, alert=alert, values=values, source=source)
    if not rows:
        return services.create_observable(
            actor=actor, type=body["type"], value=body["value"], source=source, partner=body.get("partner")
        )
    if body.get("partner"):
        raise Invalid(_("The partner is that of what it is put on"), field="partner")
    if len({row.pk for row in rows}) > 1:
        raise Invalid(_("The two belong to different partners"))
    return rows[0]


class ParseView(ApiView):
    capability = READ

    @extend_schema(request=ParseIn, responses=ParsedTextSerializer)
    def post(self, request: Request) -> Response:
        """What a pasted text mentions. Nothing is kept."""
        found = parse_text(self.body(ParseIn)["text"])
        shown = [
            {"type": one.type, "value": one.value, "internal": one.internal} for one in found.observables
        ]
        return Response({"observables": shown, "total": len(shown), "notes": found.notes})


class ObservableView(ApiView):
    capability = READ

    @extend_schema(operation_id="observables_get", responses=ObservableSerializer)
    def get(self, request: Request, pk: str) -> Response:
        """One observable."""
        return Response(show_observables([get_observable_for(self.actor, pk, READ)])[0])


class EnrichmentsView(ApiView):
    capability = MANAGE

    @extend_schema(request=EnrichmentIn, responses=ObservableSerializer)
    def post(self, request: Request, pk: str) -> Response:
        """Keep what a source says, in place of what it said before."""
        observable = get_observable_for(self.actor, pk, MANAGE)
        services.add_enrichment(actor=self.actor, observable=observable, **self.body(EnrichmentIn))
        return Response(show_observables([get_observable_for(self.actor, pk, READ)])[0])


class EnrichmentView(ApiView):
    capability = MANAGE

    @extend_schema(responses={200: RemovedSerializer})
    def delete(self, request: Request, pk: str, source: str) -> Response:
        """Forget what a source said."""
        observable = get_observable_for(self.actor, pk, MANAGE)
        removed = services.remove_enrichment(actor=self.actor, observable=observable, source=source)
        return Response(
            {
                "observable_id": str(observable.pk),
                "source": source,
                "cache_cleared": 1,
                "records_removed": removed,
            }
        )


class AlertObservablesView(ApiView):
    capabilities: ClassVar[dict[str, str]] = READ_OR_MANAGE

    @extend_schema(
        operation_id="alert_observables",
        responses=envelope("observables", ObservableSerializer),
        parameters=PAGE_PARAMETERS,
    )
    def get(self, request: Request, pk: str) -> Response:
        """What the alert mentions, newest first."""
        alert = get_alert_for(self.actor, pk, "alerts:read")
        found = Observable.objects.visible_to(self.actor).filter(alerts=alert).order_by("-id")
        return paginate(request, found, "observables", show_observables)

    @extend_schema(request=ObservablesIn, responses={201: ADDED})
    def post(self, request: Request, pk: str) -> Response:
        """Put one on it, several, or whatever a text mentions; those that were there already are answered too."""
        alert = get_alert_for(self.actor, pk, "alerts:update")
        body = self.body(ObservablesIn)
        rows = services.add_observables(
            actor=self.actor, alert=alert, values=typed_values(body), source=body.get("source")
        )
        return Response(show_added(rows, body), status=201)
