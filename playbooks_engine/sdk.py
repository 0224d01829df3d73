"""What playbook authors import, by way of ``from opensoar import …``.

Imports only pure Python of this package, so that a playbook file can be linted and unit-tested
with no settings, no database and no broker. A decorator records; the engine runs: `@playbook`
returns the function itself, and an action called outside a run is simply that function.
"""

from __future__ import annotations

import functools
import uuid
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping
from datetime import timedelta
from typing import Any, ParamSpec, TypeVar

from playbooks_engine import context, options
from playbooks_engine.options import (
    durable_name,
    first_line,
    one_of,
    origin,
    plain_text,
    seconds,
    strict_options,
    whole_number,
)
from playbooks_engine.registry import (
    ON_FAILURE,
    PRIORITIES,
    ActionSpec,
    PlaybookSpec,
    active_registry,
    parameters_of,
)

__all__ = [
    "action",
    "add_current_alert_comment",
    "assign_current_alert",
    "get_current_alert_id",
    "playbook",
    "resolve_current_alert",
    "update_current_alert",
]

P = ParamSpec("P")
PlaybookT = TypeVar("PlaybookT", bound=Callable[..., Awaitable[Any]])

STATUSES = ("new", "in_progress", "resolved")
DETERMINATIONS = ("unknown", "malicious", "suspicious", "benign")


@strict_options
def playbook(
    trigger: str | None = None,
    *,
    conditions: Mapping[str, Any] | None = None,
    description: str = "",
    name: str | None = None,
    order: int = 1000,
    priority: str = "default",
    on_failure: str = "continue",
    enabled: bool = True,
    aliases: Iterable[str] = (),
    when: Callable[[Any], object] | None = None,
    cron: str | None = None,
    timeout: timedelta | float | None = None,
    lane: str | None = None,
    lane_hold: bool = False,
    max_concurrent: int | None = None,
) -> Callable[[PlaybookT], PlaybookT]:
    """Declare an `async def` function to be a playbook; returns the function itself.

    Args:
        trigger: ``"webhook"`` for every ingested alert, the name of a source (``"elastic"``),
            ``"alert.updated"``, ``"alert.resolved"``, ``"alert.reopened"``,
            ``"incident"``, ``"incident.updated"``, ``"incident.closed"``, ``"observable"``,
            ``"schedule"``, or None (also ``"manual"``) for a playbook that people start.
        conditions: which alerts (incidents, observables), see docs/playbooks.md; none means all.
        name: durable identity, by default the function's name.
        order: position among the playbooks of one event, ascending; the name breaks ties.
        priority: ``"high"``, ``"default"`` or ``"low"``: which sequences workers take first.
        on_failure: ``"stop"`` skips the rest of the sequence when this playbook fails.
        enabled: initial position of the switch on the page.
        aliases: former names, so that their history stays with this playbook.
        when: predicate for what conditions cannot say; the worker evaluates it first and records
            the run as skipped where it is false.
        cron: when a ``"schedule"`` is due, five fields in the installation's time zone.
        timeout: how long a run may take, waiting included; seconds or a timedelta.
        lane: field whose value keeps sequences about one thing from interleaving (``"hostname"``).
        lane_hold: keep the lane while a run waits.
        max_concurrent: how many runs of this playbook there may be at once, over all workers.

    Raises:
        ValueError, TypeError: something that cannot work, said at declaration.
    """
    trigger = options.trigger_name(trigger)
    condition = options.conditions_for(trigger, conditions)
    cron = options.cron_for(trigger, cron)
    limit = options.duration("timeout", timeout)
    lane = options.lane_for(trigger, lane)
    options.true_or_false("lane_hold", lane_hold)
    if lane_hold and lane is None:
        raise ValueError("lane_hold keeps a lane: give lane= as well")
    options.count("max_concurrent", max_concurrent)
    one_of("priority", priority, PRIORITIES)
    one_of("on_failure", on_failure, ON_FAILURE)
    whole_number(order)
    options.true_or_false("enabled", enabled)
    if when is not None and (not callable(when) or options.is_async(when)):
        raise TypeError("when takes a plain function of the trigger's object that returns a bool")
    if isinstance(aliases, str):
        raise TypeError(f"aliases is a list of names: aliases=[{aliases!r}]")
    plain_text("description", description)
    former = tuple(durable_name("alias", alias) for alias in aliases)

    def declare(func: PlaybookT) -> PlaybookT:
        own_name = durable_name("name", name if name is not None else func.__name__)
        if len({own_name, *former}) <= len(former):
            raise ValueError(f"playbook {own_name!r}: name and aliases must all differ")
        if not options.is_async(func):
            raise TypeError(f"playbook {own_name!r} must be an `async def` function")
        spec = PlaybookSpec(
            name=own_name,
            func=func,
            trigger=trigger,
            conditions=condition,
            description=description or first_line(func),
            order=order,
            priority=priority,
            when=when,
            on_failure=on_failure,
            enabled=enabled,
            aliases=former,
            cron=cron,
            timeout=limit,
            lane=lane,
            lane_hold=lane_hold,
            max_concurrent=max_concurrent,
            parameters=parameters_of(func, f"playbook {own_name!r}"),
            **origin(func),
        )
        if (registry := active_registry()) is not None:
            registry.register(spec)
        func.opensoar_playbook = spec  # type: ignore[attr-defined]
        return func

    return declare


