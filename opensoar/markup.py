"""The only place that turns Markdown into HTML and calls it safe.

Comments are written by people who may be deceived and quote what attackers wrote. No raw HTML, no images (they would
tell somebody else's server who is reading), links to http, https and mailto only.
"""

from __future__ import annotations

from functools import cache

import nh3
from django.utils.safestring import SafeString, mark_safe
from markdown_it import MarkdownIt

TAGS = {
    "a", "blockquote", "br", "code", "del", "em", "h1", "h2", "h3", "h4", "h5", "h6", "hr", "li", "ol", "p", "pre",
    "s", "strong", "table", "tbody", "td", "th", "thead", "tr", "ul",
}  # fmt: skip
SCHEMES = {"http", "https", "mailto"}


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


def render_markdown(text: str) -> SafeString:
    """HTML of a comment. Whatever is in ``text``, the result holds only the tags above and carries no script."""
    return mark_safe(_cleaner().clean(_parser().render(text)))  # noqa: S308  this is the one place
