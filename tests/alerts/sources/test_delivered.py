"""Every captured payload on its whole way: posted with a token, stored by the real ingest, read from the database."""

from __future__ import annotations

import json
from typing import Any

import pytest

from alerts import sources
from alerts.models import Alert, AlertObservable, Delivery
from tests.alerts.inbound import PATH, Answer, Inbound
from tests.alerts.pairs import name_of, pairs
from tests.factories import make_partner, make_token

COLUMNS = (
    "title", "description", "severity", "source_id", "source_ip", "dest_ip", "hostname", "username", "rule_name",
    "tags", "techniques", "group_key", "vendor_url", "iocs",
)  # fmt: skip
# Bodies that ingest takes apart: what its alerts are instead of what the body as a whole would be, one by one. What
# stands beside the alerts is not theirs then.
TAKEN_APART: dict[str, list[dict[str, Any]]] = {
    "elastic/rule_action_alerts_in_string": [
        {"description": None, "vendor_url": None},
        {
            "title": "Untitled alert", "description": None, "source_id": "a-2", "hostname": "ws-8", "rule_name": None,
            "event_at": None, "vendor_url": None, "iocs": {}, "observables": ["hostname ws-8 (internal) @ host.name"],
        },
    ],
    "iris/webhook_create": [{"vendor_url": "https://edr.example.com/alerts/77120"}],
}  # fmt: skip


@pytest.mark.parametrize("slug", sources.SLUGS)
def test_every_pair_is_stored_as_expected(inbound: Inbound, slug: str) -> None:
    """Told by its shape, as somebody sends it who names no source; only what nobody wrote one for names the generic."""
    path = f"{PATH}/{slug}" if slug == sources.GENERIC else PATH
    for given, expected in pairs(slug):
        # A partner of its own for each: several payloads of one alert are repeats otherwise.
        sender = Inbound(make_token(["ingest"], partner=make_partner())[1])
        body = given.read_bytes()
        answer = sender.post(body, path=path)
        where = f"{slug}/{name_of(given)}"
        wanted = json.loads(expected.read_text())
        if wanted.get("only_closes"):
            assert_kept_without_alert(answer, body, where)
        else:
            assert_stored(answer, slug, wanted, where)


def assert_kept_without_alert(answer: Answer, body: bytes, where: str) -> None:
    """Who says that an alert is over which never came makes none, and is kept."""
    assert (answer.status, answer.json["state"]) == (202, "quarantined"), where
    delivery = Delivery.objects.get(pk=answer.json["delivery_id"])
    assert (delivery.alert_id, bytes(delivery.body)) == (None, body), where
    assert "which never came" in delivery.reason, where


def assert_stored(answer: Answer, slug: str, wanted: dict[str, Any], where: str) -> None:
    """The columns of each alert of the body are what the pair expects."""
    assert answer.status == 200, f"{where}: {answer.json}"
    results = answer.json.get("results") or [answer.json]
    changes = TAKEN_APART.get(where, [{}])
    assert [result["state"] for result in results] == ["accepted"] * len(changes), where
    for result, change in zip(results, changes, strict=True):
        alert = Alert.objects.get(pk=result["alert_id"])
        assert columns(alert) == columns_of(wanted | change, slug), where


def columns(alert: Alert) -> dict[str, Any]:
    """What is stored of an alert, as :func:`columns_of` has it."""
    links = AlertObservable.objects.filter(alert=alert).select_related("observable")
    seen = {
        f"{o.type} {o.value}{' (internal)' if o.internal else ''}" for o in (one.observable for one in links)
    }
    return {name: getattr(alert, name) for name in COLUMNS} | {
        "source": alert.source,
        "determination": alert.determination,
        "event_at": alert.event_at.isoformat() if alert.event_at else None,
        "observables": seen,
    }


def columns_of(wanted: dict[str, Any], slug: str) -> dict[str, Any]:
    """What a pair's ``.out.json`` says that is stored."""
    return {name: wanted[name] for name in COLUMNS} | {
        "source": wanted["source"] or ("webhook" if slug == sources.GENERIC else slug),
        "determination": wanted["determination"] or "unknown",
        "event_at": wanted["event_at"],
        "observables": {text.rpartition(" @ ")[0] for text in wanted["observables"]},
    }


def test_every_payload_that_is_taken_apart_is_there() -> None:
    assert set(TAKEN_APART) <= {
        f"{slug}/{name_of(given)}" for slug in sources.SLUGS for given, _ in pairs(slug)
    }
