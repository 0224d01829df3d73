"""For playbook authors: run a playbook in a unit test, with no settings, no database, no broker and no waiting.

    from opensoar.testing import fake_alert, run_playbook

    async def test_escalation():
        result = await run_playbook(escalate, alert=fake_alert(severity="critical"), answers={"look_up": {"bad": 3}})
        assert result.state == "success"
        assert result.actions == ["look_up", "isolate_host"]

The run is the engine's own, on a journal in memory: the same keys, the same replay, the same JSON round trips.
"""

from __future__ import annotations

import asyncio
import difflib
import os
import types
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, NamedTuple

from opensoar.conditions import nearest
from playbooks_engine.alert import Alert
from playbooks_engine.codec import decode
from playbooks_engine.incident import Incident, Observable
from playbooks_engine.masking import Secrets
from playbooks_engine.registry import ActionSpec, PlaybookSpec
from playbooks_engine.snapshot import Snapshot

if TYPE_CHECKING:
    from playbooks_engine.rehearsal import CrashPoint, Rehearsal
    from playbooks_engine.rehearsal_tables import Step

__all__ = [
    "Call",
    "LogLine",
    "Result",
    "fake_alert",
    "fake_incident",
    "fake_observable",
    "run_playbook",
    "run_playbook_sync",
]

_AT = "2026-01-05T08:59:30+00:00"
_ALERT: dict[str, Any] = {
    "id": "019b8d2e-7a10-7000-8000-000000000001", "source": "elastic", "source_id": "7f3c9a51",
    "title": "Suspicious PowerShell on ws-042", "description": "PowerShell started by a document, with encoded arguments",
    "severity": "high", "status": "new", "determination": "unknown", "source_ip": "198.51.100.23",
    "dest_ip": "10.20.30.42", "hostname": "ws-042", "username": "ada.lovelace",
    "rule_name": "PowerShell started by Office", "tags": ["endpoint", "powershell"],
    "iocs": {"ips": ["198.51.100.23"], "domains": ["cdn.example.net"]}, "partner": "default",
    "raw_payload": {"event": {"module": "endpoint"}, "process": {"name": "powershell.exe", "pid": 4242}},
    "normalized": {"title": "Suspicious PowerShell on ws-042", "severity": "high"}, "duplicate_count": 1,
    "first_seen": _AT, "last_seen": _AT, "correlation_id": "019b8d2e-7a10-7000-8000-000000000002",
    "created_at": _AT, "updated_at": _AT,
}  # fmt: skip
_INCIDENT: dict[str, Any] = {
    "id": "019b8d2e-7a10-7000-8000-000000000003", "number": 1042, "title": "Malicious document opened on ws-042",
    "description": "", "severity": "high", "status": "open", "partner": "default", "tags": ["endpoint"],
    "techniques": ["T1059.001"], "tlp": "amber", "pap": "amber", "alerts": [_ALERT["id"]], "created_at": _AT,
    "updated_at": _AT,
}  # fmt: skip
_OBSERVABLE: dict[str, Any] = {
    "id": "019b8d2e-7a10-7000-8000-000000000004", "type": "ip", "value": "198.51.100.23", "internal": False,
    "source": "alert", "tags": [], "partner": "default", "alerts": [_ALERT["id"]], "first_seen": _AT,
}  # fmt: skip


def fake_alert(**fields: Any) -> Alert:
    """An alert as playbooks are handed it, with believable values for what is not given.

    Raises:
        TypeError: a field that alerts do not have.
    """
    return _fake(Alert, _ALERT, fields)


def fake_incident(**fields: Any) -> Incident:
    """An incident as playbooks are handed it; see :func:`fake_alert`."""
    incident = _fake(Incident, _INCIDENT, fields)
    return Incident({**incident, "reference": incident["reference"] or f"INC-{incident['number']}"})


def fake_observable(**fields: Any) -> Observable:
    """An observable as playbooks are handed it; see :func:`fake_alert`."""
    return _fake(Observable, _OBSERVABLE, fields)


