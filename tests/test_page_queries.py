"""Pages and their live parts ask the same number of questions however much there is to show."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from alerts import services
from alerts.models import Alert, Delivery, SourceHealth
from incidents.models import Incident
from incidents.services import add_observables, comment_incident, hand_off
from incidents.suggestion_store import catch_up
from opensoar import clock
from opensoar.accounts.models import User
from opensoar.ids import uuid7
from playbooks_engine.models import ActionResult, Approval, Playbook, PlaybookRun, RunLog
from playbooks_engine.services import start_run
from playbooks_engine.sync import sync_playbooks
from tests.factories import make_alert, make_incident, make_partner, make_user
from tests.playbooks_engine.engines import write

pytestmark = pytest.mark.django_db

SOURCE = """
from opensoar import playbook

@playbook(trigger="webhook", name="look{n}")
async def look{n}(alert): ...
"""
# The most that each may ask, whatever it shows. Whoever raises a figure says why in the commit.
LIMITS = {
    "queue": 9,
    "queue, compact": 9,
    "queue live": 9,
    # How its rule has done, what hides it: a question each.
    "alert": 20,
    "alert live": 20,
    "rules": 5,
    "suppressions": 7,
    "suppress": 9,
    "deliveries": 6,
    "ledger": 7,
    "delivery": 6,
    "source health": 6,
    "incidents": 11,
    "incidents live": 8,
    "suggestions": 8,
    # Whether it is worked, its entities, who carries these, its group, what of these is in an incident: a question each.
    "belongings": 14,
    "incident": 22,
    "incident live": 22,
    "link": 8,
    "playbooks": 7,
    "runs": 7,
    # What it has done, its attempts, the step that is read, sequence, log, approvals, later runs: a question each.
    "run": 11,
    "run live": 13,
    "runs panel": 7,
}


@pytest.fixture
def ada(client: Client) -> User:
    user = make_user("ada", role="admin")
    client.force_login(user)
    return user


def furnish(ada: User, folder: Path, rows: int) -> tuple[Alert, Incident]:
    """``rows`` of everything that a page can show more of."""
    grace = make_user(f"grace{rows}")
    now = clock.now()
    for n in range(rows):
        SourceHealth.objects.create(partner=make_partner(), source=f"s{n}", first_at=now, last_at=now)
        write(folder, f"look{n}", SOURCE.replace("{n}", str(n)))
    sync_playbooks([str(folder)])
    hiding = [
        services.create_suppression(
            actor=ada.actor, name=f"S {n}", reason="x", conditions={"title": f"S {n}"}
        )
        for n in range(rows)
    ]
    alerts = [
        make_alert(f"A {n}", source_ip="203.0.113.9", hostname=f"ws-{n}", rule_name="R", suppressed_by=one)
        for n, one in enumerate(hiding)
    ]
    incident = make_incident(actor=ada.actor, alerts=alerts)
    for n, alert in enumerate(alerts):
        services.comment_alert(actor=ada.actor, alert=alert, text=f"Comment {n}")
        services.add_observables(
            actor=ada.actor, alert=alert, values=[("ip", "9.9.9.9"), ("ip", f"9.9.9.{n + 10}")]
        )
        comment_incident(actor=grace.actor, incident=incident, text=f"Said {n}")
        hand_off(actor=ada.actor, incident=incident, to_user=grace, text=f"Note {n}")
        add_observables(actor=ada.actor, incident=incident, values=[("domain", f"x{n}.example")])
        make_alert(f"Free {n}", source_ip="203.0.113.8")
        make_incident(f"Other {n}")
        start_run(actor=ada.actor, playbook=Playbook.objects.get(name=f"look{n}"), alert=alerts[0])
    furnish_run(alerts[0].sequences.first().runs.first(), rows)  # type: ignore[union-attr,arg-type]
    return alerts[0], incident


def furnish_run(run: PlaybookRun, rows: int) -> None:
    """Calls, log lines, approvals asked and answered, and later runs."""
    for n in range(rows):
        call = uuid7()
        ActionResult.objects.create(
            id=call, run=run, key=f"0.{n}", name="approval", kind="approval", args_digest=b"", idempotency_key=uuid7()
        )  # fmt: skip
        Approval.objects.create(
            id=call, run=run, summary=f"Isolate ws-{n}?", of=f'{{"host": "ws-{n}"}}', expires_at=clock.now(),
            state="pending" if n % 2 else "approved",
        )  # fmt: skip
        RunLog.objects.create(run=run, key=f"0.{n}", level="info", text=f"Line {n}")
        PlaybookRun.objects.create(sequence=run.sequence, position=n + 2, playbook=run.playbook, retry_of=run)


def asked(client: Client, alert: Alert, incident: Incident) -> dict[str, int]:
    catch_up()
    rows = ",".join(f"a-{pk}" for pk in Alert.objects.values_list("pk", flat=True)[:40])
    run = alert.sequences.first().runs.first()  # type: ignore[union-attr]
    addresses = {
        "queue": reverse("alerts:list"),
        "queue, compact": reverse("alerts:list") + "?q=A&severity=medium&owner=nobody",
        "queue live": f"{reverse('alerts:queue-live')}?rows={rows}&since=00000000-0000-7000-8000-000000000000",
        "alert": reverse("alerts:detail", args=[alert.pk]),
        "alert live": reverse("alerts:live", args=[alert.pk]),
        "deliveries": reverse("alerts:deliveries", args=[alert.pk]),
        "rules": reverse("rules:list"),
        "suppressions": reverse("suppressions:list"),
        "suppress": f"{reverse('suppressions:create')}?alert={alert.pk}",
        "ledger": reverse("deliveries:list"),
        "delivery": reverse("deliveries:detail", args=[Delivery.objects.latest("id").pk]),
        "source health": reverse("deliveries:sources"),
        "incidents": reverse("incidents:list"),
        "incidents live": reverse("incidents:list-live"),
        "suggestions": reverse("incidents:suggestions"),
        "belongings": f"{reverse('incidents:belongings')}?alert={alert.pk}",
        "incident": reverse("incidents:detail", args=[incident.number]),
        "incident live": reverse("incidents:live", args=[incident.number]),
        "link": reverse("incidents:link", args=[incident.number]),
        "playbooks": reverse("playbooks:list"),
        "runs": reverse("runs:list"),
        "run": reverse("runs:detail", args=[run.pk]),
        "run live": reverse("runs:live", args=[run.pk]),
        "runs panel": f"{reverse('runs:panel')}?incident={incident.number}",
    }
    counts = {}
    for name, address in addresses.items():
        with CaptureQueriesContext(connection) as queries:
            response = client.get(address, headers={"HX-Request": "true"} if "live" in name else {})
        assert response.status_code == 200, (name, response.status_code)
        counts[name] = len(queries)
    return counts


@pytest.mark.parametrize("rows", [2, 12])
def test_no_page_asks_more_than_its_limit(client: Client, ada: User, tmp_path: Path, rows: int) -> None:
    counts = asked(client, *furnish(ada, tmp_path, rows))
    assert {name: count for name, count in counts.items() if count > LIMITS[name]} == {}
    assert counts.keys() == LIMITS.keys()
