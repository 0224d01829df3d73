"""The story of the site, as an outside tester walks it: from a critical alert to a closed incident.

The same steps by the same visible names, once with JavaScript (verbs are dialogs over the page), once without (verbs
are pages of their own).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.e2e.desk import Desk, sign_in, unique

IP, DOMAIN, HASH = "198.51.100.44", "drop-zone.example", "9e107d9d372bb6826bd81d3542a419d6"
PASTE = f"The proxy saw {IP.replace('.', '[.]')} and {DOMAIN.replace('.', '[.]')}, which dropped {HASH}"


@dataclass
class Case:
    """What the story is about."""

    host: str
    critical: str
    second: str
    scanner: str


@pytest.fixture
def case(desk: Desk) -> Case:
    """A critical alert whose playbooks have run, another of the same host, and two that a suggestion joins."""
    host, scanner = unique("WS"), unique("SCANNER")
    critical = desk.send(
        f"Beacon from {host}",
        severity="critical",
        hostname=host,
        source_ip="203.0.113.200",
        rule_name="beacon",
    )
    desk.send(f"Odd logon on {host}", hostname=host)
    for number in (1, 2):
        desk.send(f"Port scan {number} by {scanner}", severity="low", hostname=scanner)
    desk.settled(critical)
    return Case(host, critical, f"Odd logon on {host}", scanner)


@pytest.mark.parametrize("js", [True, False], ids=["javascript", "without-javascript"])
def test_from_a_critical_alert_to_a_closed_incident(desk: Desk, case: Case, js: bool) -> None:
    page = desk.sit(None, js=js)
    sign_in(page, "priya", desk.password("priya"))
    open_the_alert(page, case)
    escalate(page, case, js)
    number = re.search(r"/incidents/(\d+)/", page.url)[1]  # type: ignore[index]
    link_the_second(page, case, js)
    assign(page, "Tomás Rivera", js)
    comment(page, "Mailbox searched, nothing else found")
    hand_off(page, "Tomás Rivera", js)
    add_observables(page, js)
    take_over(desk, number, js)
    accept_the_suggestion(page, case)
    page.goto(f"/incidents/{number}/")
    close(page, js)
    expect_the_whole_story(page, case)


def test_an_alert_on_its_own(desk: Desk, case: Case) -> None:
    """The other verbs of the list: Claim, Assign, Resolve, Reopen, Link to incident, Unlink, Run playbook."""
    page = desk.sit()
    page.goto("/alerts/?q=" + case.second.replace(" ", "+"))
    page.get_by_role("link", name=case.second).click()
    page.get_by_role("button", name="Claim").click()
    expect(timeline(page)).to_contain_text("Priya Nair claimed")
    link_and_unlink(page, case, unique("Odd logons"), desk)
    verb(page, "Assign").click()
    dialog(page).get_by_label("Owner").select_option(label="Ada Lindqvist")
    dialog(page).get_by_role("button", name="Assign").click()
    expect(page.locator("#alert-head")).to_contain_text("Ada Lindqvist")
    verb(page, "Resolve").click()
    dialog(page).get_by_label("Determination").select_option(label="Benign")
    dialog(page).get_by_role("button", name="Resolve").click()
    expect(page.locator("#alert-head .state")).to_have_text("Resolved")
    verb(page, "Reopen").click()
    dialog(page).get_by_role("button", name="Reopen").click()
    expect(page.locator("#alert-head .state")).to_have_text("In progress")
    verb(page, "Run playbook").click()
    choice = dialog(page).get_by_role("option", name=re.compile("^escalate_critical_alert"))
    dialog(page).get_by_label("Playbook").select_option(choice.get_attribute("value"))
    dialog(page).get_by_role("button", name="Run playbook").click()
    expect(timeline(page)).to_contain_text("escalate_critical_alert Success")


# --- steps ---------------------------------------------------------------------------------------------------------


def verb(page: Page, name: str) -> Locator:
    """The link on the page that opens a verb."""
    return page.locator("main").get_by_role("link", name=re.compile(f"^{re.escape(name)}"))


def dialog(page: Page) -> Locator:
    return page.get_by_role("dialog")


def form(page: Page, js: bool) -> Locator:
    """Where the verb asks: the dialog over the page, or the page's own form."""
    return dialog(page) if js else page.locator("main form").last


def timeline(page: Page) -> Locator:
    return page.locator("#entries")


def open_the_alert(page: Page, case: Case) -> None:
    page.get_by_role("searchbox", name="Search alerts").fill(case.host)
    page.get_by_role("searchbox", name="Search alerts").press("Enter")
    page.get_by_role("link", name=f"Beacon from {case.host}").click()
    expect(page.get_by_role("heading", level=1)).to_have_text(f"Beacon from {case.host}")
    expect(page.locator("#alert-head")).to_contain_text("Suspicious")
    expect(page.locator("#alert-observables")).to_contain_text("203.0.113.200")
    expect(timeline(page)).to_contain_text("Enrichment and evidence preservation completed")
    expect(timeline(page)).to_contain_text("escalate_critical_alert Success")


def escalate(page: Page, case: Case, js: bool) -> None:
    verb(page, "Escalate").click()
    asked = form(page, js)
    expect(asked.get_by_label("Title")).to_have_value(f"Beacon from {case.host}")
    expect(asked.get_by_label("Severity")).to_have_value("critical")
    expect(asked.get_by_label("Owner").locator("option:checked")).to_contain_text("Priya Nair")
    asked.get_by_role("button", name="Create incident").click()
    page.wait_for_url(re.compile(r"/incidents/\d+/$"))


