"""The only place that turns Markdown into HTML and calls it safe.

Comments are written by people who may be deceived and quote what attackers wrote. No raw HTML, no images (they would
tell somebody else's server who is reading), links to http, https and mailto only.
"""

from __future__ import annotations

from functools import cache, lru_cache

import nh3
from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe
from markdown_it import MarkdownIt

from opensoar.text import visible

TAGS = {
    "a", "blockquote", "br", "code", "del", "em", "h1", "h2", "h3", "h4", "h5", "h6", "hr", "li", "ol", "p", "pre",
    "s", "strong", "table", "tbody", "td", "th", "thead", "tr", "ul",
}  # fmt: skip
SCHEMES = {"http", "https", "mailto"}
MARKERS = "[]()*_`<>!~|"
MAX_MARKERS = 1000


@cache
def _parser() -> MarkdownIt:
    parser = MarkdownIt("commonmark", {"html": False, "breaks": True, "maxNesting": 20})
    return parser.enable(["table", "strikethrough"]).disable("image")


@cache
def _cleaner() -> nh3.Cleaner:
    return nh3.Cleaner(
        tags=TAGS,
        attributes={"a": {"href", "title"}, "ol": {"start"}},
        url_schemes=SCHEMES,
        link_rel="noopener noreferrer nofollow",
        attribute_filter=_absolute_only,
    )


def _absolute_only(tag: str, attribute: str, value: str) -> str | None:
    """Drop links without a scheme: ``//evil.example`` and ``/delete`` look like ours and need not be."""
    if attribute == "href" and value.partition(":")[0].lower() not in SCHEMES:
        return None
    return value


@cache
def _linkless() -> nh3.Cleaner:
    return nh3.Cleaner(tags=TAGS - {"a"}, attributes={"ol": {"start"}}, link_rel=None)


@lru_cache(maxsize=512)
def render_markdown(text: str, *, links: bool = True) -> SafeString:
    """HTML of a comment. Whatever is in ``text``, the result holds only the tags above and carries no script.

    ``links=False`` for what a machine wrote: it may quote an attacker, whose link nobody should find under our words.
    Text with more markers than anybody types is shown as it is, since the parser's time grows with their square.
    """
    text = visible(text)
    if any(text.count(marker) > MAX_MARKERS for marker in MARKERS):
        return format_html("<pre>{}</pre>", text)
    html = _parser().render(text)
    return mark_safe((_cleaner() if links else _linkless()).clean(html))  # noqa: S308  this is the one place
