"""URLs cut out of sentences, and the hosts they name."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

from alerts.iocs.hosts import canonical_domain, canonical_ip, is_ipv4

_TRAILING = ".,;:!?*_~"
_BRACKETS = {")": "(", "]": "["}


def trim_url(text: str) -> str:
    """``text`` without the punctuation of the sentence around it: ``(see http://a.com/b).`` → ``http://a.com/b``."""
    end = len(text)
    surplus = {close: text.count(close) - text.count(open_) for close, open_ in _BRACKETS.items()}
    while end:
        last = text[end - 1]
        if last in surplus and surplus[last] > 0:
            surplus[last] -= 1
        elif last not in _TRAILING:
            break
        end -= 1
    return text[:end]


def without_path(url: str) -> str:
    """``url`` up to its host."""
    scheme, _, rest = url.partition("://")
    end = min((rest.find(mark) for mark in "/?#" if mark in rest), default=len(rest))
    return f"{scheme}://{rest[:end]}/"


def host_of(url: str) -> Iterator[tuple[str, str]]:
    """Type and canonical value of the host of ``url``; nothing for a private name."""
    try:
        host = urlsplit(url).hostname or ""
        if ":" in host or is_ipv4(host):
            yield "ip", canonical_ip(host)
        else:
            yield "domain", canonical_domain(host)
    except ValueError:
        return
