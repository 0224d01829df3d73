"""Sources as an admin changes them: paths of a product nobody wrote a normaliser for, severities, what is a repeat."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from alerts import source_settings
from alerts.incoming import Incoming
from alerts.ingest import store
from alerts.intake import Envelope, read_body
from alerts.models import Alert, AlertSource
from alerts.senders import Sender
from alerts.services import delete_source, save_source
from alerts.services.sources import preview
from opensoar.accounts.models import AuditEntry
from opensoar.errors import Conflict, Invalid
from tests.factories import SYSTEM, make_partner, make_user

pytestmark = pytest.mark.django_db
LAB = {
    "finding": {"ref": "F-1", "headline": "Door open", "grade": "sev1", "box": "lab-7", "peer": "203.0.113.9"}
}
MAPPING = {
    "source_id": "finding.ref",
    "title": "finding.headline",
    "severity": "finding.grade",
    "hostname": "finding.box",
    "source_ip": "finding.peer",
}


@pytest.fixture(autouse=True)
def _nothing_remembered() -> Iterator[None]:
    source_settings.forget()
    yield
    source_settings.forget()


def stored(payload: dict[str, Any], slug: str = "", sender: Sender | None = None) -> Incoming:
    """One alert posted to a source's address, and stored."""
    source_settings.forget()  # on commit, which the test's transaction never sees
    envelope = Envelope(sender or Sender(None, "tests"), "application/json", slug=slug)
    [item] = read_body(json.dumps(payload).encode(), envelope)
    store([item], patience=0)
    return item


def test_service_a_product_of_ones_own_is_read_by_its_paths() -> None:
    save_source(actor=SYSTEM, slug="Lab", mapping=MAPPING, severities={"SEV1": "critical"})
    item = stored(LAB, "lab")
    alert = Alert.objects.get()
    assert (alert.title, alert.severity, alert.source, alert.source_id) == (
        "Door open",
        "critical",
        "lab",
        "F-1",
    )
    assert (alert.hostname, alert.source_ip) == ("lab-7", "203.0.113.9")
    assert item.notes == ()
    assert AuditEntry.objects.get(action="source_created").detail["mapping"] == MAPPING
    again = stored(LAB, "", Sender(None, "bound to it", source="lab"))
    assert again.outcome is not None
    assert (again.outcome.state, again.outcome.alert_id) == ("duplicate", alert.pk)


def test_service_a_product_of_ones_own_says_what_it_was_and_that_it_is_over() -> None:
    mapping = {**MAPPING, "determination": "finding.verdict", "status": "finding.state"}
    save_source(actor=SYSTEM, slug="Lab", mapping=mapping, severities={})
    stored(LAB, "lab")
    over = {"finding": {**LAB["finding"], "verdict": "False-Positive", "state": "Closed"}}
    stored(over, "lab")
    alert = Alert.objects.get()
    assert (alert.determination, alert.status) == ("benign", "resolved")


def test_service_severities_of_a_product_with_code_are_changed_and_given_back() -> None:
    wazuh = {
        "id": "1",
        "rule": {"level": 7, "description": "x", "groups": ["y"], "id": "5"},
        "agent": {"name": "h"},
    }
    assert stored(wazuh, "wazuh").outcome.severity == "medium"  # type: ignore[union-attr]
    source = save_source(actor=SYSTEM, slug="wazuh", severities={"0": "low", "7": "critical"})
    assert stored({**wazuh, "id": "2"}, "wazuh").outcome.severity == "critical"  # type: ignore[union-attr]
    assert (
        stored({**wazuh, "id": "3", "rule": {**wazuh["rule"], "level": 6}}, "wazuh").outcome.severity == "low"
    )  # type: ignore[union-attr, dict-item]
    delete_source(actor=SYSTEM, source=source)
    assert stored({**wazuh, "id": "4"}, "wazuh").outcome.severity == "medium"  # type: ignore[union-attr]


def test_service_alerts_told_apart_by_chosen_fields() -> None:
    save_source(actor=SYSTEM, slug="lab", mapping=MAPPING, dedupe_fields=["finding.headline", "finding.box"])
    first, second = stored(LAB, "lab"), stored({"finding": {**LAB["finding"], "ref": "F-2"}}, "lab")
    other = stored({"finding": {**LAB["finding"], "box": "lab-8"}}, "lab")
    assert [item.outcome.state for item in (first, second, other)] == ["accepted", "duplicate", "accepted"]  # type: ignore[union-attr]
    nameless = stored({"finding": {"ref": "F-3"}}, "lab")
    assert nameless.outcome is not None
    assert nameless.outcome.state == "accepted", "none of the fields is there: its own id counts"
    assert stored({"finding": {"ref": "F-3"}}, "lab").outcome.state == "duplicate"  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"slug": "no/slash"}, "slug"), ({"slug": ""}, "slug"), ({"slug": "wazuh", "mapping": MAPPING}, "slug"),
        ({"mapping": {"titel": "x"}}, "mapping"), ({"mapping": {"title": "x" * 201}}, "title"),
        ({"severities": {"x": "grave"}}, "severities"), ({"severities": {"nan": "low"}}, "severities"),
        ({"severities": {str(n): "low" for n in range(101)}}, "severities"), ({"dedupe_hours": 0}, "dedupe_hours"),
        ({"on_recurrence": "x"}, "on_recurrence"), ({"sample": "x" * 262_145}, "sample"),
    ],
)  # fmt: skip
def test_service_refuses_what_cannot_be(changes: dict[str, Any], field: str) -> None:
    with pytest.raises(Invalid) as refused:
        save_source(actor=SYSTEM, **{"slug": "lab", **changes})
    assert refused.value.field == field
    assert not AlertSource.objects.exists()


