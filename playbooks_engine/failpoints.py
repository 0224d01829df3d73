"""Named moments of the engine at which a test may strike: kill the process, hold it, cut its connection.

Nothing is ever registered in the product: ``hook`` stays ``None``, and passing a point costs one comparison.
"""

from __future__ import annotations

from collections.abc import Callable

POINTS = (
    "hook.before_commit",
    "hook.after_commit",
    "bell.before",
    "claim.after",
    "intent.before",
    "intent.after",
    "call.before",
    "call.during",
    "call.after",
    "result.before",
    "result.after",
    "finish.before",
    "finish.after",
    "park.before",
)
# Of polls, beside those of runs: a page is stored, its position is not; its position is.
POLL_POINTS = ("poll.stored", "poll.moved")
hook: Callable[[str, str], None] | None = None


def reached(point: str, what: str = "") -> None:
    """The engine stands at ``point``, about to do or having done ``what`` (a call's or a run's name)."""
    if hook is not None:
        hook(point, what)
