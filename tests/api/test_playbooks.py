"""Playbooks by REST: listed in order, switched on and off, given to a partner."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from opensoar.accounts.models import AuditEntry
from playbooks_engine.models import Playbook, WorkerBeat
from playbooks_engine.sync import sync_playbooks
from tests.api.clients import V1, client_of, queries
from tests.factories import make_partner, make_user
from tests.playbooks_engine.engines import write

pytestmark = pytest.mark.django_db
URL = V1 + "playbooks"


@pytest.fixture
def playbook(tmp_path: Path) -> Playbook:
    return sync(tmp_path, 20)[0]


def sync(directory: Path, *orders: int) -> list[Playbook]:
    """Playbooks named after their order."""
    for order in orders:
        source = f'@playbook(trigger="webhook", order={order}, conditions={{"tags": ["vip"]}})'
        write(
            directory,
            f"file{order}",
            f"from opensoar import playbook\n{source}\nasync def p{order}(alert): ...\n",
        )
    sync_playbooks([str(directory)])
    return list(Playbook.objects.order_by("order"))


def audited(playbook: Playbook) -> list[tuple[str, str, dict[str, Any]]]:
    rows = AuditEntry.objects.filter(object_id=str(playbook.pk)).order_by("pk")
    return [(row.action, row.actor_name, row.detail) for row in rows]


def test_the_list_is_in_execution_order_with_the_public_shape(tmp_path: Path) -> None:
    sync(tmp_path, 30, 10)
    client = client_of(make_user(role="viewer"))
    shown = client.get(URL).json()
    assert [one["name"] for one in shown] == ["p10", "p30"]
    first = shown[0]
    assert (first["execution_order"], first["trigger_type"], first["enabled"]) == (10, "webhook", True)
    assert first["trigger_config"] == {"conditions": {"tags": ["vip"]}}
    assert (first["partner"], first["tenant_id"], first["missing"]) == (None, None, False)
    one = client.get(f"{URL}/{first['id']}")
    assert (one.json(), one["ETag"]) == (first, f'"{first["version"]}"')
    for pk in ("nonsense", "00000000-0000-0000-0000-000000000000"):
        answer = client.get(f"{URL}/{pk}")
        assert (answer.status_code, answer.json()) == (404, {"detail": "Playbook not found"})


def test_switched_off_and_on_with_one_audit_entry_each(playbook: Playbook) -> None:
    client, url = client_of(make_user("author", role="playbook_author")), f"{URL}/{playbook.pk}"
    for enabled in (False, False, True):
        answer = client.patch(url, {"enabled": enabled})
        assert (answer.status_code, answer.json()["enabled"]) == (200, enabled)
    assert answer.json()["version"] == playbook.version + 2
    assert [(action, who) for action, who, _detail in audited(playbook)] == [
        ("playbook_disabled", "author"),
        ("playbook_enabled", "author"),
    ]


def test_given_to_a_partner_and_back_to_everybody(playbook: Playbook) -> None:
    make_partner("acme")
    client, url = client_of(make_user("root", role="admin")), f"{URL}/{playbook.pk}"
    answer = client.patch(url, {"partner": "acme", "enabled": False, "tenant_id": None}).json()
    assert (answer["partner"], answer["enabled"], answer["version"]) == ("acme", False, playbook.version + 1)
    assert client.patch(url, {"partner": None}).json()["partner"] is None
    assert [(action, detail.get("partner")) for action, _who, detail in audited(playbook)] == [
        ("playbook_disabled", None),
        ("playbook_changed", "acme"),
        ("playbook_changed", None),
    ]


def test_a_stale_version_and_what_makes_no_sense(playbook: Playbook) -> None:
    client, url = client_of(make_user(role="admin")), f"{URL}/{playbook.pk}"
    old = f'"{playbook.version}"'
    assert client.patch(url, {"enabled": False}, headers={"if-match": old}).status_code == 200
    assert client.patch(url, {"enabled": True}, headers={"if-match": old}).status_code == 412
    for body in ({"enabled": "yes"}, {"enabled": None}, {"order": 1}, {"tenant_id": "x"}, {"partner": 5}):
        assert client.patch(url, body).status_code == 422, body
    assert client.patch(url, {}).json()["enabled"] is False


def test_who_sees_one_partner_changes_that_partners_playbooks_only(tmp_path: Path) -> None:
    everybodys, mine, theirs = sync(tmp_path, 1, 2, 3)
    acme, other = make_partner("acme"), make_partner("other")
    Playbook.objects.filter(pk=mine.pk).update(partner=acme)
    Playbook.objects.filter(pk=theirs.pk).update(partner=other)
    client = client_of(make_user(role="admin", partners=[acme]))
    assert [one["name"] for one in client.get(URL).json()] == ["p1", "p2"]
    assert client.get(f"{URL}/{theirs.pk}").status_code == 404
    assert client.patch(f"{URL}/{theirs.pk}", {"enabled": False}).status_code == 404
    assert client.post(f"{URL}/{theirs.pk}/run").status_code == 404
    assert client.patch(f"{URL}/{everybodys.pk}", {"enabled": False}).status_code == 403
    assert client.patch(f"{URL}/{everybodys.pk}", {"partner": "acme"}).status_code == 403
    assert client.patch(f"{URL}/{mine.pk}", {"partner": None}).status_code == 403
    assert client.patch(f"{URL}/{mine.pk}", {"partner": "other"}).status_code == 422
    assert client.patch(f"{URL}/{mine.pk}", {"enabled": False}).json()["enabled"] is False
    everybodys.refresh_from_db()
    assert (everybodys.enabled, everybodys.partner) == (True, None)


def test_reload_is_complete_when_every_living_worker_has_loaded(tmp_path: Path) -> None:
    sync(tmp_path, 1, 2)
    WorkerBeat.objects.create(host="here", pid=1, generation=10**6)
    answer = client_of(make_user(role="playbook_author")).post(f"{URL}/reload")
    assert answer.json() == {"count": 2, "message": "Reloaded 2 playbook(s)", "complete": True}


def test_an_analyst_may_not_switch_and_a_viewer_may_not_run(playbook: Playbook) -> None:
    assert client_of(make_user()).patch(f"{URL}/{playbook.pk}", {"enabled": False}).status_code == 403
    viewer = client_of(make_user(role="viewer"))
    assert viewer.post(f"{URL}/{playbook.pk}/run").status_code == 403
    assert viewer.post(f"{URL}/reload").status_code == 403


def test_20_playbooks_take_as_many_queries_as_2(tmp_path: Path) -> None:
    client = client_of(make_user())

    def grow(*orders: int) -> int:
        for playbook in sync(tmp_path, *orders):
            Playbook.objects.filter(pk=playbook.pk).update(partner=make_partner())
        return queries(client, "playbooks")

    few = grow(1, 2)
    assert grow(*range(3, 21)) == few <= 5
