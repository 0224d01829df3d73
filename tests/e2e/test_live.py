"""What only a browser shows: two people at once, news that moves nothing, focus, keys, a session that ends."""

from __future__ import annotations

import re

from playwright.sync_api import Page, expect

from tests.e2e.axe import faults
from tests.e2e.desk import Desk, unique

LIVE = 3.0  # seconds between two polls
FOLLOWS = 1000 * 3 * LIVE  # milliseconds: a poll, and a busy machine
TOP = "document.querySelector('.queue tbody tr').getBoundingClientRect().top"


def queue_of(page: Page, word: str) -> None:
    page.goto(f"/alerts/?q={word}&status=open")


def row_titles(page: Page) -> list[str]:
    return page.locator(".queue .t a").all_inner_texts()


def test_what_one_does_the_other_sees(desk: Desk) -> None:
    word = unique("LIVE")
    alert = desk.send(f"First {word}")
    desk.settled(alert)
    hers, his, queue = desk.sit("priya"), desk.sit("tomas"), desk.sit("ada")
    for page in (hers, his):
        page.goto(f"/alerts/{alert}/")
    queue_of(queue, word)
    his.get_by_label("Comment").fill("Half a sentence that nobody may")
    hers.get_by_role("button", name="Claim").click()
    expect(his.locator("#entries")).to_contain_text("Priya Nair claimed", timeout=FOLLOWS)
    expect(his.locator("#alert-head")).to_contain_text("Priya Nair", timeout=FOLLOWS)
    expect(queue.locator(".queue tbody .c-own")).to_contain_text("Priya Nair", timeout=FOLLOWS)
    hers.get_by_label("Comment").fill("I have this one")
    hers.keyboard.press("Control+Enter")
    expect(hers.locator("#entries")).to_contain_text("I have this one")
    expect(his.locator("#entries")).to_contain_text("I have this one", timeout=FOLLOWS)
    expect(his.get_by_label("Comment")).to_have_value("Half a sentence that nobody may")
    expect(his.get_by_label("Comment")).to_be_focused()


def test_the_incident_page_follows(desk: Desk) -> None:
    number = desk.open_incident(unique("Followed"))["number"]
    hers, his = desk.sit("priya"), desk.sit("tomas")
    for page in (hers, his):
        page.goto(f"/incidents/{number}/")
    his.get_by_label("Comment").fill("typing")
    hers.get_by_role("link", name=re.compile("^Assign")).click()
    hers.get_by_role("dialog").get_by_label("Owner").select_option(label="Tomás Rivera")
    hers.get_by_role("dialog").get_by_role("button", name="Assign").click()
    expect(his.locator("#inc-head")).to_contain_text("Tomás Rivera owner", timeout=FOLLOWS)
    hers.get_by_role("button", name="Contained").click()
    expect(his.locator("#inc-head [aria-current=step]")).to_have_text("Contained", timeout=FOLLOWS)
    expect(his.get_by_label("Comment")).to_have_value("typing")


def test_new_alerts_announce_themselves_and_move_nothing(desk: Desk) -> None:
    word = unique("NEWS")
    desk.send(f"Old {word}")
    page = desk.sit()
    queue_of(page, word)
    before = page.evaluate(TOP)
    desk.send(f"New {word}", severity="high")
    expect(page.locator(".newbar")).to_contain_text("1 new alert, 1 high.", timeout=FOLLOWS)
    assert row_titles(page) == [f"Old {word}"]
    assert page.evaluate(TOP) == before
    page.keyboard.press(".")
    expect(page.locator(".queue .t a")).to_have_text([f"New {word}", f"Old {word}"])
    expect(page.locator(".newbar")).to_have_count(0)


def test_a_run_s_page_follows_the_run(desk: Desk) -> None:
    desk.product.gate.unlink(missing_ok=True)
    page = desk.sit("sofia")
    page.goto("/playbooks/")
    page.get_by_role("link", name="gated", exact=True).click()
    page.get_by_role("link", name=re.compile("^Run playbook")).click()
    page.get_by_role("dialog").get_by_role("button", name="Run playbook").click()
    page.wait_for_url("**/runs/*/")
    expect(page.locator("#run-steps")).to_contain_text("1 of 2 done")
    expect(page.locator("#run-head .state").first).to_have_text("Running")
    desk.product.gate.write_text("go on")
    expect(page.locator("#run-head .state").first).to_have_text("Success")
    expect(page.locator("#run-steps")).to_contain_text("2 of 2 done")


