"""Calls that were begun and never finished: whether they happened, and who knows."""

from __future__ import annotations

import asyncio
import functools
import inspect
from contextvars import copy_context
from typing import TYPE_CHECKING, Any

import orjson

from playbooks_engine import rows
from playbooks_engine.codec import said
from playbooks_engine.context import current_call_key
from playbooks_engine.lineage import current_lineage
from playbooks_engine.run_parts import NO_ANSWER, Call, Question

if TYPE_CHECKING:
    from playbooks_engine.registry import ActionSpec
    from playbooks_engine.runner import LiveRun


async def outcome_of(
    live: LiveRun, spec: ActionSpec, args: tuple[Any, ...], kwargs: dict[str, Any], call: Call, encoded: str
) -> Any:
    """The result of a call that had happened, or ``NO_ANSWER`` where it is to be made (again).

    ``verify=`` asks the target; without it, and where the call must not be made twice, a person is asked.

    Raises:
        Detached: a person is asked.
    """
    if spec.verify is None:
        if spec.idempotent is False:
            _ask_a_person(live, call, encoded, "")
        return NO_ANSWER
    try:
        found = await _verify(live, spec, args, kwargs, call)
    except Exception as error:
        _ask_a_person(live, call, encoded, f" Asking the target failed: {said(error)}")
    if found is None:
        call.decision = "not_done"
        return NO_ANSWER
    await live.durable([(rows.ATTEMPTS_VERIFIED, (rows.utcnow(), call.id))])
    return live.succeed(spec, call.id, None, call.key, found)


async def _verify(
    live: LiveRun, spec: ActionSpec, args: tuple[Any, ...], kwargs: dict[str, Any], call: Call
) -> Any:
    verify = spec.verify
    assert verify is not None
    outer = current_lineage.get()
    assert outer is not None
    # What it calls shifts no key of the playbook, and is asked anew for each attempt that is in doubt.
    token = current_lineage.set(outer.inside(call.key, -call.attempts))
    named = current_call_key.set(str(call.idempotency_key))
    live.in_flight += 1
    try:
        async with asyncio.timeout(spec.timeout):
            if inspect.iscoroutinefunction(verify):
                return await verify(*args, **kwargs)
            body = functools.partial(copy_context().run, functools.partial(verify, *args, **kwargs))
            return await live.services.in_action_thread(body)
    finally:
        live.in_flight -= 1
        current_call_key.reset(named)
        current_lineage.reset(token)


def _ask_a_person(live: LiveRun, call: Call, encoded: str, why: str) -> None:
    live.stop_with(
        Question(
            reason="unknown_outcome",
            text=f"{call.name!r} was started, and its outcome is unknown: the worker ended before it was recorded. "
            f"It must not be made twice, so it is not called again without you.{live.hidden(why)}",
            choices=("done", "not_done", "again", "cancel"),
            call_id=str(call.id),
            detail={"name": call.name, "arguments": orjson.loads(encoded)},
        )
    )
