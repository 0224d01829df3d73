"""What people paste and alerts have fields for: registry keys and paths of files."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise

import re2

from alerts.iocs.values import CANONICAL

_HIVE = r"\b(?i:HKEY_(?:LOCAL_MACHINE|CURRENT_USER|CLASSES_ROOT|USERS|CURRENT_CONFIG)|HK(?:LM|CU|CR|CC|U))"
_WORD = r"[^\\\s\"'<>|,;]+"
# A blank belongs to a key when a capital follows it and, later, a backslash: "…\Windows NT\CurrentVersion". RE2, for
# the standard library's engine would try every way to divide a line into keys.
_KEYS = re2.compile(
    rf"[\"']{_HIVE}:?\\{{1,2}}[^\"'<>|\n]+[\"']"
    rf"|{_HIVE}:?(?:\\{{1,2}}{_WORD}(?: [A-Z0-9(][^\\\s\"'<>|,;:]*)*)*\\{{1,2}}{_WORD}"
)
_NEXT_HIVE = re2.compile(rf" {_HIVE}")
_LAST_NAME = re.compile(r"(?: [A-Z0-9(][^\\\s\"'<>|,;:]*)+$")
_DRIVE_PATH = re.compile(r"[A-Za-z]:\\{1,2}[^\"'<>|:*?\t]{1,1000}")


def registry_keys(line: str) -> tuple[list[str], str]:
    """The registry keys in ``line``, and the line without them."""
    if "\\" not in line or not ("HK" in line or "hk" in line):
        return [], line
    keys, rest, begin = [], [], 0
    for start, end in _spans(line):
        try:
            keys.append(CANONICAL["registry_key"](_plain(line[start:end])))
        except ValueError:
            continue
        rest.append(line[begin:start])
        begin = end
    return keys, " ".join([*rest, line[begin:]])


def _spans(line: str) -> Iterator[tuple[int, int]]:
    for found in _KEYS.finditer(line):
        start, end = found.span()
        if line[start] in "\"'":
            yield start + 1, end - 1
            continue
        hives = [hive.start() for hive in _NEXT_HIVE.finditer(line[start:end])]
        if not hives and (last := _LAST_NAME.match(line, end)):  # "…\Run\My Updater" to the end of the line
            end = last.end()
        cuts = [start, *(start + hive for hive in hives), end]
        yield from pairwise(cuts)


def _plain(key: str) -> str:
    return key.strip().replace("\\\\", "\\").rstrip(".,;:)]}")


def drive_path(line: str) -> str | None:
    """A line that is nothing but the path of a file: ``C:\\ProgramData\\Intel\\igfx.exe``."""
    return line.replace("\\\\", "\\") if line[1:2] == ":" and _DRIVE_PATH.fullmatch(line) else None
