"""The figures of a dashboard: one pass over the alerts that the caller sees, one over the runs, four short lists."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.db.models import Count, DurationField, ExpressionWrapper, F, Q, Sum
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from alerts.models import Alert, Delivery, Severity, SourceHealth
from alerts.querysets import AlertQuerySet
from alerts.serializers import AlertSerializer, show_alerts
from opensoar.accounts.models import Partner
from opensoar.actors import Actor
from opensoar.api.base import ApiView
from playbooks_engine.models import LIVE_STATES, PlaybookRun
from playbooks_engine.serializers import RunSerializer, show_runs

QUEUE, MINE, RECENT = 10, 50, 5
QUARANTINED = 10_000
RESOLVED = Alert.Status.RESOLVED


class StatsSerializer(serializers.Serializer[Any]):
    """What the dashboard shows. Partners are named by their slug; times are seconds."""

    alerts_by_severity = serializers.DictField(child=serializers.IntegerField())
    alerts_by_status = serializers.DictField(child=serializers.IntegerField())
    alerts_by_partner = serializers.DictField(child=serializers.IntegerField())
    alerts_by_determination = serializers.DictField(child=serializers.IntegerField())
    open_by_partner = serializers.DictField(child=serializers.IntegerField())
    mttr_by_partner = serializers.DictField(child=serializers.FloatField())
    total_alerts = serializers.IntegerField()
    total_runs = serializers.IntegerField()
    open_alerts = serializers.IntegerField()
    alerts_today = serializers.IntegerField()
    active_runs = serializers.IntegerField()
    unassigned_count = serializers.IntegerField(help_text="open alerts without an owner")
    mttr_seconds = serializers.FloatField(
        allow_null=True, help_text="from creation to resolution, on average"
    )
    silent_sources = serializers.IntegerField(help_text="sources that are silent for thrice their usual gap")
    quarantined_deliveries = serializers.IntegerField(
        help_text="bodies that wait for a look, counted up to 10,000"
    )
    priority_queue = AlertSerializer(many=True)
    my_alerts = AlertSerializer(many=True)
    recent_runs = RunSerializer(many=True)
    recent_alerts = AlertSerializer(many=True)


class DashboardView(ApiView):
    capability = "alerts:read"

    @extend_schema(operation_id="dashboard_stats", responses=StatsSerializer, tags=["dashboard"])
    def get(self, request: Request) -> Response:
        """Counts and short lists of what the caller sees; runs only for those who may read playbooks."""
        actor = self.actor
        return Response(_alert_counts(actor) | _sources(actor) | _alert_lists(actor) | _runs(actor))


def _alert_counts(actor: Actor) -> dict[str, Any]:
    groups = _grouped(actor)
    slugs = dict(
        Partner.objects.filter(pk__in={group["partner_id"] for group in groups}).values_list("pk", "slug")
    )
    counted = {
        name: Counter[Any]()
        for name in ("severity", "status", "determination", "partner_id", "open", "resolved")
    }
    took: dict[UUID, timedelta] = {}
    for group in groups:
        partner, n = group["partner_id"], group["n"]
        for name in ("severity", "status", "determination", "partner_id"):
            counted[name][group[name]] += n
        counted["resolved" if group["status"] == RESOLVED else "open"][partner] += n
        if group["took"] is not None:
            took[partner] = took.get(partner, timedelta()) + group["took"]
    resolved = counted["resolved"]
    return {
        "alerts_by_severity": _complete(counted["severity"], Severity.values),
        "alerts_by_status": _complete(counted["status"], Alert.Status.values),
        "alerts_by_determination": _complete(counted["determination"], Alert.Determination.values),
        "alerts_by_partner": {slugs[pk]: n for pk, n in counted["partner_id"].items()},
        "open_by_partner": {slugs[pk]: n for pk, n in counted["open"].items()},
        "mttr_by_partner": {slugs[pk]: _mean(took[pk], n) for pk, n in resolved.items() if pk in took},
        "total_alerts": counted["partner_id"].total(),
        "open_alerts": counted["open"].total(),
        "alerts_today": sum(group["today"] for group in groups),
        "unassigned_count": sum(group["unassigned"] for group in groups if group["status"] != RESOLVED),
        "mttr_seconds": _mean(sum(took.values(), timedelta()), resolved.total()) if took else None,
    }


def _grouped(actor: Actor) -> list[dict[str, Any]]:
    """Sixty rows a partner at the most, from one scan: every count of the dashboard is a sum of some of them."""
    midnight = timezone.localtime().replace(hour=0, minute=0, second=0, microsecond=0)
    took = ExpressionWrapper(F("resolved_at") - F("created_at"), output_field=DurationField())
    groups = (
        Alert.objects.visible_to(actor)
        .shown()
        .order_by()
        .values("partner_id", "severity", "status", "determination")
        .annotate(
            n=Count("*"),
            today=Count("partner_id", filter=Q(created_at__gte=midnight)),
            unassigned=Count("partner_id", filter=Q(assigned_to__isnull=True)),
            took=Sum(took),
        )
    )
    return [dict(group) for group in groups]


def _sources(actor: Actor) -> dict[str, int]:
    waiting = Delivery.objects.visible_to(actor).filter(state=Delivery.State.QUARANTINED)
    return {
        "silent_sources": SourceHealth.objects.visible_to(actor).filter(silent_since__isnull=False).count(),
        "quarantined_deliveries": waiting.order_by()[:QUARANTINED].count(),
    }


def _complete(found: Counter[Any], words: list[str]) -> dict[str, int]:
    """Every word, also those that nothing has."""
    return {word: found[word] for word in words}


def _mean(total: timedelta, n: int) -> float:
    return round(total.total_seconds() / n, 1)


def _alert_lists(actor: Actor) -> dict[str, Any]:
    rows = Alert.objects.visible_to(actor).shown()
    urgent = rows.open().order_by("-severity_rank", "-id")
    mine = urgent.filter(assigned_to=actor.user_id) if actor.user_id else urgent.none()
    return {
        "priority_queue": _first(urgent, QUEUE),
        "my_alerts": _first(mine, MINE),
        "recent_alerts": _first(rows.order_by("-id"), RECENT),
    }


def _first(rows: AlertQuerySet, limit: int) -> list[dict[str, Any]]:
    """The first of them. They are chosen from the index alone, then read: rows are wide."""
    chosen = Alert.objects.filter(pk__in=rows.values("pk")[:limit])
    return show_alerts(list(chosen.with_related().order_by(*rows.query.order_by)))


def _runs(actor: Actor) -> dict[str, Any]:
    if not actor.can("playbooks:read"):
        return {"total_runs": 0, "active_runs": 0, "recent_runs": []}
    rows = PlaybookRun.objects.visible_to(actor)
    counts = rows.order_by().aggregate(
        total_runs=Count("*"), active_runs=Count("pk", filter=Q(state__in=("pending", *LIVE_STATES)))
    )
    recent = rows.with_related().prefetch_related("calls", "approvals").order_by("-id")[:RECENT]
    return counts | {"recent_runs": show_runs(list(recent))}
