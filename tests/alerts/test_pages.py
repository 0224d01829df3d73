"""The queue and the alert page, as a person with a browser and no JavaScript uses them."""

from __future__ import annotations

import pytest
from django.test import Client
from django.urls import reverse

from tests.factories import actions, make_alert, make_partner, make_user

pytestmark = pytest.mark.django_db


@pytest.fixture
def ada(client: Client):
    user = make_user("ada")
    client.force_login(user)
    return user


def test_anonymous_people_are_sent_to_the_login(client: Client) -> None:
    alert = make_alert()
    for path in (reverse("alerts:list"), reverse("alerts:detail", args=[alert.pk])):
        response = client.get(path)
        assert response.status_code == 302
        assert response.headers["Location"].startswith(reverse("account_login"))


def test_the_login_page_keeps_where_one_was_going_and_offers_no_sign_up(client: Client) -> None:
    page = client.get(reverse("account_login") + "?next=/incidents/").content.decode()
    assert 'name="next"' in page
    assert "/incidents/" in page
    assert "sign up" not in page.lower()
    wrong = client.post(reverse("account_login"), {"login": "nobody", "password": "wrong"})
    assert 'role="alert"' in wrong.content.decode()


def test_the_login_page_signs_in(client: Client) -> None:
    user = make_user("grace")
    user.set_password("a long enough password")
    user.save(update_fields=["password"])
    answer = client.post(
        reverse("account_login"), {"login": "grace", "password": "a long enough password"}, follow=True
    )
    assert answer.redirect_chain[-1][0] == reverse("alerts:list")
    assert answer.status_code == 200


def test_the_queue_lists_open_alerts_gravest_first_in_few_queries(
    client: Client, ada, django_assert_max_num_queries
) -> None:
    for severity in ("low", "critical", "medium"):
        make_alert(title=f"Alert {severity}", severity=severity)
    with django_assert_max_num_queries(9):
        text = client.get(reverse("alerts:list")).content.decode()
    assert text.index("Alert critical") < text.index("Alert medium") < text.index("Alert low")


def test_the_queue_filters(client: Client, ada) -> None:
    make_alert(title="Findme", hostname="ws-1", severity="high")
    make_alert(title="Notme", hostname="ws-2", severity="low")
    for query in ("severity=high", "q=ws-1", "q=findme"):
        text = client.get(reverse("alerts:list") + "?" + query).content.decode()
        assert "Findme" in text
        assert "Notme" not in text


def test_verbs_work_as_plain_form_posts(client: Client, ada) -> None:
    alert = make_alert()
    steps = [
        ("claim", {}),
        ("comment", {"text": "Looks **bad**"}),
        ("edit", {"severity": "critical", "determination": "suspicious", "tags": "beacon, c2"}),
        ("observables", {"text": "beacon to 9.9.9.9 and hxxp://evil[.]example/x"}),
        ("resolve", {"determination": "malicious", "reason": "seen it"}),
        ("reopen", {"reason": "again"}),
        ("assign", {"user": ""}),
    ]
    for name, data in steps:
        response = client.post(reverse(f"alerts:{name}", args=[alert.pk]), data)
        assert response.status_code == 302, (name, response.content.decode()[-2000:])
        assert client.get(reverse(f"alerts:{name}", args=[alert.pk])).status_code == (
            405 if name == "claim" else 200
        )
    done = actions(alert)
    for word in (
        "claimed",
        "comment",
        "severity_change",
        "tags_changed",
        "observable_added",
        "status_change",
        "assigned",
    ):
        assert word in done
    page = client.get(reverse("alerts:detail", args=[alert.pk])).content.decode()
    assert "<strong>bad</strong>" in page
    assert "9.9.9.9" in page


def test_a_refused_verb_says_why_and_changes_nothing(client: Client, ada) -> None:
    alert = make_alert()
    for name, data in (("resolve", {"determination": "unknown"}), ("assign", {"user": "stranger"})):
        response = client.post(reverse(f"alerts:{name}", args=[alert.pk]), data)
        assert response.status_code == 422
        assert 'role="alert"' in response.content.decode()
    assert actions(alert) == []


def test_what_an_attacker_wrote_is_text(client: Client, ada) -> None:
    alert = make_alert(title="<script>alert(1)</script>", hostname='"><img src=x onerror=alert(1)>')
    page = client.get(reverse("alerts:detail", args=[alert.pk])).content.decode()
    assert "<script>alert(1)" not in page
    assert "<img src=x" not in page


def test_a_viewer_reads_and_changes_nothing(client: Client) -> None:
    client.force_login(make_user("vic", role="viewer"))
    alert = make_alert()
    assert client.get(reverse("alerts:detail", args=[alert.pk])).status_code == 200
    assert client.post(reverse("alerts:claim", args=[alert.pk])).status_code == 403
    assert actions(alert) == []


def test_another_partners_alert_does_not_exist(client: Client) -> None:
    ours, theirs = make_partner(), make_partner()
    alert = make_alert(partner=theirs, title="Secret of theirs")
    client.force_login(make_user("pat", partners=[ours]))
    assert "Secret of theirs" not in client.get(reverse("alerts:list") + "?status=").content.decode()
    assert client.get(reverse("alerts:detail", args=[alert.pk])).status_code == 404
    for name in ("claim", "comment", "resolve", "edit", "observables", "assign", "reopen"):
        assert client.post(reverse(f"alerts:{name}", args=[alert.pk]), {"text": "x"}).status_code == 404
