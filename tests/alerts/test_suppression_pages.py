"""The pages of suppressions, and what the alert page says of them."""

from __future__ import annotations

import pytest
from django.test import Client
from django.urls import reverse

from alerts import services
from alerts.models import Alert, Suppression
from alerts.rules import ENOUGH
from opensoar.accounts.models import User
from tests.factories import make_alert, make_partner, make_user

pytestmark = pytest.mark.django_db
HTMX = {"HX-Request": "true"}
TYPED = {"name": "Scanner", "reason": "Ours", "days": "30"}


@pytest.fixture
def lead(client: Client) -> User:
    user = make_user("lena", role="lead")
    client.force_login(user)
    return user


@pytest.fixture
def scan() -> Alert:
    return make_alert(
        "Scan", rule_name="Port scan", source="edr", hostname="scanner-1", source_ip="203.0.113.9"
    )


def like(alert: Alert) -> str:
    return f"{reverse('suppressions:create')}?alert={alert.pk}"


def text(client: Client, url: str, **kwargs: object) -> str:
    return client.get(url, **kwargs).content.decode()  # type: ignore[arg-type]


def test_an_alert_is_the_pattern(client: Client, lead: User, scan: Alert) -> None:
    page = text(client, like(scan), headers=HTMX)
    assert page.count(" checked") == 2  # rule and source
    assert "would have hidden this 1 alert of the last 30 days" in page
    answer = client.post(like(scan), TYPED | {"like": ["rule_name", "hostname"]}, headers=HTMX)
    assert answer.status_code == 200, answer.content
    made = Suppression.objects.get()
    assert made.conditions == {"rule_name": "Port scan", "hostname": "scanner-1"}
    assert (made.owner, made.reason, made.expires_at is not None) == (lead, "Ours", True)
    assert Alert.objects.get().suppressed_by is None  # only new ones


def test_the_preview_follows_what_is_ticked_and_warns(client: Client, lead: User, scan: Alert) -> None:
    make_alert(
        rule_name="Port scan", source="edr", status="resolved", determination="malicious", hostname="ws-1"
    )

    def preview(**fields: object) -> str:
        return client.post(like(scan), {"preview": "1"} | fields, headers=HTMX).content.decode()

    wide = preview(like=["rule_name"])
    assert "these 2 alerts of the last 30 days, 1 of which was malicious" in wide
    assert 'role="alert"' in wide
    narrow = preview(like=["rule_name", "hostname"])
    assert "this 1 alert" in narrow
    assert 'role="alert"' not in narrow
    assert "this 1 alert" in preview(like=["rule_name"], conditions='{"not_hostname": "ws-1"}')
    assert "unknown field" in preview(conditions='{"hots": "x"}')
    assert "shows here" in preview()
    assert not Suppression.objects.exists()


def test_without_javascript_a_button_shows_the_preview(client: Client, lead: User) -> None:
    make_alert("Scan", rule_name="Port scan")
    url = reverse("suppressions:create")
    typed = TYPED | {"conditions": '{"rule_name": "Port scan"}', "days": "never"}
    page = client.post(url, typed | {"preview": "1"})
    assert (page.status_code, "this 1 alert" in page.content.decode()) == (200, True)
    assert not Suppression.objects.exists()
    assert client.post(url, typed).status_code == 302
    assert Suppression.objects.get().expires_at is None


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("conditions", "", "at least one condition"),
        ("conditions", "{", "no JSON"),
        ("conditions", "[1]", "Write an object"),
        ("conditions", '{"hots": "x"}', "did you mean"),
        ("conditions", '{"status": "new"}', "not known when an alert comes"),
        ("reason", " ", "required"),
    ],
)
def test_a_refusal_keeps_what_was_typed(
    client: Client, lead: User, field: str, value: str, said: str
) -> None:
    typed = TYPED | {"conditions": '{"hostname": "kiosk"}'} | {field: value}
    answer = client.post(reverse("suppressions:create"), typed, headers=HTMX)
    assert answer.status_code == 422
    assert said in answer.content.decode()
    assert "Scanner" in answer.content.decode()
    assert not Suppression.objects.exists()


def test_whose_alerts(client: Client, lead: User, scan: Alert) -> None:
    acme = make_partner("acme")
    client.post(
        reverse("suppressions:create"), TYPED | {"partner": "acme", "conditions": '{"hostname": "k"}'}
    )
    assert Suppression.objects.get().partner == acme
    assert '<option value="default" selected>' in text(client, like(scan))  # the pattern's own
    client.force_login(make_user(role="lead", partners=[acme]))
    client.post(reverse("suppressions:create"), TYPED | {"conditions": '{"hostname": "k"}'})
    assert list(Suppression.objects.values_list("partner", flat=True)) == [acme.pk] * 2


def test_the_list_tells_what_each_hides_and_ends_it(client: Client, lead: User, scan: Alert) -> None:
    made = services.create_suppression(
        actor=lead.actor, name="Scanner", reason="Ours", conditions={"rule_name": "Port scan"}
    )
    make_alert("Hidden", suppressed_by=made)
    page = text(client, reverse("suppressions:list"))
    hits = f"{reverse('alerts:list')}?status=&amp;suppressed=any&amp;suppressed_by={made.pk}"
    assert f'href="{hits}">1</a>' in page
    assert "Hidden" in text(client, hits.replace("&amp;", "&"))
    end = reverse("suppressions:end", args=[made.pk])
    assert end in page
    assert client.post(end).status_code == 302
    made.refresh_from_db()
    assert made.state == "ended"
    assert "Scanner" not in text(client, reverse("suppressions:list"))
    gone = text(client, reverse("suppressions:list") + "?state=ended")
    assert "Scanner" in gone
    assert end not in gone
    assert client.post(end).status_code == 302  # said as a message, nothing else to ask


def test_the_alert_page_says_what_hides_it_and_shows_it_again(client: Client, lead: User) -> None:
    made = services.create_suppression(
        actor=lead.actor, name="Scanner", reason="It is ours", conditions={"rule_name": "Port scan"}
    )
    alert = make_alert("Hidden one", suppressed_by=made)
    page = text(client, reverse("alerts:detail", args=[alert.pk]))
    assert "It is ours" in page
    again = reverse("alerts:show-again", args=[alert.pk])
    assert again in page
    assert "Hidden one" not in text(client, reverse("alerts:list"))
    assert "Hidden one" in text(client, reverse("alerts:list") + "?suppressed=true")
    answer = client.post(again, {"reason": "Not on that host"}, headers=HTMX)
    assert answer.status_code == 200
    assert again not in answer.content.decode()
    assert "showed it again" in answer.content.decode()
    assert "Hidden one" in text(client, reverse("alerts:list"))


def test_the_alert_page_tells_how_its_rule_has_done(client: Client, lead: User, scan: Alert) -> None:
    url = reverse("alerts:detail", args=[scan.pk])
    assert "nothing determined yet" in text(client, url)
    for _ in range(ENOUGH):
        make_alert(rule_name="Port scan", source="edr", status="resolved", determination="benign")
    page = text(client, url)
    assert "21 alerts in 90 days</a>, 100 % benign of 20 determined" in " ".join(page.split())
    assert "Nearly always benign: suppress?" in page
    client.force_login(make_user())
    assert "suppress?" not in text(client, url)