def _fake[T: Snapshot](kind: type[T], defaults: Mapping[str, Any], fields: Mapping[str, Any]) -> T:
    for name in fields:
        if name not in kind.FIELDS:
            raise TypeError(f"{kind.NOUN} has no field {name!r}{nearest(name, kind.FIELDS)}")
    return kind({**defaults, **fields})


@dataclass(frozen=True)
class Call:
    """One durable call of a run: an action, a helper, a sleep or an approval.

    Attributes:
        key: its place in the run, the same in every life.
        result: what it gave the playbook; None where it failed.
        error: why it failed; empty where it did not.
        state: ``success``, ``failed``, or ``started`` (never ended).
        attempts: how often its body was begun.
        repeated: whether it was made again after a crash, when nobody knew what had become of it.
    """

    key: str
    kind: str
    name: str
    arguments: Any
    state: str
    result: Any
    error: str
    attempts: int
    repeated: bool


class LogLine(NamedTuple):
    """A line that the playbook logged."""

    level: str
    text: str


@dataclass(frozen=True)
class Result:
    """What a run did.

    Attributes:
        state: ``success``, ``failed``, ``skipped`` (``when=``), or ``needs_attention``.
        result: what the playbook returned, after its JSON round trip; secrets are masked, as the engine stores them.
        error: why it did not succeed, in words.
        calls: every durable call, in the order in which each was first made.
        alert_updates: what ``update_current_alert``, ``resolve_current_alert`` and ``assign_current_alert`` changed.
        comments, incident_comments: their texts.
        alert: the alert as the run left it.
        incidents, observables: those there are in the end.
        approvals: what was asked: ``summary``, ``of``, ``policy``, ``on_timeout``, ``state``, ``approved``.
        slept: seconds of durable sleep that were waited for (not really).
        replays: how often it was called again from the top, after a crash or a long wait.
    """

    state: str
    result: Any
    error: str
    traceback: str
    calls: list[Call]
    alert_updates: list[dict[str, Any]]
    comments: list[str]
    incident_comments: list[str]
    alert: Alert | None
    incidents: list[Incident]
    observables: list[Observable]
    approvals: list[dict[str, Any]]
    logs: list[LogLine]
    slept: float
    replays: int
    _ended: list[Step] = field(repr=False, compare=False, default_factory=list)

    @property
    def actions(self) -> list[str]:
        """The names of the actions, in the order in which each call was first made."""
        return [call.name for call in self.calls if call.kind == "action"]

    def calls_of(self, name: str) -> list[Call]:
        """The calls of one name."""
        return [call for call in self.calls if call.name == name]


async def run_playbook(
    func: Callable[..., Any],
    alert: Mapping[str, Any] | None = None,
    incident: Mapping[str, Any] | None = None,
    observable: Mapping[str, Any] | None = None,
    input: Any = None,
    *,
    incidents: Iterable[Mapping[str, Any]] = (),
    approve: bool | Callable[[dict[str, Any]], bool | None] | None = True,
    answers: Mapping[str, Any] | None = None,
    secrets: Mapping[str, str] | None = None,
    when: bool = True,
    crash_after: str | int | None = None,
    crash_before_result: str | int | None = None,
    crash_everywhere: bool = False,
) -> Result:
    """Run a playbook to its end, on an event loop and in a thread of its own.

    Args:
        func: the function declared with ``@playbook``.
        alert, incident, observable, input: what it is about; at most one of the first three. A plain dict is completed
            as :func:`fake_alert` would.
        incidents: others that there are, for ``link_current_alert`` and ``update_incident``.
        approve: what people answer to ``request_approval``: yes, no, None (nobody does), or a function of the question.
        answers: by the name of an action or helper, what it gives instead of being done: a value, an exception, or a
            function (plain or ``async``) of the call's arguments. Actions without an answer are executed.
        secrets: what ``secret(name)`` gives.
        when: whether ``when=`` is evaluated first.
        crash_after: the worker dies once, right after the first call of this name (or the n-th of all) was recorded;
            another goes on from the journal.
        crash_before_result: the same, but the outcome of the call is lost: an action is called again, or, where it is
            declared ``idempotent=False``, the run needs attention.
        crash_everywhere: run it again once for every point at which a worker could die, and compare: raises
            AssertionError where the outcome is another.

    Raises:
        TypeError, ValueError: something that is no playbook, no secret, no answer to a known action, or a crash at a
            call that the run never made.
    """
    arguments = locals()
    return await asyncio.to_thread(run_playbook_sync, **arguments)


