"""GET /metrics: Prometheus text, for a token that may read and is bound to no partner."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone
from prometheus_client.parser import text_string_to_metric_families
from pytest_django import DjangoAssertNumQueries
from rest_framework.test import APIClient

from alerts.models import Delivery
from opensoar.accounts.models import DEFAULT_PARTNER_ID
from playbooks_engine.models import Sequence, WorkerBeat
from tests.api.clients import machine, person
from tests.api.test_dashboard import make_run
from tests.factories import make_alert, make_incident, make_partner

pytestmark = pytest.mark.django_db
SCRAPER = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5,*/*;q=0.1"


def scrape(client: APIClient) -> dict[str, float]:
    answer = client.get("/metrics", headers={"accept": SCRAPER})
    assert answer.status_code == 200
    assert answer.headers["Content-Type"].startswith("text/plain; version=")
    samples = [s for f in text_string_to_metric_families(answer.content.decode()) for s in f.samples]
    return {"".join([s.name, *s.labels.values()]): s.value for s in samples}


def test_figures() -> None:
    make_alert(severity="high"), make_alert(severity="high"), make_alert(severity="low")
    make_alert(severity="high", status="resolved"), make_alert(archived_at=timezone.now())
    make_incident(severity="critical")
    Delivery.objects.create(partner_id=DEFAULT_PARTNER_ID, source="x", state="quarantined", body=b"?")
    make_run("running"), make_run("needs_attention"), make_run("success"), make_run()
    Sequence.objects.update(created_at=timezone.now() - timedelta(seconds=90))
    Sequence.objects.filter(runs__state="success").update(state="done")
    WorkerBeat.objects.create(host="h", pid=1)
    found = scrape(machine("read"))
    assert (found["opensoar_alerts_openhigh"], found["opensoar_alerts_openlow"]) == (2, 1)
    assert found["opensoar_alerts_openmedium"] == 0
    assert found["opensoar_incidents_opencritical"] == 1
    assert found["opensoar_deliveries_quarantined"] == 1
    assert (found["opensoar_runsrunning"], found["opensoar_runsneeds_attention"]) == (1, 1)
    assert found["opensoar_sequences_ready"] == 3
    assert 90 <= found["opensoar_sequences_ready_oldest_seconds"] < 120
    assert found["opensoar_workers"] == 1
    assert any(name.startswith("opensoar_info") for name in found)


def test_an_empty_installation_has_zeros() -> None:
    found = scrape(machine("read"))
    assert (found["opensoar_sequences_ready_oldest_seconds"], found["opensoar_alerts_opencritical"]) == (0, 0)


def test_refusals_are_json() -> None:
    own = make_partner()
    for client, status in [
        (APIClient(), 401), (machine("ingest"), 403), (machine("read", partner=own), 403),
        (person("admin", partners=[own]), 403),
    ]:  # fmt: skip
        answer = client.get("/metrics", headers={"accept": SCRAPER})
        assert answer.status_code == status
        assert answer.json()["detail"]


def test_it_costs_the_same_however_much_there_is(
    django_assert_max_num_queries: DjangoAssertNumQueries,
) -> None:
    client = machine("read")
    for _ in range(10):
        make_alert(), make_run()
    with django_assert_max_num_queries(9):
        scrape(client)