@strict_options
def action(
    name: str | None = None,
    *,
    timeout: float = 300,
    retries: int = 0,
    retry_backoff: float = 1.0,
    description: str = "",
    idempotent: bool | None = None,
    verify: Callable[..., Any] | None = None,
) -> Callable[[Callable[P, Any]], Callable[P, Coroutine[Any, Any, Any]]]:
    """Declare a function to be an action: a step with a result that is kept and never redone.

    Works on `async def` and on `def` (which the engine runs in a thread); either is awaited by
    the caller. Outside a run the function is called straight: no timeout, no retries.

    Args:
        timeout: seconds for one attempt.
        retries: further attempts after one that raised or timed out.
        retry_backoff: before attempt n+1 the engine sleeps ``retry_backoff ** n`` seconds.
        idempotent: what to do with a call whose outcome is unknown after a crash: True calls it
            again, False stops and asks a person, None calls it again and marks the repeat.
        verify: asked first about such a call, with the call's own arguments (`def` or `async def`):
            None says that it was not done, and it is made; anything else is taken as its result.
            Where `verify` raises, a person is asked.

    Raises:
        ValueError, TypeError: something that cannot work, said at declaration.
    """
    seconds("timeout", timeout, above_zero=True)
    seconds("retry_backoff", retry_backoff, above_zero=False)
    if isinstance(retries, bool) or not isinstance(retries, int) or retries < 0:
        raise ValueError(f"retries is a whole number from 0 up, not {retries!r}")
    if idempotent is not None and not isinstance(idempotent, bool):
        raise TypeError(f"idempotent is True, False or None, not {idempotent!r}")
    if verify is not None and not callable(verify):
        raise TypeError("verify takes a function with the action's own parameters")
    plain_text("description", description)

    def declare(func: Callable[P, Any]) -> Callable[P, Coroutine[Any, Any, Any]]:
        spec = ActionSpec(
            name=durable_name("name", name if name is not None else func.__name__),
            func=func,
            timeout=timeout,
            retries=retries,
            retry_backoff=retry_backoff,
            description=description or first_line(func),
            idempotent=idempotent,
            verify=verify,
            is_async=options.is_async(func),
            **origin(func),
        )

        @functools.wraps(func)
        async def call(*args: P.args, **kwargs: P.kwargs) -> Any:
            run = context.current_run.get()
            if run is not None:
                return await run.call_action(spec, args, kwargs)
            result = func(*args, **kwargs)
            return await result if spec.is_async else result

        if (registry := active_registry()) is not None:
            registry.register_action(spec)
        call.opensoar_action = spec  # type: ignore[attr-defined]
        return call

    return declare


def get_current_alert_id() -> str | None:
    """Return the id of the alert that the current run is about; None if there is no such run."""
    run = context.current_run.get()
    return run.alert_id if run is not None else None


