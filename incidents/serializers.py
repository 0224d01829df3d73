"""The public shapes of incidents, and the bodies that their paths take.

An answer's serializer is its schema; the ``show_`` function beside it makes the answer, which is several times faster
than DRF's own way. The API's tests hold every answer against its schema.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.utils.translation import gettext as _
from rest_framework import serializers

from alerts.models import Severity
from alerts.serializers import AlertSerializer, show_alerts
from incidents.belonging import Belonging
from incidents.entities import ENTITIES
from incidents.models import EXCLUDABLE, Handoff, Incident, IncidentText, SuggestionExclusion
from incidents.suggestions import Suggestion
from opensoar.api.fields import Flag, StrictSerializer, Text, Word, tags


class IncidentSerializer(serializers.Serializer[Any]):
    """A case. From ``number`` on, what the public API does not have stands beside what it has."""

    id = serializers.UUIDField()
    number = serializers.IntegerField()
    title = serializers.CharField()
    description = serializers.CharField(allow_null=True)
    severity = serializers.ChoiceField(Severity.choices)
    status = serializers.ChoiceField(Incident.Status.choices)
    partner = serializers.CharField(allow_null=True)
    tlp = serializers.ChoiceField(Incident.Tlp.choices)
    pap = serializers.ChoiceField(Incident.Pap.choices)
    assigned_to = serializers.UUIDField(allow_null=True)
    assigned_username = serializers.CharField(allow_null=True)
    tags = serializers.ListField(child=serializers.CharField())
    techniques = serializers.ListField(child=serializers.CharField())
    alert_count = serializers.IntegerField()
    determination = serializers.ChoiceField(Incident.Determination.choices, allow_null=True)
    impact = serializers.ChoiceField(Incident.Impact.choices, allow_null=True)
    summary = serializers.CharField(allow_null=True)
    closed_unassessed = serializers.BooleanField()
    contained_at = serializers.DateTimeField(allow_null=True)
    closed_at = serializers.DateTimeField(allow_null=True)
    version = serializers.IntegerField()
    created_at = serializers.DateTimeField()
    updated_at = serializers.DateTimeField()


class HandoffSerializer(serializers.Serializer[Any]):
    """A handoff note, and whether its receiver has taken over."""

    id = serializers.UUIDField()
    incident_id = serializers.UUIDField()
    from_user = serializers.UUIDField(allow_null=True)
    from_username = serializers.CharField(allow_null=True)
    to_user = serializers.UUIDField()
    to_username = serializers.CharField()
    text = serializers.CharField(allow_null=True, help_text="null: erased")
    shift = serializers.CharField(allow_blank=True)
    open_questions = serializers.ListField(child=serializers.CharField())
    acknowledged_at = serializers.DateTimeField(allow_null=True)
    created_at = serializers.DateTimeField()


class SharedSerializer(serializers.Serializer[Any]):
    """An entity that a suggestion's alerts share; ``kind`` is how exclusions call it."""

    entity = serializers.ChoiceField(list(ENTITIES))
    kind = serializers.ChoiceField(list(EXCLUDABLE))
    value = serializers.CharField()
    alerts = serializers.IntegerField(help_text="of the suggestion's that carry it")
    hosts = serializers.IntegerField(help_text="different ones among these")
    total = serializers.IntegerField(help_text="alerts of the last 30 days that carry it, these included")


class SuggestionSerializer(serializers.Serializer[Any]):
    """Alerts that may be one incident; ``alerts`` are the newest 20 of them."""

    id = serializers.CharField()
    title = serializers.CharField()
    partner = serializers.CharField(allow_null=True)
    entity = serializers.ChoiceField(list(ENTITIES), allow_null=True)
    value = serializers.CharField(allow_null=True)
    shared = SharedSerializer(many=True)
    source_ip = serializers.CharField(allow_null=True)
    alert_count = serializers.IntegerField()
    severity = serializers.ChoiceField(Severity.choices)
    score = serializers.IntegerField()
    explanation = serializers.CharField()
    first_seen = serializers.DateTimeField()
    last_seen = serializers.DateTimeField()
    alerts = AlertSerializer(many=True)


