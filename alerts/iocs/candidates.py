"""What in a text may be an observable: one RE2 pattern, and the cheap look whether to use it at all.

Linear in the length of the text: RE2 never backtracks, and no alternative of the pattern can run past the end of the
match that wins.
"""

from __future__ import annotations

import re2

from alerts.iocs.hosts import is_ipv4, known_suffix

_URL = (
    rb"(?i:https?|ftps?|sftp|wss?|ldaps?|rmi|iiop|smb|tftp|gopher|telnet|ssh|rdp|vnc|rtsp|ircs?|tcp|udp)"
    rb"://[^\x00-\x20\"'<>`{}|\\^]+"
)
# Whatever may hold a dot or @ is one maximal run of one class. Its first label is bounded, as DNS and SMTP bound it:
# otherwise "00-11-22-33-44-55-00-11-…" makes each search for a MAC address look to the end for a dot.
_WORDS = rb"[\w%+\x80-\xff-]{1,64}(?:[.@][\w%+\x80-\xff-]+)+"
_APOSTROPHE = rb"\b[A-Za-z][\w.+-]{0,30}'[A-Za-z][\w.+-]{0,60}@[\w-]+(?:\.[\w-]+)+"
_HYPHEN = rb"[-_]|\xe2\x80[\x90-\x95]|\xe2\x88\x92|\xef\xbc\x8d"
_OPTIONS = re2.Options()
_OPTIONS.encoding = re2.Options.Encoding.LATIN1
_OPTIONS.log_errors = False
# First match wins at each place, so order matters.
CANDIDATE = re2.compile(
    b"|".join(
        (
            _URL,
            rb"\b(?i:CVE)(?:[.,: ]|" + _HYPHEN + rb")[0-9]{4}(?:" + _HYPHEN + rb")[0-9]{4,10}\b",
            _APOSTROPHE,
            _WORDS,
            rb"\b(?:[0-9A-Fa-f]{2}-){5}[0-9A-Fa-f]{2}\b",
            rb"\b[0-9]{1,10}:[A-Za-z0-9+/]{7,64}:[A-Za-z0-9+/]{3,64}",
            rb"[0-9A-Fa-f]*:[0-9A-Fa-f]*:[0-9A-Fa-f:.]*",
            rb"\b[0-9A-Fa-f]{32}[0-9A-Fa-f]*\b",
            rb"\b(?:AS[0-9]{1,10}|AS [0-9]{3,10}|as[0-9]{3,10}|(?i:asn)[:=#]? ?[0-9]{1,10})\b",
            rb"\b0x[0-9A-Fa-f]{40}\b",
            rb"\b(?:bc1[02-9ac-hj-np-z]{11,71}|BC1[02-9AC-HJ-NP-Z]{11,71}|[13][1-9A-HJ-NP-Za-km-z]{25,34})\b",
            rb"\b[48][1-9A-HJ-NP-Za-km-z]{94}\b",
        )
    ),
    _OPTIONS,
)
"""What is judged, in UTF-8 bytes."""


def worth_scanning(text: str) -> bool:
    """A cheap look: when it says no, nothing would be found (file names apart)."""
    if "." in text:
        text = text.rstrip(".")
        if len(text) > 40 or not text.isascii() or not text.replace(".", "").isalnum():
            return True
        # One dotted word, as most fields with a dot are: "8.14.2", "T1059.001", "powershell.exe".
        return known_suffix(text.rpartition(".")[2]) or is_ipv4(text) or len(text) == 14
    if ":" in text or "@" in text or "AS" in text or len(text) >= 26:
        return True
    if "[" in text or "(" in text or "{" in text:  # evil[dot]com
        return True
    if "-" in text and ("CVE" in text or "cve" in text or text.count("-") >= 5):
        return True
    return text.startswith(("as", "CVE", "cve")) or " dot " in text
