"""The incident workflow as plain form posts, each step with its timeline entry and actor."""

from __future__ import annotations

import pytest
from django.test import Client
from django.urls import reverse
from pytest_django import DjangoAssertNumQueries

from alerts.services import add_observables, comment_alert
from incidents.models import Incident
from incidents.suggestion_store import catch_up
from opensoar.actors import Actor
from opensoar.ids import uuid7
from tests.factories import SYSTEM, entries, make_alert, make_incident, make_partner, make_user

pytestmark = pytest.mark.django_db


def test_the_whole_workflow_by_form_posts(client: Client) -> None:
    ada, grace = make_user("ada"), make_user("grace")
    client.force_login(ada)
    first = make_alert(title="Beacon", severity="critical", source_ip="10.9.9.1")
    second = make_alert(title="More", source_ip="10.9.9.2")
    escalate = f"{reverse('incidents:create')}?alert={first.pk}"
    asked = client.get(escalate).context["form"]
    answer = client.post(escalate, {name: asked[name].value() or "" for name in asked.fields})
    assert answer.status_code == 302
    incident = Incident.objects.get()
    assert (incident.title, incident.severity, incident.assigned_to) == ("Beacon", "critical", ada)

    def post(name: str, *args: object, **data: str) -> None:
        response = client.post(reverse(f"incidents:{name}", args=[incident.number, *args]), data)
        assert response.status_code == 302, (name, response.content.decode()[-3000:])

    post("link", alert=str(second.pk))
    post("assign", user=str(grace.pk))
    post("comment", text="Mailbox search done")
    playbook = Actor(kind="playbook", id=uuid7(), name="triage")
    comment_alert(actor=playbook, alert=first, text="A known bad address")
    post("handoff", to_user=str(grace.pk), text="Over to you", shift="night", open_questions="Who?\nWhen?")
    post("observables", text="9.9.9.9 evil[.]example d41d8cd98f00b204e9800998ecf8427e")
    client.force_login(grace)
    post("handoff-acknowledge", incident.handoffs.get().pk)
    post("move", status="contained")
    for number in range(2):
        make_alert(title=f"Scan {number}", source_ip="203.0.113.77")
    catch_up()
    (suggestion,) = client.get(reverse("incidents:list")).context["suggestions"]
    accept = reverse("incidents:suggestion-add", args=[suggestion.id])
    assert client.post(accept, {"incident": str(incident.number)}).status_code == 302
    post("close", determination="malicious", impact="limited", summary="Contained in time")
    assert client.get(reverse("incidents:list")).status_code == 200
    page = client.get(reverse("incidents:detail", args=[incident.number])).content.decode()
    for text in (
        "Mailbox search done", "Over to you", "When?", "9.9.9.9", "Contained in time", "Beacon", "More", "Scan 1",
        "triage", "A known bad address",
    ):  # fmt: skip
        assert text in page, text
    assert [(entry.action, entry.actor_name) for entry in entries(incident)] == [
        ("incident_created", "ada"),
        ("alert_linked", "ada"),
        ("assigned", "ada"),
        ("alert_linked", "ada"),
        ("assigned", "ada"),
        ("comment", "ada"),
        ("handoff_note", "ada"),
        ("observable_added", "ada"),
        ("handoff_acknowledged", "grace"),
        ("status_change", "grace"),
        ("alert_linked", "grace"),
        ("alert_linked", "grace"),
        ("closed", "grace"),
    ]
    assert [(entry.action, entry.actor_name) for entry in entries(first)] == [
        ("incident_linked", "ada"),
        ("comment", "triage"),
    ]


def test_a_suggestion_is_accepted_in_one_post(client: Client) -> None:
    client.force_login(make_user("ada"))
    for number in range(3):
        make_alert(title=f"Same {number}", source_ip="203.0.113.77")
    catch_up()
    page = client.get(reverse("incidents:list"))
    (suggestion,) = [s for s in page.context["suggestions"] if s.entity == "source_ip"]
    response = client.post(reverse("incidents:suggestion-accept", args=[suggestion.id]))
    assert response.status_code == 302
    assert Incident.objects.get().alerts.count() == 3
    assert client.get(reverse("incidents:list")).context["suggestions"] == []