class BelongingSerializer(serializers.Serializer[Any]):
    """An open incident that an alert possibly belongs to."""

    incident = IncidentSerializer()
    score = serializers.IntegerField(help_text="0 to 100")
    why = serializers.CharField()


class ExclusionSerializer(serializers.Serializer[Any]):
    """An entity that groups no alerts. ``partner``: whose; null stands for the partner that every installation has."""

    id = serializers.UUIDField()
    partner = serializers.CharField(allow_null=True)
    everybody = serializers.BooleanField(help_text="it holds for the alerts of every partner")
    entity = serializers.ChoiceField(list(EXCLUDABLE))
    value = serializers.CharField()
    reason = serializers.CharField()
    expires_at = serializers.DateTimeField(allow_null=True)
    created_at = serializers.DateTimeField()


class ExclusionIn(StrictSerializer):
    """What to exclude. ``everybody`` takes somebody who sees every partner."""

    entity = Word(list(EXCLUDABLE))
    value = Text(max_length=2_000)
    reason = Text(max_length=500)
    expires_at = serializers.DateTimeField(required=False, allow_null=True)
    partner = Text(required=False, allow_null=True, allow_blank=True, max_length=200)
    everybody = Flag(required=False)


def alert_ids(**kwargs: Any) -> serializers.ListField:
    """Several alerts."""
    return serializers.ListField(child=Text(max_length=100), max_length=200, **kwargs)


class IncidentIn(StrictSerializer):
    """A new incident, with the alerts that are to be in it. ``null`` is as good as nothing."""

    title = Text()
    description = Text(required=False, allow_null=True, allow_blank=True)
    severity = Word(Severity.choices, required=False, allow_null=True)
    tags = tags(required=False, allow_null=True)
    partner = Text(required=False, allow_null=True, allow_blank=True, max_length=200)
    tlp = Word(Incident.Tlp.choices, required=False, allow_null=True)
    pap = Word(Incident.Pap.choices, required=False, allow_null=True)
    assigned_to = Text(required=False, allow_null=True, allow_blank=True)
    alert_ids = alert_ids(required=False, allow_null=True)
    template_id = Text(required=False, allow_null=True)


class IncidentPatch(StrictSerializer):
    """Any of what can be edited. ``null`` leaves a field as it is, but for ``assigned_to``.

    Determination, impact and summary come with ``status: closed``, or assess what was closed without.
    """

    title = Text(required=False, allow_null=True)
    description = Text(required=False, allow_null=True, allow_blank=True)
    severity = Word(Severity.choices, required=False, allow_null=True)
    status = Word(Incident.Status.choices, required=False, allow_null=True)
    tags = tags(required=False, allow_null=True)
    tlp = Word(Incident.Tlp.choices, required=False, allow_null=True)
    pap = Word(Incident.Pap.choices, required=False, allow_null=True)
    assigned_to = Text(required=False, allow_null=True, allow_blank=True)
    determination = Word(Incident.Determination.choices, required=False, allow_null=True)
    impact = Word(Incident.Impact.choices, required=False, allow_null=True)
    summary = Text(required=False, allow_null=True)


class FromAlertIn(StrictSerializer):
    """An incident to link to, or the title of a new one."""

    incident_id = Text(required=False, allow_null=True)
    title = Text(required=False, allow_null=True)
    description = Text(required=False, allow_null=True, allow_blank=True)
    severity = Word(Severity.choices, required=False, allow_null=True)
    tags = tags(required=False, allow_null=True)
    assigned_to = Text(required=False, allow_null=True, allow_blank=True)


class LinkIn(StrictSerializer):
    """An alert, or several; of several, those that are linked already stay as they are."""

    alert_id = Text(required=False)
    alert_ids = alert_ids(required=False, min_length=1)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if len(attrs) != 1:
            raise serializers.ValidationError(_("Give alert_id or alert_ids"))
        return attrs


class CloseIn(StrictSerializer):
    """What it was, what it did, and what there is to say."""

    determination = Word(Incident.Determination.choices)
    impact = Word(Incident.Impact.choices)
    summary = Text()


class HandoffIn(StrictSerializer):
    """To whom, and what they need to know."""

    to_user = Text()
    text = Text()
    shift = Text(required=False, allow_blank=True)
    open_questions = serializers.ListField(child=Text(allow_blank=True), required=False, max_length=100)


