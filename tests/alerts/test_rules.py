"""How rules have done: on the alert, in a list, by REST."""

from __future__ import annotations

import pytest
from django.test import Client
from django.urls import reverse

from alerts.rules import ENOUGH, rule_record, rules
from tests.api.clients import V1, client_of
from tests.factories import make_alert, make_partner, make_user

pytestmark = pytest.mark.django_db


def test_the_record_of_a_rule() -> None:
    acme, viewer = make_partner("acme"), make_user()
    alert = make_alert(rule_name="Port scan", source="edr")
    record = rule_record(viewer.actor, alert)
    assert record is not None
    assert (record.alerts, record.benign_share, record.is_noisy) == (1, None, False)
    assert record.sentence == "nothing determined yet"
    for n in range(ENOUGH):
        word = "malicious" if n < 2 else "benign"
        make_alert(status="resolved", determination=word, rule_name="Port scan", source="edr")
    make_alert(status="resolved", determination="malicious", rule_name="Port scan", source="siem")
    make_alert(
        status="resolved", determination="malicious", rule_name="Port scan", source="edr", partner=acme
    )
    record = rule_record(make_user(partners=[alert.partner]).actor, alert)
    assert record is not None
    assert (record.alerts, record.resolved, record.determined) == (21, 20, 20)
    assert (record.sentence, record.is_noisy) == ("90 % benign of 20 determined", True)
    everybodys = rule_record(viewer.actor, alert)
    assert everybodys is not None
    assert (everybodys.determined, everybodys.is_noisy) == (21, False)
    assert rule_record(viewer.actor, make_alert()) is None


def some_rules() -> None:
    for word in ("benign", "benign", "malicious"):
        make_alert(determination=word, status="resolved", rule_name="Port scan", source="edr")
    make_alert(rule_name="Port scan", source="edr")
    make_alert(determination="suspicious", status="resolved", rule_name="Beacon & <co>", source="siem")
    make_alert(determination="malicious", status="resolved", rule_name="Beacon & <co>", source="siem")
    make_alert(rule_name="", source="siem")
    make_alert(rule_name="Theirs", partner=make_partner("acme"))


def test_all_rules_of_what_somebody_sees() -> None:
    some_rules()
    ada = make_user(partners=[make_alert(rule_name=None).partner]).actor
    scan, beacon = rules(ada)
    assert (scan.rule_name, scan.alerts, scan.resolved, scan.malicious, scan.benign) == (
        "Port scan",
        4,
        3,
        1,
        2,
    )
    assert (scan.benign_percent, beacon.benign_percent) == (66, 0)
    assert [one.rule_name for one in rules(ada, order="malicious")] == ["Port scan", "Beacon & <co>"]
    assert [one.rule_name for one in rules(ada, words=" BEACON")] == ["Beacon & <co>"]
    assert [one.source for one in rules(ada, words="siem")] == ["siem"]
    assert {one.rule_name for one in rules(make_user().actor)} == {"Port scan", "Beacon & <co>", "Theirs"}


def test_the_record_in_the_list_is_that_on_the_alert() -> None:
    some_rules()
    actor = make_user().actor
    alert = make_alert(rule_name="Port scan", source="edr")
    assert rule_record(actor, alert) == rules(actor)[0]


def test_page(client: Client) -> None:
    some_rules()
    client.force_login(make_user(role="viewer"))
    page = client.get(reverse("rules:list")).content.decode()
    assert page.index("Port scan") < page.index("Beacon &amp; &lt;co&gt;")
    assert "66 %" in page
    found = client.get(reverse("rules:list"), {"q": "beacon", "order": "nonsense"}).content.decode()
    assert "Port scan" not in found
    assert "rule_name=Beacon+%26+%3Cco%3E" in found
    queue = client.get(f"{reverse('alerts:list')}?{rules(make_user().actor, words='beacon')[0].query}")
    assert queue.context["page"].total == 2
    assert "No rule with these words" in client.get(reverse("rules:list"), {"q": "zzz"}).content.decode()


def test_rest() -> None:
    some_rules()
    client = client_of(make_user(role="viewer"))
    answer = client.get(V1 + "rules", {"ordering": "benign", "limit": 1}).json()
    assert answer["total"] == 3
    (scan,) = answer["rules"]
    assert (scan["rule_name"], scan["source"], scan["false_positive_rate"]) == ("Port scan", "edr", 2 / 3)
    assert client.get(V1 + "rules", {"q": "beacon"}).json()["rules"][0]["suspicious"] == 1
    assert client.get(V1 + "rules", {"ordering": "nonsense"}).status_code == 422