def run_playbook_sync(func: Callable[..., Any], alert: Any = None, **options: Any) -> Result:
    """:func:`run_playbook` for tests that are not ``async``."""
    crash_everywhere = options.pop("crash_everywhere", False)
    crash_after, crash_before = options.pop("crash_after", None), options.pop("crash_before_result", None)
    if (crash_after is not None) + (crash_before is not None) + crash_everywhere > 1:
        raise ValueError("one of crash_after, crash_before_result and crash_everywhere at a time")
    spec = _spec_of(func)
    _make_django_ready()
    from playbooks_engine.rehearsal import CrashPoint

    def go(crash: CrashPoint | None) -> Result:
        return _go(spec, crash, alert=alert, **options)

    if crash_everywhere:
        return _compared(go)
    point = crash_after if crash_after is not None else crash_before
    if point is None:
        return go(None)
    by_number = isinstance(point, int)
    return go(
        CrashPoint(
            name=None if by_number else str(point),
            number=int(point) if by_number else 0,
            recorded=crash_after is not None,
        )
    )


def _go(
    spec: PlaybookSpec, crash: CrashPoint | None, *, alert: Any = None, incident: Any = None, observable: Any = None,
    input: Any = None, incidents: Iterable[Any] = (), approve: Any = True, answers: Mapping[str, Any] | None = None,
    secrets: Mapping[str, str] | None = None, when: bool = True,
) -> Result:  # fmt: skip
    from playbooks_engine.rehearsal import Rehearsal

    given = {
        "alert": (alert, fake_alert),
        "incident": (incident, fake_incident),
        "observable": (observable, fake_observable),
    }
    about = {kind: _completed(what, fake) for kind, (what, fake) in given.items() if what is not None}
    if len(about) > 1:
        raise ValueError(f"a run is about one thing, not about {' and '.join(about)}")
    kind = next(iter(about), "input")
    _refuse_typing_errors(spec, answers or {})
    rehearsal = Rehearsal(
        spec if when else replace(spec, when=None),
        subject_kind=kind, subject=about.get(kind), input=input,
        incidents=[_completed(other, fake_incident) for other in incidents], approve=approve, answers=answers,
        secrets=_secrets(secrets or {}), crash=crash,
    )  # fmt: skip
    rehearsal.run()
    if rehearsal.crash is not None and rehearsal.state != "skipped":
        made = ", ".join(step.name for step in rehearsal.tables.ended) or "none"
        raise ValueError(f"no crash at {crash!r}: the run made no such call. Those it made: {made}")
    return _result(rehearsal)


def _spec_of(func: Any) -> PlaybookSpec:
    spec = getattr(func, "opensoar_playbook", None)
    if not isinstance(spec, PlaybookSpec):
        raise TypeError(f"{getattr(func, '__name__', func)!r} is not declared with @playbook")
    return spec


def _completed(given: Any, fake: Callable[..., Snapshot]) -> dict[str, Any]:
    found = (given if isinstance(given, Snapshot) else fake(**dict(given))).to_dict()
    try:
        uuid.UUID(str(found["id"]))
    except ValueError:
        raise ValueError(f"an id is a UUID, not {found['id']!r}") from None
    return found


def _secrets(values: Mapping[str, str]) -> Secrets:
    def handed(value: str) -> Callable[[], str]:
        return lambda: value

    return Secrets({name: handed(value) for name, value in values.items()})


