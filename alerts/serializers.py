"""The public shapes of alerts and observables, and the bodies that their paths take.

An answer's serializer is its schema; the ``show_`` function beside it makes the answer, which is several times faster
than DRF's own way. The API's tests hold every answer against its schema.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.db.models import prefetch_related_objects
from django.utils.translation import gettext as _
from rest_framework import serializers

from alerts.models import Alert, Observable, Severity
from alerts.rules import RuleRecord
from alerts.services.observables import TypedValue, recognised
from opensoar.api.fields import Flag, Number, Object, StrictSerializer, Text, Word, tags

DETERMINED = [choice for choice in Alert.Determination.choices if choice[0] != Alert.Determination.UNKNOWN]
BULK_ACTIONS = ["resolve", "assign", "claim", "change_severity"]


class AlertSerializer(serializers.Serializer[Any]):
    """One detection."""

    id = serializers.UUIDField()
    source = serializers.CharField()  # type: ignore[assignment]
    source_id = serializers.CharField(allow_null=True)
    title = serializers.CharField()
    description = serializers.CharField(allow_null=True)
    severity = serializers.ChoiceField(Severity.choices)
    status = serializers.ChoiceField(Alert.Status.choices)
    source_ip = serializers.CharField(allow_null=True)
    dest_ip = serializers.CharField(allow_null=True)
    hostname = serializers.CharField(allow_null=True)
    username = serializers.CharField(allow_null=True)
    rule_name = serializers.CharField(allow_null=True)
    iocs = serializers.DictField(child=serializers.ListField(child=serializers.CharField()))
    tags = serializers.ListField(child=serializers.CharField())
    partner = serializers.CharField(
        allow_null=True, help_text="null: the partner that every installation has"
    )
    determination = serializers.ChoiceField(Alert.Determination.choices)
    assigned_to = serializers.UUIDField(allow_null=True)
    assigned_username = serializers.CharField(allow_null=True)
    duplicate_count = serializers.IntegerField(help_text="how often it was delivered")
    correlation_id = serializers.UUIDField()
    resolved_at = serializers.DateTimeField(allow_null=True)
    resolve_reason = serializers.CharField(allow_null=True)
    suppressed_by = serializers.UUIDField(allow_null=True, help_text="the suppression that hides it")
    version = serializers.IntegerField(help_text="the ETag")
    created_at = serializers.DateTimeField()
    updated_at = serializers.DateTimeField()


class RuleSerializer(serializers.Serializer[Any]):
    """How a rule of a source has done over the last 90 days, of what the caller sees."""

    source = serializers.CharField()  # type: ignore[assignment]
    rule_name = serializers.CharField()
    alerts = serializers.IntegerField()
    resolved = serializers.IntegerField()
    malicious = serializers.IntegerField()
    suspicious = serializers.IntegerField()
    benign = serializers.IntegerField()
    false_positive_rate = serializers.FloatField(
        allow_null=True, help_text="benign, of those that were determined; null where none was"
    )
    last_at = serializers.DateTimeField(help_text="when its last alert came")


class AlertDetailSerializer(AlertSerializer):
    """One detection, with the latest body that was received for it."""

    normalized = serializers.DictField()
    raw_payload = serializers.JSONField(allow_null=True, help_text="text where it is no JSON object")
    rule = RuleSerializer(allow_null=True, help_text="null where no rule is named")


class BulkSerializer(serializers.Serializer[Any]):
    """How it went; one sentence per alert that failed."""

    updated = serializers.IntegerField()
    failed = serializers.IntegerField()
    errors = serializers.ListField(child=serializers.CharField())  # type: ignore[assignment]


class EnrichmentSerializer(serializers.Serializer[Any]):
    """What one source says about an observable."""

    source = serializers.CharField()  # type: ignore[assignment]
    data = serializers.DictField()  # type: ignore[assignment]
    malicious = serializers.BooleanField(allow_null=True)
    score = serializers.FloatField(allow_null=True)


class ObservableSerializer(serializers.Serializer[Any]):
    """A typed value, one per partner, with what is known about it."""

    id = serializers.UUIDField()
    type = serializers.ChoiceField(Observable.Type.choices)
    value = serializers.CharField()
    source = serializers.CharField(allow_null=True)  # type: ignore[assignment]
    partner = serializers.CharField(allow_null=True)
    internal = serializers.BooleanField(help_text="an address or name of one's own network")
    enrichment_status = serializers.ChoiceField(Observable.EnrichmentStatus.choices)
    enrichments = EnrichmentSerializer(many=True)
    tags = serializers.ListField(child=serializers.CharField())
    created_at = serializers.DateTimeField()


class ParsedObservableSerializer(serializers.Serializer[Any]):
    """What a text mentions, before it is kept."""

    type = serializers.ChoiceField(Observable.Type.choices)
    value = serializers.CharField()
    internal = serializers.BooleanField()


class ParsedTextSerializer(serializers.Serializer[Any]):
    """What a text mentions."""

    observables = ParsedObservableSerializer(many=True)
    total = serializers.IntegerField()
    notes = serializers.ListField(child=serializers.CharField(), help_text="what was left out, if anything")


class RemovedSerializer(serializers.Serializer[Any]):
    """What was forgotten."""

    observable_id = serializers.UUIDField()
    source = serializers.CharField()  # type: ignore[assignment]
    cache_cleared = serializers.IntegerField(help_text="always 1")
    records_removed = serializers.IntegerField()


class AlertPatch(StrictSerializer):
    """Any of what can be edited. ``null`` leaves a field as it is, but for ``partner`` and ``assigned_to``."""

    status = Word(Alert.Status.choices, required=False, allow_null=True)
    severity = Word(Severity.choices, required=False, allow_null=True)
    determination = Word(Alert.Determination.choices, required=False, allow_null=True)
    resolve_reason = Text(required=False, allow_null=True, allow_blank=True)
    tags = tags(required=False, allow_null=True)
    partner = Text(required=False, allow_null=True, help_text="null: the one that every installation has")
    assigned_to = Text(required=False, allow_null=True, allow_blank=True, help_text="null: nobody")
    detail = Text(required=False, allow_null=True, allow_blank=True, help_text="why; stands on the timeline")


class AssignIn(StrictSerializer):
    """The new owner; null for nobody."""

    assigned_to = Text(allow_null=True, allow_blank=True)


class ResolveIn(StrictSerializer):
    """What it was, and why it is done."""

    determination = Word(DETERMINED)
    reason = Text(required=False, allow_null=True, allow_blank=True)


class ReasonIn(StrictSerializer):
    """Why."""

    reason = Text(required=False, allow_null=True, allow_blank=True)


class BulkIn(StrictSerializer):
    """One verb on many alerts."""

    alert_ids = serializers.ListField(child=Text(max_length=100), max_length=1000)
    action = Word(BULK_ACTIONS)
    determination = Word(DETERMINED, required=False, allow_null=True)
    resolve_reason = Text(required=False, allow_null=True, allow_blank=True)
    severity = Word(Severity.choices, required=False, allow_null=True)
    assigned_to = Text(required=False, allow_null=True, allow_blank=True)


class TypedValueIn(StrictSerializer):
    """A value and what it is; aliases (``ipv4``, ``hash``) and defanged forms are understood."""

    type = Text(max_length=100)
    value = Text()


class ObservablesIn(StrictSerializer):
    """One (``type`` and ``value``), several (``observables``), or whatever a ``text`` mentions."""

    type = Text(required=False, max_length=100)
    value = Text(required=False)
    observables = TypedValueIn(many=True, required=False)
    text = Text(required=False)
    source = Text(required=False, allow_null=True, allow_blank=True, max_length=100)  # type: ignore[assignment]

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        ways = [{"type", "value"} & attrs.keys(), {"observables"} & attrs.keys(), {"text"} & attrs.keys()]
        if sum(map(bool, ways)) != 1 or len(ways[0]) == 1:
            raise serializers.ValidationError(_("Give type and value, or observables, or text"))
        return attrs


class ObservableIn(TypedValueIn):
    """An observable, and what it is put on."""

    source = Text(required=False, allow_null=True, allow_blank=True, max_length=100)  # type: ignore[assignment]
    partner = Text(required=False, allow_null=True, allow_blank=True, max_length=200)
    alert_id = Text(required=False, allow_null=True, max_length=100)
    incident_id = Text(required=False, allow_null=True, max_length=100)


class ParseIn(StrictSerializer):
    """Pasted text."""

    text = Text()


class EnrichmentIn(StrictSerializer):
    """What a source says; it replaces what the source said before."""

    source = Text(max_length=100)  # type: ignore[assignment]
    data = Object()  # type: ignore[assignment]
    malicious = Flag(required=False, allow_null=True, default=False)
    score = Number(required=False, allow_null=True)


def show_alert(alert: Alert) -> dict[str, Any]:
    """The public Alert shape, and what is ours; wants ``with_related``."""
    owner = alert.assigned_to
    counter = getattr(alert, "counter", None)
    return {
        "id": str(alert.pk),
        "source": alert.source,
        "source_id": alert.source_id,
        "title": alert.title,
        "description": alert.description,
        "severity": alert.severity,
        "status": alert.status,
        "source_ip": alert.source_ip,
        "dest_ip": alert.dest_ip,
        "hostname": alert.hostname,
        "username": alert.username,
        "rule_name": alert.rule_name,
        "iocs": alert.iocs,
        "tags": alert.tags,
        "partner": alert.partner.public_slug,
        "determination": alert.determination,
        "assigned_to": str(owner.pk) if owner else None,
        "assigned_username": owner.username if owner else None,
        "duplicate_count": counter.duplicate_count if counter else 1,
        "correlation_id": str(alert.correlation_id),
        "resolved_at": alert.resolved_at,
        "resolve_reason": alert.resolve_reason,
        "suppressed_by": str(alert.suppressed_by_id) if alert.suppressed_by_id else None,
        "version": alert.version,
        "created_at": alert.created_at,
        "updated_at": alert.updated_at,
    }


def show_rule(record: RuleRecord | None) -> dict[str, Any] | None:
    """What :class:`RuleSerializer` says."""
    if record is None:
        return None
    names = ("source", "rule_name", "alerts", "resolved", "malicious", "suspicious", "benign", "last_at")
    return {name: getattr(record, name) for name in names} | {"false_positive_rate": record.benign_share}


def show_alerts(rows: list[Alert]) -> list[dict[str, Any]]:
    """Many alerts."""
    return [show_alert(alert) for alert in rows]


def typed_values(body: dict[str, Any]) -> list[TypedValue]:
    """What the body of :class:`ObservablesIn` names, in whichever of its three ways."""
    if "text" in body:
        return recognised(body["text"])
    return [(item["type"], item["value"]) for item in body.get("observables", [body])]


def show_observables(rows: Iterable[Observable]) -> list[dict[str, Any]]:
    """Observables with their enrichments: two queries at most, however many, none if they were fetched before."""
    rows = list(rows)
    prefetch_related_objects(rows, "enrichments", "partner")
    return [_observable(row) for row in rows]


def show_added(rows: Iterable[Observable], body: dict[str, Any]) -> Any:
    """The answer to :class:`ObservablesIn`: the one observable, or the list of several."""
    shown = show_observables(rows)
    return shown[0] if "value" in body else {"observables": shown, "total": len(shown)}


def _observable(row: Observable) -> dict[str, Any]:
    return {
        "id": str(row.pk),
        "type": row.type,
        "value": row.value,
        "source": row.source,
        "partner": row.partner.public_slug,
        "internal": row.internal,
        "enrichment_status": row.enrichment_status,
        "enrichments": [
            {"source": e.source, "data": e.data, "malicious": e.malicious, "score": e.score}
            for e in row.enrichments.all()
        ],
        "tags": row.tags,
        "created_at": row.created_at,
    }