class AcceptIn(StrictSerializer):
    """Title and owner of the new incident, or the id or number of one that is there already."""

    title = Text(required=False, allow_null=True, allow_blank=True)
    owner = Text(required=False, allow_null=True, allow_blank=True)
    incident = Text(required=False, allow_null=True)


class DismissIn(StrictSerializer):
    """Why not."""

    reason = Text(required=False, allow_blank=True)


def show_incident(incident: Incident) -> dict[str, Any]:
    """The public Incident shape, and what is ours; wants ``with_related``."""
    owner = incident.assigned_to
    return {
        "id": str(incident.pk),
        "number": incident.number,
        "title": incident.title,
        "description": incident.description,
        "severity": incident.severity,
        "status": incident.status,
        "partner": incident.partner.public_slug,
        "tlp": incident.tlp,
        "pap": incident.pap,
        "assigned_to": str(owner.pk) if owner else None,
        "assigned_username": owner.username if owner else None,
        "tags": incident.tags,
        "techniques": incident.techniques,
        "alert_count": getattr(incident, "alert_count", 0),
        "determination": incident.determination,
        "impact": incident.impact,
        "summary": incident.summary,
        "closed_unassessed": incident.closed_unassessed,
        "contained_at": incident.contained_at,
        "closed_at": incident.closed_at,
        "version": incident.version,
        "created_at": incident.created_at,
        "updated_at": incident.updated_at,
    }


def show_incidents(rows: list[Incident]) -> list[dict[str, Any]]:
    """Many incidents."""
    return [show_incident(incident) for incident in rows]


def show_handoffs(rows: Iterable[Handoff]) -> list[dict[str, Any]]:
    """Handoff notes with their words; wants both people and the acknowledgement selected. One query."""
    rows = list(rows)
    texts = dict(IncidentText.objects.filter(pk__in=[row.entry_id for row in rows]).values_list("pk", "text"))
    return [_handoff(row, texts.get(row.entry_id)) for row in rows]


def _handoff(handoff: Handoff, text: str | None) -> dict[str, Any]:
    acknowledgement = getattr(handoff, "acknowledgement", None)
    sender = handoff.from_user
    return {
        "id": str(handoff.pk),
        "incident_id": str(handoff.incident_id),
        "from_user": str(sender.pk) if sender else None,
        "from_username": sender.username if sender else None,
        "to_user": str(handoff.to_user_id),
        "to_username": handoff.to_user.username,
        "text": text,
        "shift": handoff.shift,
        "open_questions": handoff.open_questions,
        "acknowledged_at": acknowledgement.at if acknowledgement else None,
        "created_at": handoff.created_at,
    }


def show_suggestion(found: Suggestion) -> dict[str, Any]:
    """A suggestion; ``source_ip`` as the public API has it."""
    return {
        "id": found.id,
        "title": found.title,
        "partner": found.partner.public_slug,
        "entity": found.entity,
        "value": found.value,
        "shared": [
            {
                "entity": one.entity,
                "kind": one.kind,
                "value": one.value,
                "alerts": one.count,
                "hosts": one.hosts,
                "total": one.total,
            }
            for one in found.evidence.shared
        ],
        "source_ip": next((one.value for one in found.evidence.shared if one.entity == "source_ip"), None),
        "alert_count": found.alert_count,
        "severity": found.severity,
        "score": found.score,
        "explanation": found.explanation,
        "first_seen": found.first_seen,
        "last_seen": found.last_seen,
        "alerts": show_alerts(found.alerts),
    }


def show_belonging(found: Belonging) -> dict[str, Any]:
    """An incident that an alert possibly belongs to."""
    return {"incident": show_incident(found.incident), "score": found.score, "why": found.why}


def show_exclusion(row: SuggestionExclusion) -> dict[str, Any]:
    """An exclusion."""
    return {
        "id": str(row.pk), "partner": row.partner.public_slug if row.partner else None,
        "everybody": row.partner_id is None, "entity": row.entity, "value": row.value, "reason": row.reason,
        "expires_at": row.expires_at, "created_at": row.created_at,
    }  # fmt: skip
