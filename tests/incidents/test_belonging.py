"""To which open incident a new alert possibly belongs; linking by rule, and that what was undone stays undone."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from alerts.models import Alert
from alerts.services import add_observables
from incidents import services
from incidents.belonging import belongings
from incidents.models import IncidentAlert, SuggestionQueue
from incidents.services.links import link_alerts
from incidents.suggestion_store import catch_up
from opensoar.accounts.models import ProductSettings
from tests.api.clients import V1, client_of
from tests.factories import (
    SYSTEM,
    actions,
    entries,
    make_alert,
    make_incident,
    make_partner,
    make_user,
    text_of,
)

pytestmark = pytest.mark.django_db
FILE = "9f86" * 16


def infected(**fields: object) -> Alert:
    alert = make_alert(**fields)  # type: ignore[arg-type]
    add_observables(actor=SYSTEM, alert=alert, values=[("sha256", FILE)])
    return alert


def test_service_names_the_incident_and_why() -> None:
    incident = make_incident(alerts=[infected(), infected()])
    new, other = infected(hostname="ws-9"), make_alert(hostname="ws-9")
    catch_up()
    [found] = belongings(SYSTEM, new)
    assert (found.incident, found.score) == (incident, 80)
    assert found.why == f"shares file hash {FILE} with 2 of its alerts (of 2 others that carry it)"
    assert belongings(SYSTEM, other) == []
    services.link_alert(actor=SYSTEM, incident=incident, alert=new)
    assert belongings(SYSTEM, new) == []


def test_service_of_closed_incidents_and_other_partners_nothing() -> None:
    theirs = make_partner()
    incident = make_incident(alerts=[infected(), infected()])
    new, foreign = infected(), infected(partner=theirs)
    catch_up()
    assert belongings(SYSTEM, foreign) == []
    assert belongings(make_user(partners=[theirs]).actor, foreign) == []
    services.close_incident(
        actor=SYSTEM, incident=incident, determination="benign", impact="none", summary="nothing"
    )
    assert belongings(SYSTEM, new) == []


def test_page_offers_it_and_one_click_links(client: Client) -> None:
    incident = make_incident("Theft", alerts=[infected(), infected()])
    new = infected()
    catch_up()
    client.force_login(make_user())
    page = client.get(reverse("incidents:belongings"), {"alert": str(new.pk)}).content.decode()
    assert incident.reference in page
    assert "shares file hash" in page
    link = f"{reverse('incidents:link-alerts')}?alert={new.pk}"
    assert link in page
    assert client.post(link, {"incident": str(incident.number)}).status_code == 302
    assert IncidentAlert.objects.filter(incident=incident, alert=new).exists()
    client.force_login(make_user(partners=[make_partner()]))
    assert client.get(reverse("incidents:belongings"), {"alert": str(new.pk)}).status_code == 404


def test_api_answers_with_incident_score_and_reason() -> None:
    incident = make_incident(alerts=[infected(), infected()])
    new = infected()
    catch_up()
    [found] = client_of(make_user()).get(f"{V1}alerts/{new.pk}/suggested-incidents").json()
    assert (found["incident"]["number"], found["score"]) == (incident.number, 80)
    assert "shares file hash" in found["why"]


def test_by_rule_off_by_default() -> None:
    make_incident(alerts=[infected(), infected()])
    new = infected()
    catch_up()
    assert not IncidentAlert.objects.filter(alert=new).exists()


def test_by_rule_links_says_why_and_an_unlink_is_remembered() -> None:
    ProductSettings.objects.update(auto_link_score=80)
    incident = make_incident(alerts=[infected(), infected()])
    catch_up()
    new, weak = infected(title="Beacon"), make_alert(hostname="elsewhere")
    catch_up()
    assert IncidentAlert.objects.filter(alert=new, incident=incident).exists()
    assert not IncidentAlert.objects.filter(alert=weak).exists()
    linked = entries(incident)[-1]
    assert (linked.action, linked.actor_kind, linked.actor_name) == ("alert_linked", "system", "suggestions")
    assert (text_of(linked) or "").startswith("Beacon (score 80: shares file hash")
    assert (text_of(entries(new)[-1]) or "").startswith("score 80: shares file hash")
    services.unlink_alert(actor=SYSTEM, incident=incident, alert=new)
    Alert.objects.filter(pk=new.pk).update(severity="high", updated_at=timezone.now())
    catch_up()
    assert not IncidentAlert.objects.filter(alert=new).exists()
    assert actions(new)[-1] == "incident_unlinked"
    from incidents.belonging import link_by_rule
    from incidents.entities import known_alerts

    assert link_by_rule(known_alerts([new.pk]).values()) == 0


def test_by_rule_below_the_score_nothing() -> None:
    ProductSettings.objects.update(auto_link_score=81)
    make_incident(alerts=[infected(), infected()])
    catch_up()
    new = infected()
    catch_up()
    assert not IncidentAlert.objects.filter(alert=new).exists()


def test_by_rule_one_that_cannot_be_linked_keeps_no_other_from_it(monkeypatch: pytest.MonkeyPatch) -> None:
    ProductSettings.objects.update(auto_link_score=50)
    incident = make_incident(alerts=[infected(), infected()])
    catch_up()
    first, second = infected(title="First"), infected(title="Second")

    def refuse(alerts: list[Alert], **rest: Any) -> Any:
        if alerts == [first]:
            raise RuntimeError("something that listens to links")
        return link_alerts(alerts=alerts, **rest)

    monkeypatch.setattr("incidents.belonging.link_alerts", refuse)
    catch_up()
    linked = IncidentAlert.objects.filter(alert__in=[first, second]).values_list("alert_id", "incident_id")
    assert list(linked) == [(second.pk, incident.pk)]
    assert not SuggestionQueue.objects.exists()
