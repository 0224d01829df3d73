"""Comments become HTML that can hold what attackers write."""

import re
import time

import pytest

from opensoar.markup import TAGS, render_markdown

HOSTILE = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "![tracker](http://evil.example/pixel.png)",
    "[x](javascript:alert(1))",
    "[x](JaVaScRiPt:alert(1))",
    "[x](data:text/html;base64,PHNjcmlwdD4=)",
    "[x](vbscript:x)",
    "[x](//evil.example)",
    "[x](/alerts/1/archive)",
    "[x](\\\\evil.example)",
    '[x](http://a" onmouseover="alert(1))',
    "<javascript:alert(1)>",
    "[x][y]\n\n[y]: javascript:alert(1)",
    "&lt;script&gt;alert(1)&lt;/script&gt;",
    "`<script>`",
    "```html\n<script>alert(1)</script>\n```",
    "<a href=x hx-get=/logout hx-trigger=load>x</a>",
    "<style>*{display:none}</style>",
    "<iframe srcdoc='<script>'></iframe>",
    "\x00<b>\ufffe",
]
ELEMENT = re.compile(r"<(/?)([a-zA-Z0-9]+)([^>]*)>")
ATTRIBUTE = re.compile(r'([a-zA-Z:-]+)="([^"]*)"')


@pytest.mark.parametrize("text", HOSTILE)
def test_nothing_hostile_comes_through(text):
    html = render_markdown(text)
    for _closing, tag, attributes in ELEMENT.findall(html):
        assert tag in TAGS
        for name, value in ATTRIBUTE.findall(attributes):
            assert name in {"href", "title", "start", "rel"}
            assert name != "href" or value.startswith(("http://", "https://", "mailto:"))
            assert name != "rel" or value == "noopener noreferrer nofollow"
        assert not ATTRIBUTE.sub("", attributes).strip(" /")


def test_what_people_write_is_shown():
    html = render_markdown("# Plan\n\n1. **isolate** `ws-1`\n2. ~~wait~~\n\n> quoted\n\n|a|b|\n|-|-|\n|1|2|")
    for part in (
        "<h1>Plan</h1>",
        "<strong>isolate</strong>",
        "<code>ws-1</code>",
        "<s>wait</s>",
        "<blockquote>",
        "<td>1</td>",
    ):
        assert part in html


def test_links_lead_outside_and_say_nothing_of_us():
    assert render_markdown("[a](https://example.com/x)").strip() == (
        '<p><a href="https://example.com/x" rel="noopener noreferrer nofollow">a</a></p>'
    )
    assert 'href="mailto:a@example.com"' in render_markdown("<a@example.com>")


@pytest.mark.parametrize(
    "unit", ["[", "*a ", "> ", "`", "[a](", "|", "<", "![a](", "*_", "~~a", "- ", "[a]: <", "&", "\\"]
)
def test_the_longest_comment_takes_no_time(unit):
    text = (unit * 20_000)[:20_000]
    started = time.perf_counter()
    render_markdown(text)
    assert time.perf_counter() - started < 2


def test_more_markers_than_anybody_types_are_shown_as_they_are():
    html = render_markdown("[" * 20_000)
    assert html == "<pre>" + "[" * 20_000 + "</pre>"


def test_what_a_machine_wrote_has_no_links():
    html = render_markdown("Host [RESET](http://evil.example/) and **bold**", links=False)
    assert html.strip() == "<p>Host RESET and <strong>bold</strong></p>"


def test_characters_that_turn_others_are_named():
    assert "inv⟨U+202E⟩fdp.exe" in render_markdown("inv\u202efdp.exe")