def _refuse_typing_errors(spec: PlaybookSpec, answers: Mapping[str, Any]) -> None:
    """An answer to ``isolat_host`` would leave ``isolate_host`` to be executed."""
    known = _actions_in(getattr(spec.func, "__globals__", {}))
    for name in answers:
        close = difflib.get_close_matches(name, known, n=1, cutoff=0.8)
        if name not in known and close:
            raise ValueError(f"answers has {name!r}, the action is called {close[0]!r}")


def _actions_in(namespace: Mapping[str, Any]) -> set[str]:
    """Names of the actions that a playbook's module has or imports."""
    found: list[Any] = list(namespace.values())
    for module in [value for value in found if isinstance(value, types.ModuleType)]:
        found += vars(module).values()
    specs = [getattr(value, "opensoar_action", None) for value in found if callable(value)]
    return {spec.name for spec in specs if isinstance(spec, ActionSpec)}


def _result(rehearsal: Rehearsal) -> Result:
    world, steps = rehearsal.world, list(rehearsal.tables.steps.values())
    slept = [
        decode(step.arguments)["seconds"] for step in steps if (step.kind, step.state) == ("sleep", "success")
    ]
    return Result(
        state=rehearsal.state, result=rehearsal.result, error=rehearsal.error, traceback=rehearsal.traceback,
        calls=[
            Call(
                key=step.key, kind=step.kind, name=step.name, arguments=decode(step.arguments), state=step.state,
                result=decode(step.output), error=step.error, attempts=step.attempts, repeated=step.repeated,
            )
            for step in steps
        ],
        alert_updates=world.alert_updates, comments=world.comments, incident_comments=world.incident_comments,
        alert=Alert(world.alert) if world.alert is not None else None,
        incidents=[Incident(incident) for incident in world.incidents],
        observables=[Observable(observable) for observable in world.observables],
        approvals=list(rehearsal.approvals.values()),
        logs=[LogLine(*line) for line in rehearsal.tables.logs.values()],
        slept=sum(slept), replays=max(rehearsal.lives - 1, 0), _ended=list(rehearsal.tables.ended),
    )  # fmt: skip


def _compared(go: Callable[[CrashPoint | None], Result]) -> Result:
    """The outcome without a crash, once it is known to be the same with one, wherever that comes."""
    from playbooks_engine.rehearsal import CrashPoint

    whole = go(None)
    for number, step in enumerate(whole._ended, start=1):
        lost = step.kind == "action" and step.idempotent is not False
        for recorded in (True, False) if lost else (True,):
            again = go(CrashPoint(number=number, recorded=recorded))
            for what, expected in _outcome(whole).items():
                found = _outcome(again)[what]
                if found != expected:
                    where = "after" if recorded else "before the outcome was recorded of"
                    why = f"\n{again.error}" if again.error != whole.error else ""
                    raise AssertionError(
                        f"a crash {where} call {number} ({step.name}) changes the {what} of the run:\n"
                        f"  without it: {expected!r}\n  with it:    {found!r}{why}"
                    )
    return whole


def _outcome(result: Result) -> dict[str, Any]:
    """What may not depend on crashes, most telling first."""
    return {
        "state": result.state,
        "result": result.result,
        "error": result.error,
        "calls": sorted((call.key, call.name, repr(call.arguments), call.state) for call in result.calls),
        "alert updates": result.alert_updates,
        "comments": result.comments,
        "incident comments": result.incident_comments,
        "approvals": result.approvals,
    }


def _make_django_ready() -> None:
    """The engine's code imports its models; they get the least settings that will do, and no database."""
    import django
    from django.apps import apps
    from django.conf import settings

    if apps.ready:
        return
    if not settings.configured and not os.environ.get("DJANGO_SETTINGS_MODULE"):
        settings.configure(
            INSTALLED_APPS=[
                "django.contrib.auth", "django.contrib.contenttypes", "django.contrib.postgres", "pgtrigger",
                "opensoar.accounts", "alerts", "incidents", "playbooks_engine",
            ],
            AUTH_USER_MODEL="accounts.User",
            USE_TZ=True,
            LOGGING_CONFIG=None,
        )  # fmt: skip
    django.setup()