async def update_current_alert(
    *,
    status: str | None = None,
    determination: str | None = None,
    reason: str | None = None,
    partner: str | None = None,
    activity_action: str | None = None,
    activity_detail: str | None = None,
    activity_metadata: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Change the alert of the current run, as a durable step.

    Args:
        reason: why; kept with the alert and in its timeline.
        activity_action, activity_detail: a further timeline entry, if both are given.

    Returns:
        ``{alert_id, status, determination, partner, resolved_at}``

    Raises:
        ValueError: nothing to change, an unknown word, or ``resolved`` without a determination.
        NoCurrentRun: outside a run.
    """
    if status is None and determination is None and reason is None and partner is None:
        raise ValueError(
            "update_current_alert() has nothing to change: give at least one of status, "
            "determination, reason, partner"
        )
    if status is not None:
        one_of("status", status, STATUSES)
    if determination is not None:
        one_of("determination", determination, DETERMINATIONS)
    if status == "resolved" and determination in (None, "unknown"):
        raise ValueError(
            "resolving an alert takes a determination other than 'unknown': one of "
            "malicious, suspicious, benign"
        )
    run = context.alert_run_for("update_current_alert")
    arguments = {
        "status": status,
        "determination": determination,
        "reason": reason,
        "partner": partner,
        "activity_action": activity_action,
        "activity_detail": activity_detail,
        "activity_metadata": activity_metadata,
    }
    return await _step(run, "update_current_alert", arguments)


async def resolve_current_alert(
    *,
    determination: str,
    reason: str | None = None,
    partner: str | None = None,
    activity_action: str | None = None,
    activity_detail: str | None = None,
    activity_metadata: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Resolve the alert of the current run, as a durable step.

    Returns:
        ``{alert_id, status, determination, partner, resolved_at}``

    Raises:
        ValueError: a determination other than malicious, suspicious or benign.
        NoCurrentRun: outside a run.
    """
    one_of("determination", determination, DETERMINATIONS[1:])
    run = context.alert_run_for("resolve_current_alert")
    arguments = {
        "determination": determination,
        "reason": reason,
        "partner": partner,
        "activity_action": activity_action,
        "activity_detail": activity_detail,
        "activity_metadata": activity_metadata,
    }
    return await _step(run, "resolve_current_alert", arguments)


async def add_current_alert_comment(text: str, *, metadata: dict[str, Any] | None = None) -> dict[str, Any]:
    """Comment on the alert of the current run, as a durable step.

    Returns:
        ``{alert_id, comment_id, action, detail}``

    Raises:
        ValueError: an empty text.
        NoCurrentRun: outside a run.
    """
    if not isinstance(text, str):
        raise TypeError(f"a comment's text is a string, not {type(text).__name__}")
    if not text.strip():
        raise ValueError("a comment must not be empty")
    run = context.alert_run_for("add_current_alert_comment")
    arguments = {"text": text.strip(), "metadata": metadata}
    return await _step(run, "add_current_alert_comment", arguments)


async def assign_current_alert(
    *, analyst_id: str | None = None, username: str | None = None
) -> dict[str, Any]:
    """Assign the alert of the current run, or unassign it where neither argument is given.

    An alert that is new goes in progress with its assignment.

    Returns:
        ``{alert_id, assigned_to, assigned_username}``

    Raises:
        ValueError: both arguments, or an id that is none.
        RuntimeError: no such analyst, or one that is not active.
        NoCurrentRun: outside a run.
    """
    if analyst_id and username:
        raise ValueError("assign_current_alert() takes analyst_id or username, not both")
    if analyst_id:
        try:
            analyst_id = str(uuid.UUID(str(analyst_id)))
        except ValueError:
            raise ValueError(f"analyst_id is a UUID, not {analyst_id!r}") from None
    run = context.alert_run_for("assign_current_alert")
    arguments = {"analyst_id": analyst_id or None, "username": username or None}
    return await _step(run, "assign_current_alert", arguments)


async def _step(run: context.RunContext, helper: str, arguments: dict[str, Any]) -> dict[str, Any]:
    result: dict[str, Any] = await run.call_helper(helper, arguments)
    return result
