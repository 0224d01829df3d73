"""The questions behind the pages of playbooks and runs."""

from __future__ import annotations

from dataclasses import dataclass

import orjson

from opensoar.actors import Actor
from playbooks_engine.models import ActionResult, CallOutput, Playbook, PlaybookFile, PlaybookRun
from playbooks_engine.querysets import RunQuerySet

SHOWN_STEPS = 300
SHOWN_CHARACTERS = 20_000  # of one input or output; the API has the whole


@dataclass(frozen=True, slots=True)
class Step:
    """One line of a run's journal as it is read; ``input`` and ``output`` are indented JSON, cut where too long."""

    call: ActionResult
    input: str
    output: str | None


def playbooks(actor: Actor) -> list[Playbook]:
    """In the order in which one event would run them."""
    return list(Playbook.objects.visible_to(actor).select_related("partner").order_by("order", "name"))


def broken_files() -> list[PlaybookFile]:
    """Files that the last load could not import."""
    return list(PlaybookFile.objects.exclude(error=""))


def runs(actor: Actor) -> RunQuerySet:
    """What a list of runs starts from, newest first."""
    return PlaybookRun.objects.visible_to(actor).with_related()


def steps(run: PlaybookRun) -> list[Step]:
    """What a run has done, in order: two queries, however many results lie apart because they are large."""
    calls = list(run.calls.order_by("id")[:SHOWN_STEPS])
    large = [call.pk for call in calls if call.large]
    outputs = dict(CallOutput.objects.filter(pk__in=large).values_list("pk", "data")) if large else {}
    return [
        Step(call, _readable(call.input) or "", _readable(outputs.get(call.pk, call.output)))
        for call in calls
    ]


def _readable(text: str | None) -> str | None:
    if text is None:
        return None
    if len(text) > 1_000_000:  # not worth parsing to show its beginning
        return text[:SHOWN_CHARACTERS] + "…"
    pretty = orjson.dumps(orjson.loads(text), option=orjson.OPT_INDENT_2).decode()
    return pretty if len(pretty) <= SHOWN_CHARACTERS else pretty[:SHOWN_CHARACTERS] + "…"
