"""The questions behind the page of one run: what it did and when, what it asks, why it waits."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

import orjson
from django.utils import timezone
from django.utils.translation import gettext as _

from opensoar.actors import Actor
from opensoar.web.live import Watch, watch
from playbooks_engine.models import ActionAttempt, ActionResult, Approval, CallOutput, PlaybookRun, RunLog
from playbooks_engine.pages import SHOWN_STEPS, in_seconds

SHOWN_CHARACTERS = 20_000  # of one input or output; the API has the whole
SHOWN_LINES = 200
SHOWN_FACTS = 20  # of what is to be approved, each cut after
FACT_CHARACTERS = 500


class Bar(NamedTuple):
    """One attempt on the time line of a run; per cent of its width."""

    shade: str
    left: float
    width: float


@dataclass(frozen=True, slots=True)
class Step:
    """One line of a run's journal: the call, and its attempts as bars between start and end of the run."""

    call: ActionResult
    bars: list[Bar]


LANE = 96  # per cent of the lane that the run's time fills
SHADES = {"success": "f-good", "failed": "bar-try", "started": "f-info"}


def steps(run: PlaybookRun) -> list[Step]:
    """What a run has done, in order, without inputs and outputs: two queries."""
    calls = list(run.calls.defer("input", "output", "error_value").order_by("id")[:SHOWN_STEPS])
    attempts: dict[UUID, list[ActionAttempt]] = {call.pk: [] for call in calls}
    for attempt in ActionAttempt.objects.filter(call_id__in=attempts).order_by("number"):
        attempts[attempt.call_id].append(attempt)
    first, whole = _span(run, calls)

    def bar(state: str, begun: datetime, ended: datetime | None) -> Bar:
        width = ((ended or first + whole) - begun) / whole * LANE
        return Bar(
            SHADES.get(state, "f-medium"), round((begun - first) / whole * LANE, 2), round(max(width, 0.6), 2)
        )

    def bars(call: ActionResult) -> list[Bar]:
        if call.attempts < 2:
            return [bar(call.state, call.started_at, call.finished_at)]
        return [bar(tried.state, tried.started_at, tried.finished_at) for tried in attempts[call.pk]]

    return [Step(call, bars(call)) for call in calls]


def _span(run: PlaybookRun, calls: list[ActionResult]) -> tuple[datetime, timedelta]:
    """When the run's first call began, and how long it took from there to its end, or to now.

    A call that a cancel interrupted has no end: it lasted as long as the run.
    """
    first = min((call.started_at for call in calls), default=run.created_at)
    ends = [call.finished_at or run.finished_at or first for call in calls]
    last = max(ends, default=first) if run.is_final else timezone.now()
    return first, max(last - first, timedelta(milliseconds=1))


def axis(run: PlaybookRun, shown: list[Step]) -> list[tuple[int, str]]:
    """Marks of the time line: (per cent, how long after the first call)."""
    if not shown:
        return []
    _first, whole = _span(run, [step.call for step in shown])
    return [(int(LANE * part), in_seconds(whole.total_seconds() * part)) for part in (0, 0.25, 0.5, 0.75, 1)]


@dataclass(frozen=True, slots=True)
class Detail:
    """A call as it is read; ``input`` and ``output`` are indented JSON, cut where too long."""

    call: ActionResult
    input: str | None
    output: str | None


def detail(run: PlaybookRun, wanted: str, shown: Iterable[Step]) -> Detail | None:
    """The call that was asked for, else the one that failed or is under way, else the last."""
    calls = [step.call for step in shown]
    if not calls:
        return None
    telling = next((call for call in calls if call.state != "success"), calls[-1])
    pk = next((call.pk for call in calls if str(call.pk) == wanted), telling.pk)
    call = run.calls.get(pk=pk)
    output = call.output
    if call.large:
        output = CallOutput.objects.filter(pk=call.pk).values_list("data", flat=True).first()
    return Detail(call, readable(call.input), readable(output))


def readable(text: str | None) -> str | None:
    """JSON indented for reading, cut where too long; ``None`` for none."""
    if text is None:
        return None
    if len(text) > 1_000_000:  # not worth parsing to show its beginning
        return text[:SHOWN_CHARACTERS] + "…"
    pretty = orjson.dumps(orjson.loads(text), option=orjson.OPT_INDENT_2).decode()
    return pretty if len(pretty) <= SHOWN_CHARACTERS else pretty[:SHOWN_CHARACTERS] + "…"


@dataclass(frozen=True, slots=True)
class Asked:
    """An approval as it is read; ``facts``: what would be done, by name (of what has no names, one without)."""

    approval: Approval
    facts: list[tuple[str, str]]


def asked(approval: Approval) -> Asked:
    """What a run asks for, or asked."""
    of = orjson.loads(approval.of) if approval.of else None
    named = of.items() if isinstance(of, dict) else [] if of is None else [("", of)]
    texts = [
        (name, value if isinstance(value, str) else orjson.dumps(value).decode()) for name, value in named
    ]
    return Asked(approval, [(name, text[:FACT_CHARACTERS]) for name, text in texts[:SHOWN_FACTS]])


def approvals(run: PlaybookRun) -> tuple[list[Asked], list[Asked]]:
    """What it asks now, and what it asked before, oldest first."""
    found = [asked(approval) for approval in run.approvals.order_by("id")]
    now = [] if run.is_final else [each for each in found if each.approval.state == Approval.State.PENDING]
    return now, [each for each in found if each not in now]


class Waiting(NamedTuple):
    """Why a run does not move, and when it does again by itself if that is known."""

    why: str
    until: datetime | None = None


def waiting(run: PlaybookRun, siblings: list[PlaybookRun], asks: list[Asked]) -> Waiting | None:
    """What is said of a run that waits; ``None`` where it moves, has ended, or is told elsewhere on its page."""
    if run.state not in (PlaybookRun.State.PENDING, PlaybookRun.State.WAITING) or run.cancel_requested_at:
        return None
    turn = next((other for other in siblings if not other.is_final), run)
    if turn.pk != run.pk:
        return Waiting(_("Its turn comes after %(name)s.") % {"name": turn.playbook.name})
    sequence = run.sequence
    if not sequence.waits_for or (asks and sequence.wake_at):  # a lane has no time
        return None
    soon = timezone.now() + timedelta(seconds=5)  # looks again every second, which tells nobody anything
    return Waiting(
        sequence.waits_for, sequence.wake_at if sequence.wake_at and sequence.wake_at > soon else None
    )


def logs(run: PlaybookRun) -> list[RunLog]:
    """What it logged last, oldest first."""
    return list(run.logs.order_by("-id")[:SHOWN_LINES])[::-1]


def sequence_of(run: PlaybookRun) -> list[PlaybookRun]:
    """The runs that one event caused, in their order; none where it is the only one."""
    siblings = list(run.sequence.runs.select_related("playbook").order_by("position"))
    return siblings if len(siblings) > 1 else []


def watch_run(actor: Actor, pk: UUID) -> Watch:
    """What a page has seen of one run: its state, and that of every call."""
    runs = PlaybookRun.objects.visible_to(actor).filter(pk=pk).order_by()
    calls = ActionResult.objects.filter(run__in=runs).order_by()
    return watch(
        runs.values_list("state", "cancel_requested_at", "sequence__state", "sequence__wake_at"),
        calls.values_list("pk", "state", "attempts"),
        Approval.objects.filter(run__in=runs).order_by().values_list("pk", "state"),
        RunLog.objects.filter(run__in=runs).order_by().values_list("pk"),
    )