def link_the_second(page: Page, case: Case, js: bool) -> None:
    here = page.url
    verb(page, "Link alert").click()
    search = form(page, js).get_by_role("searchbox")
    search.fill(case.second)
    if not js:
        page.get_by_role("button", name="Search", exact=True).click()
    form(page, js).get_by_role("radio", name=case.second).check()
    form(page, js).get_by_role("button", name="Link alert").click()
    expect(page.locator("#inc-alerts")).to_contain_text(case.second)
    assert page.url == here


def assign(page: Page, name: str, js: bool) -> None:
    verb(page, "Assign").click()
    form(page, js).get_by_label("Owner").select_option(label=name)
    form(page, js).get_by_role("button", name="Assign").click()
    expect(page.locator("#inc-head")).to_contain_text(f"{name} owner")


def comment(page: Page, text: str) -> None:
    page.get_by_label("Comment").fill(text)
    page.get_by_role("button", name="Comment").click()
    expect(timeline(page)).to_contain_text(text)
    expect(page.get_by_label("Comment")).to_have_value("")


def hand_off(page: Page, to: str, js: bool) -> None:
    verb(page, "Handoff note").click()
    asked = form(page, js)
    asked.get_by_label("To", exact=True).select_option(label=to)
    asked.get_by_label("Note", exact=True).fill("Host is isolated, the user was called")
    asked.get_by_label("Open questions").fill("Who forwarded the mail?\nIs the backup clean?")
    asked.get_by_role("button", name="Hand over").click()
    expect(timeline(page)).to_contain_text("Is the backup clean?")


def add_observables(page: Page, js: bool) -> None:
    verb(page, "Add observables").click()
    form(page, js).get_by_label("Paste any text").fill(PASTE)
    if not js:
        page.get_by_role("button", name="Preview").click()
    seen = page.locator("#recognised")
    expect(seen.get_by_role("listitem")).to_have_count(3)
    for value in (IP, DOMAIN, HASH):
        expect(seen).to_contain_text(value)
    form(page, js).get_by_role("button", name="Add observables").click()
    expect(page.locator("#inc-observables")).to_contain_text(HASH)


def take_over(desk: Desk, number: str, js: bool) -> None:
    """The receiver acknowledges, in a browser of his own."""
    his = desk.sit("tomas", js=js)
    his.goto(f"/incidents/{number}/")
    his.get_by_role("button", name="Acknowledge").click()
    expect(timeline(his)).to_contain_text("Acknowledged")


def accept_the_suggestion(page: Page, case: Case) -> None:
    page.locator("aside.side").get_by_role("link", name="Incidents", exact=False).first.click()
    suggested = page.get_by_role("article").filter(has_text=case.scanner)
    suggested.get_by_role("button", name="Accept").click()
    page.wait_for_url(re.compile(r"/incidents/\d+/$"))
    expect(page.locator("#inc-alerts")).to_contain_text(f"Port scan 1 by {case.scanner}")
    expect(page.locator("#inc-alerts")).to_contain_text(f"Port scan 2 by {case.scanner}")
    expect(timeline(page)).to_contain_text(
        "Priya Nair created the incident from 2 alerts, accepting a suggestion"
    )


def close(page: Page, js: bool) -> None:
    verb(page, "Close incident").click()
    asked = form(page, js)
    asked.get_by_label("Determination").select_option(label="Malicious")
    asked.get_by_label("Impact").select_option(label="Limited")
    asked.get_by_label("Summary").fill("One host, rebuilt; password changed")
    asked.get_by_role("button", name="Close incident").click()
    expect(page.locator("#inc-head")).to_contain_text("One host, rebuilt; password changed")
    expect(page.locator("#inc-head [aria-current=step]")).to_have_text("Closed")


def expect_the_whole_story(page: Page, case: Case) -> None:
    """Newest first on the page; told here in the order in which it happened."""
    entries = [" ".join(text.split()) for text in timeline(page).get_by_role("listitem").all_inner_texts()][
        ::-1
    ]
    wanted = [
        "escalate_critical_alert.*on Beacon",
        "Enrichment and evidence preservation completed",
        "Priya Nair created the incident",
        f"Priya Nair linked .*Beacon from {case.host}",
        f"Priya Nair linked .*{case.second}",
        "Priya Nair assigned it to Tomás Rivera",
        "Priya Nair .*Mailbox searched, nothing else found",
        "Priya Nair handed over to Tomás Rivera .*Who forwarded the mail",
        "Priya Nair added 3 observables",
        "Tomás Rivera (acknowledged|took over)",
        "Priya Nair closed the incident: malicious, impact limited .*One host, rebuilt",
    ]
    at = -1
    for pattern in wanted:
        found = [place for place, text in enumerate(entries) if place > at and re.search(pattern, text)]
        assert found, f"{pattern!r} is not on the timeline after the {at + 1} before it:\n" + "\n".join(
            entries
        )
        at = found[0]


def link_and_unlink(page: Page, case: Case, title: str, desk: Desk) -> None:
    reference = f"INC-{desk.open_incident(title)['number']}"
    verb(page, "Link to incident").click()
    dialog(page).get_by_role("searchbox").fill(title)
    expect(dialog(page).get_by_role("radio")).to_have_count(1)
    dialog(page).get_by_role("button", name="Link to incident").click()
    expect(page.locator("#alert-head")).to_contain_text(reference)
    page.get_by_role("link", name=f"Open {reference}").click()
    page.get_by_role("button", name=f"Unlink {case.second}").click()
    expect(page.locator("#inc-alerts")).not_to_contain_text(case.second)
    page.go_back()
    expect(page.locator("#alert-head")).not_to_contain_text(reference)
