"""URLs cut out of sentences, and the hosts they name."""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import urlsplit

from alerts.iocs.hosts import canonical_domain, canonical_ip, is_ipv4, known_suffix

_TRAILING = ".,;:!?*_~"
_BRACKETS = {")": "(", "]": "["}

_END = re.compile("[\x7f-\xa0\xab\xbb\u2000-\u206f\u3000-\u303f\uff00-\uff0f\uff1a-\uff20\ufffd]")
_MARKUP = re.compile(r"&(?:lt|gt|quot|nbsp|#34|#39|#x22|#x27);", re.IGNORECASE)
# These go on after an address without a blank: "https://example.com/pathを利用", "http://example.com/a下载".
_GLUED = re.compile(
    "(?<=[0-9A-Za-z])[\u3041-\u30ff\u3400-\u9fff\uac00-\ud7a3]|(?<=/)[\u3041-\u3096](?![\u3041-\u30ff])"
)
_HOST = re.compile("[A-Za-z]+://([0-9A-Za-z.-]+)(?=[\u2e80-\ua4cf\uac00-\ud7a3])")


def end_of_url(text: str, *, in_list: bool) -> str:
    """``text``, which begins with a URL, up to where markup, a script without blanks, or a list's next value begins.

    ``in_list``: a comma stands before it, so one ends it.
    """
    if not text.isascii():
        text = _END.split(text, maxsplit=1)[0]
        host = _HOST.match(text)
        if host and (is_ipv4(host[1]) or known_suffix(host[1].rpartition(".")[2])):
            text = text[: host.end()]
        glued = _GLUED.search(text)
        if glued and "?" not in text[: glued.start()]:
            text = text[: glued.start()]
    if "&" in text:
        text = _MARKUP.split(text, maxsplit=1)[0]
    return text.partition(",")[0] if in_list else text


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
