"""Log lines that cannot be forged: one record is one line, control characters are escaped."""

from __future__ import annotations

import logging
import re
import time

# C0, DEL, C1, line and paragraph separators, bidirectional controls: what could break a line or fool a terminal.
UNSAFE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def one_line(text: str) -> str:
    """``text`` with every control character shown as an escape."""
    return UNSAFE.sub(lambda match: match.group().encode("unicode_escape").decode("ascii"), text)


class OneLineFormatter(logging.Formatter):
    """``time level logger message``; a traceback is joined to the same line."""

    def format(self, record: logging.LogRecord) -> str:
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        text = record.getMessage()
        if record.exc_info:
            text += "\n" + self.formatException(record.exc_info)
        return f"{stamp}.{int(record.msecs):03d}Z {record.levelname} {record.name} {one_line(text)}"
