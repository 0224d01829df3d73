"""What a monitoring system scrapes. Every figure is read from the database, from an index that holds open work only.

Web and worker are several processes on maybe several machines; the database is the one place that knows them all.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from django.conf import settings
from django.db.models import Count, Min, QuerySet
from django.http import HttpResponse
from django.utils import timezone
from django.utils.translation import gettext as _
from drf_spectacular.utils import extend_schema
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.registry import Collector
from rest_framework.request import Request

from alerts.models import Alert, Delivery, Severity
from incidents.models import Incident
from opensoar.api.base import ApiView
from opensoar.errors import NotAllowed
from playbooks_engine.models import LIVE_STATES, PlaybookRun, Sequence, WorkerBeat


class MetricsView(ApiView):
    capability = "alerts:read"

    def perform_content_negotiation(self, request: Request, force: bool = False) -> Any:
        """Refusals are JSON whatever a scraper accepts."""
        return super().perform_content_negotiation(request, force=True)

    @extend_schema(exclude=True)
    def get(self, request: Request) -> HttpResponse:
        """Prometheus text, for a token with scope ``read`` that is bound to no partner: it counts everybody's work."""
        if self.actor.partner_ids is not None:
            raise NotAllowed(_("Metrics count every partner's work; use a token that is bound to none"))
        registry = CollectorRegistry()
        registry.register(Figures())
        return HttpResponse(generate_latest(registry), content_type=CONTENT_TYPE_LATEST)


class Figures(Collector):
    """The state of the installation now."""

    def collect(self) -> Iterator[Metric]:
        """Six short queries."""
        yield InfoMetricFamily("opensoar", "What runs here.", value={"version": settings.VERSION})
        alerts = Alert.objects.filter(archived_at__isnull=True).open()
        yield _by_severity("opensoar_alerts_open", "Alerts that are not resolved.", alerts)
        yield _by_severity(
            "opensoar_incidents_open", "Incidents that are not closed.", Incident.objects.open()
        )
        quarantined = Delivery.objects.filter(state=Delivery.State.QUARANTINED).count()
        yield _one("opensoar_deliveries_quarantined", "Deliveries that nobody could understand.", quarantined)
        live = PlaybookRun.objects.filter(state__in=LIVE_STATES)
        yield _family(
            "opensoar_runs", "Runs under way or waiting.", "state", LIVE_STATES, _counted(live, "state")
        )
        ready = Sequence.objects.filter(state=Sequence.State.READY)
        queue = ready.aggregate(n=Count("*"), oldest=Min("created_at"))
        waited = (timezone.now() - queue["oldest"]).total_seconds() if queue["oldest"] else 0.0
        yield _one("opensoar_sequences_ready", "Sequences of runs that no worker has taken yet.", queue["n"])
        yield _one(
            "opensoar_sequences_ready_oldest_seconds", "How long the oldest of them has waited.", waited
        )
        yield _one("opensoar_workers", "Worker processes that claim to live.", WorkerBeat.objects.count())


def _counted(rows: QuerySet[Any], field: str) -> dict[Any, int]:
    return dict(rows.order_by().values_list(field).annotate(n=Count("*")))


def _by_severity(name: str, text: str, rows: QuerySet[Any]) -> GaugeMetricFamily:
    """By rank, which the index of open rows holds; severity itself would have to be read from each row."""
    ranks = _counted(rows, "severity_rank")
    found = {word: ranks.get(rank, 0) for rank, word in enumerate(Severity.values)}
    return _family(name, text, "severity", found, found)


def _family(
    name: str, text: str, label: str, words: Iterable[str], found: dict[Any, int]
) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, text, labels=[label])
    for word in words:
        family.add_metric([word], found.get(word, 0))
    return family


def _one(name: str, text: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, text, value=value)
