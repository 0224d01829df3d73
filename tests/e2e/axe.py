"""What no page may have: accessibility violations, a sideways scroll, words cut off in buttons."""

from __future__ import annotations

from collections.abc import Iterator

from axe_playwright_python.base import AXE_SCRIPT
from playwright.sync_api import Page

from tests.e2e.desk import PHONE, WIDE

RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
# Without preload: it would copy the stylesheets into a <style>, which our CSP refuses.
OPTIONS = {"preload": False, "resultTypes": ["violations"], "runOnly": {"type": "tag", "values": RULES}}

# Text that its own button does not show: wider or higher than the box, where the box hides what flows over.
CUT = """() => [...document.querySelectorAll("button, .btn, summary, .chip, .pill, .tabbar a, .side-nav a")]
  .filter(e => e.textContent.trim() && e.checkVisibility({visibilityProperty: true}) && !e.closest(".trunc, .vh"))
  .filter(e => e.scrollWidth > e.clientWidth + 1 && getComputedStyle(e).display !== "inline"
            || e.clientHeight > 0 && e.scrollHeight > e.clientHeight + 3 && getComputedStyle(e).overflow !== "visible")
  .map(e => `cut: ${e.className || e.tagName} "${e.textContent.trim().slice(0, 40)}"`)"""
SIDEWAYS = """() => document.documentElement.scrollWidth > innerWidth
  ? [`sideways: ${document.documentElement.scrollWidth} px wide, ${
      [...document.querySelectorAll("body *")].filter(e => e.getBoundingClientRect().right > innerWidth + 1
        && !e.closest(".tscroll, pre")).slice(0, 4).map(e => e.tagName + "." + e.className).join(" ")}`] : []"""


# Rows and entries are alike: axe looks at the first dozen of each list, or it would take most of the test's time.
THIN = """() => { for (const list of document.querySelectorAll("tbody, ol, ul, .rows, .stack"))
  for (const extra of [...list.children].slice(12)) extra.remove() }"""
# axe takes most of the time. Colours differ by theme and layouts by width: each is seen once.
JUDGED = (f"light, {WIDE[0]}", f"dark, {PHONE[0]}")
RUN = "async ([where, options]) => (await axe.run(where || document, options)).violations"
LOOK = """async theme => {
  document.documentElement.dataset.bsTheme = theme;
  await new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)));
  await Promise.allSettled(document.getAnimations().map(animation => animation.finished));
}"""


def looks(page: Page) -> Iterator[str]:
    """Show the page wide and narrow, light and dark; the theme is switched as its button does it."""
    for size in (WIDE, PHONE):
        page.set_viewport_size({"width": size[0], "height": size[1]})
        for theme in ("light", "dark"):
            page.evaluate(LOOK, theme)
            yield f"{theme}, {size[0]}"


def faults(page: Page, within: str | None = None) -> list[str]:
    """Everything that is wrong with what the page shows now, in every look; the page itself is thinned out by it.

    ``within`` has axe look at one part only: the dialog over a page that was looked at already.
    """
    found = []
    for name in looks(page):
        found += [f"{name}: {fault}" for fault in (*page.evaluate(CUT), *page.evaluate(SIDEWAYS))]
    if within is None:
        page.evaluate(THIN)
    for name in looks(page):
        if name in JUDGED:
            found += [f"{name}: {fault}" for fault in violations(page, within)]
    return found


def violations(page: Page, within: str | None) -> list[str]:
    """axe-core's violations, one line a place."""
    if not page.evaluate("'axe' in window"):
        page.evaluate(AXE_SCRIPT)
    found = page.evaluate(RUN, [within, OPTIONS])
    return [
        f"axe {violation['id']}: {' '.join(map(str, node['target']))} {' '.join(node['failureSummary'].split())[:200]}"
        for violation in found
        for node in violation["nodes"][:4]
    ]