def test_focus_returns_from_a_dialog(desk: Desk) -> None:
    alert = desk.send(unique("Focus"))
    page = desk.sit()
    page.goto(f"/alerts/{alert}/")
    resolve = page.get_by_role("link", name=re.compile("^Resolve"))
    resolve.click()
    expect(page.get_by_role("dialog")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(resolve).to_be_focused()
    page.keyboard.press("a")
    page.get_by_role("dialog").get_by_role("button", name="Cancel").click()
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(resolve).to_be_focused()  # a key moves nothing: it comes back to where the reader was


def test_the_keys_of_the_queue(desk: Desk) -> None:
    word = unique("KEYS")
    for number in (1, 2, 3):
        desk.send(f"Alert {number} {word}")
    page = desk.sit()
    queue_of(page, word)
    cursor = page.locator("tr.is-cursor .t a")
    page.keyboard.press("j")
    expect(cursor).to_have_text(f"Alert 3 {word}")
    page.keyboard.press("j")
    expect(cursor).to_have_text(f"Alert 2 {word}")
    expect(cursor).to_be_focused()
    page.keyboard.press("k")
    expect(cursor).to_have_text(f"Alert 3 {word}")
    page.keyboard.press("x")
    expect(page.get_by_role("toolbar")).to_contain_text("1 selected")
    page.keyboard.press("Escape")
    expect(page.get_by_role("toolbar")).to_be_hidden()
    page.keyboard.press("c")
    row = page.locator("tr.is-cursor .c-own")
    expect(row).to_contain_text("Priya Nair")
    page.keyboard.press("Escape")
    page.keyboard.press("/")
    expect(page.get_by_role("searchbox", name="Search alerts")).to_be_focused()
    page.keyboard.type("c?x")  # letters are letters while one types
    expect(page.get_by_role("toolbar")).to_be_hidden()
    expect(page.get_by_role("dialog")).to_have_count(0)


def test_the_keys_that_work_everywhere(desk: Desk) -> None:
    alert = desk.send(unique("Palette"))
    page = desk.sit()
    page.goto(f"/alerts/{alert}/")
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Keyboard")).to_be_visible()
    page.keyboard.press("Escape")
    page.keyboard.press("Control+k")
    page.get_by_role("combobox", name="Search").fill("playb")
    page.keyboard.press("Enter")
    page.wait_for_url("**/playbooks/")
    page.keyboard.press("g")
    page.keyboard.press("q")
    page.wait_for_url("**/alerts/")
    page.keyboard.press("o")
    page.wait_for_url(re.compile(r"/alerts/[0-9a-f-]{36}/$"))


SIGNED_OUT = ("401: POST", "401 .Unauthorized", "htmx-2.*js|Error Code 401")


def sign_in_over_the_page(desk: Desk, page: Page) -> None:
    asked = page.get_by_role("dialog", name="Your session has ended")
    expect(asked).to_be_visible()
    wrong = faults(page, "#sign-in dialog")
    assert not wrong, "\n".join(wrong)
    asked.get_by_label("Username").fill("ada")
    asked.get_by_label("Password").fill(desk.password("ada"))
    asked.get_by_role("button", name="Sign in").click()
    expect(asked).to_have_count(0)


def test_an_ended_session_asks_over_the_page_and_goes_on(desk: Desk) -> None:
    page = desk.sit("ada")
    page.goto(f"/alerts/{desk.send(unique('Ended'))}/")
    page.get_by_label("Comment").fill("Long thought, not to be lost")
    page.context.clear_cookies(name="sessionid")
    page.get_by_role("button", name="Comment").click()
    sign_in_over_the_page(desk, page)
    expect(page.locator("#entries")).to_contain_text("Long thought, not to be lost")
    for problem in SIGNED_OUT:
        desk.expect_problem(page, problem)


def test_an_ended_session_asks_over_a_dialog_too(desk: Desk) -> None:
    page = desk.sit("ada")
    page.goto(f"/alerts/{desk.send(unique('Ended'))}/")
    page.get_by_role("link", name=re.compile("^Resolve")).click()
    page.get_by_role("dialog").get_by_label("Determination").select_option(label="Benign")
    page.get_by_role("dialog").get_by_label("Reason").fill("Known scanner")
    page.context.clear_cookies(name="sessionid")
    page.get_by_role("dialog").get_by_role("button", name="Resolve").click()
    sign_in_over_the_page(desk, page)
    expect(page.locator("#entries")).to_contain_text("Known scanner")
    expect(page.get_by_role("dialog")).to_have_count(0)
    for problem in SIGNED_OUT:
        desk.expect_problem(page, problem)


def test_a_server_that_is_gone_is_said_and_nothing_is_lost(desk: Desk) -> None:
    alert = desk.send(unique("Offline"))
    page = desk.sit()
    page.goto(f"/alerts/{alert}/")
    page.get_by_label("Comment").fill("Written on a train")
    page.context.set_offline(True)
    page.get_by_role("button", name="Comment").click()
    expect(page.locator("#messages")).to_contain_text("No connection")
    page.context.set_offline(False)
    page.get_by_role("button", name="Comment").click()
    expect(page.locator("#entries")).to_contain_text("Written on a train")
    for problem in (
        "ERR_INTERNET_DISCONNECTED",
        "console error: htmx:afterRequest",
        "console error: htmx:sendError",
    ):
        desk.expect_problem(page, problem)