def test_closing_wants_an_assessment_on_the_page(client: Client) -> None:
    client.force_login(make_user("ada"))
    incident = make_incident()
    response = client.post(reverse("incidents:close", args=[incident.number]), {"summary": "x"})
    assert response.status_code == 422
    incident.refresh_from_db()
    assert incident.status == "open"


def test_another_partners_incident_does_not_exist(client: Client) -> None:
    ours, theirs = make_partner(), make_partner()
    incident = make_incident(partner=theirs, title="Theirs alone")
    client.force_login(make_user("pat", partners=[ours]))
    assert "Theirs alone" not in client.get(reverse("incidents:list") + "?status=").content.decode()
    assert client.get(reverse("incidents:detail", args=[incident.number])).status_code == 404
    for name in (
        "assign",
        "move",
        "edit",
        "close",
        "reopen",
        "comment",
        "handoff",
        "observables",
        "link",
    ):
        assert client.post(reverse(f"incidents:{name}", args=[incident.number])).status_code == 404


def test_observables_are_previewed_before_they_are_added(client: Client) -> None:
    client.force_login(make_user("ada"))
    incident = make_incident()
    url = reverse("incidents:observables", args=[incident.number])
    page = client.post(url, {"text": "see 9.9.9.9", "preview": "1"})
    assert page.status_code == 200
    assert [value.value for value in page.context["recognised"].observables] == ["9.9.9.9"]
    assert not incident.observables.exists()
    assert client.post(url, {"text": "nothing here"}).status_code == 422


def test_a_stale_form_is_refused_and_can_be_sent_again(client: Client) -> None:
    client.force_login(make_user("ada"))
    incident = make_incident(severity="low")
    url = reverse("incidents:edit", args=[incident.number])
    form = client.get(url).context["form"]
    typed = {name: form[name].value() or "" for name in form.fields}
    assert client.post(url, {**typed, "severity": "high"}).status_code == 302
    refused = client.post(url, {**typed, "severity": "medium"})
    assert refused.status_code == 412
    assert f'value="{incident.version + 1}"' in refused.content.decode()
    assert "Expected version" not in refused.content.decode()
    incident.refresh_from_db()
    assert incident.severity == "high"


def test_queries_do_not_grow_with_rows(
    client: Client, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    client.force_login(make_user("ada"))
    incident = make_incident(alerts=[make_alert(title=f"A {n}", source_ip="203.0.113.9") for n in range(20)])
    for n in range(20):
        make_alert(title=f"B {n}", source_ip="203.0.113.8")
        make_incident(title=f"I {n}")
    with django_assert_max_num_queries(25):
        assert client.get(reverse("incidents:detail", args=[incident.number])).status_code == 200
    with django_assert_max_num_queries(15):
        assert client.get(reverse("incidents:list")).status_code == 200


def test_verbs_refuse_viewers(client: Client) -> None:
    incident = make_incident()
    client.force_login(make_user("vic", role="viewer"))
    for name in (
        "assign",
        "move",
        "edit",
        "close",
        "reopen",
        "comment",
        "handoff",
        "observables",
        "link",
    ):
        url = reverse(f"incidents:{name}", args=[incident.number])
        assert client.get(url).status_code == (405 if name == "move" else 403)
        assert client.post(url).status_code == 403
    assert client.get(reverse("incidents:detail", args=[incident.number])).status_code == 200


def test_an_alert_is_found_to_link_once_however_much_it_mentions(client: Client) -> None:
    client.force_login(make_user("ada"))
    incident, alert = make_incident(), make_alert(title="Beacon", hostname="ws-1")
    add_observables(actor=SYSTEM, alert=alert, values=[("ip", f"9.9.9.{n}") for n in range(3)])
    url = reverse("incidents:link", args=[incident.number])
    for words in ("beacon", "ws-1", "9.9.9.1", str(alert.pk)):
        assert client.get(url, {"q": words}).context["found"] == [alert], words