def test_service_one_source_of_a_name() -> None:
    save_source(actor=SYSTEM, slug="lab")
    with pytest.raises(Conflict):
        save_source(actor=SYSTEM, slug="LAB")


def test_a_preview_of_a_known_product_tells_which_it_is() -> None:
    wazuh = {"id": "1", "rule": {"level": 12, "description": "x", "groups": ["y"], "id": "5"}}
    assert preview(json.dumps(wazuh)).severity == "high"
    with pytest.raises(Invalid, match="not understood"):
        preview("no alert")


# --- the page ---------------------------------------------------------------------------------------------


@pytest.fixture
def page(client: Client) -> Client:
    client.force_login(make_user("root", role="admin"))
    return client


def form(**changes: str) -> dict[str, str]:
    """What the page sends."""
    paths = {f"path_{name}": path for name, path in MAPPING.items()}
    return {
        "slug": "lab", "sample": json.dumps(LAB), "severity_table": "sev1 = critical\n3 = high", "told_apart_by": "",
        "dedupe_hours": "", "on_recurrence": "reopen", "on_resolved": "resolve", **paths, **changes,
    }  # fmt: skip


def test_page_a_sample_is_previewed_and_nothing_saved(page: Client) -> None:
    url = reverse("admin:alerts_alertsource_add")
    assert page.get(url).status_code == 200
    shown = page.post(url, form(_preview="Preview"))
    text = shown.content.decode()
    assert shown.status_code == 200
    assert "nothing is saved yet" in text
    assert "Door open" in text
    assert '<option value="finding.grade">sev1</option>' in text
    assert "errornote" not in text
    assert not AlertSource.objects.exists()
    unread = page.post(url, form(_preview="Preview", sample="{")).content.decode()
    assert "The sample is not understood" in unread


def test_page_it_is_saved_changed_and_deleted(page: Client) -> None:
    answer = page.post(reverse("admin:alerts_alertsource_add"), form())
    assert answer.status_code == 302, answer.content.decode()[-3000:]
    row = AlertSource.objects.get()
    assert (row.slug, row.mapping, row.severities) == ("lab", MAPPING, {"sev1": "critical", "3": "high"})
    url = reverse("admin:alerts_alertsource_change", args=[row.pk])
    shown = page.get(url).content.decode()
    assert "sev1 = critical" in shown
    assert 'value="finding.headline"' in shown
    assert page.post(url, form(told_apart_by="a.b c")).status_code == 302
    row.refresh_from_db()
    assert row.dedupe_fields == ["a.b", "c"]
    wrong = page.post(url, form(severity_table="sev1: critical")).content.decode()
    assert "is not of the form" in wrong
    assert "Pick one of" not in wrong
    assert (
        page.post(reverse("admin:alerts_alertsource_delete", args=[row.pk]), {"post": "yes"}).status_code
        == 302
    )
    assert not AlertSource.objects.exists()
    assert list(AuditEntry.objects.filter(object_kind="source").values_list("action", flat=True).order_by("id")) == [
        "source_created", "source_changed", "source_deleted",
    ]  # fmt: skip


def test_page_what_is_built_in_is_shown_with_its_severities(page: Client) -> None:
    text = page.get(reverse("admin:alerts_alertsource_changelist")).content.decode()
    assert f"{reverse('admin:alerts_alertsource_add')}?slug=wazuh" in text
    assert "12 = high" in text
    form = page.get(reverse("admin:alerts_alertsource_add"), {"slug": "wazuh"}).content.decode()
    assert 'value="wazuh"' in form


def test_page_somebody_bound_to_a_partner_sees_none(client: Client) -> None:
    save_source(actor=SYSTEM, slug="canary", sample=json.dumps(LAB))
    client.force_login(make_user("bound", role="admin", partners=[make_partner("own")]))
    listed = client.get(reverse("admin:alerts_alertsource_changelist"))
    assert listed.status_code == 200
    assert "canary" not in listed.content.decode()
    assert client.get(reverse("admin:alerts_alertsource_add")).status_code == 403
