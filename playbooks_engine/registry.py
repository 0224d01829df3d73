"""What `@playbook` and `@action` declare: frozen specs, and the registry that refuses duplicates.

Pure Python: no Django, no database. A playbook's name is a durable identity that is stored with
each of its runs, hence two playbooks of one name are an error that names both files, and
`aliases` is the only way to rename one.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

from opensoar.conditions import Condition

PRIORITIES = ("high", "default", "low")
ON_FAILURE = ("continue", "stop")
#: The names under which a playbook function may ask for what triggered it.
PARAMETERS = ("alert", "incident", "observable", "input")

PlaybookFunction = Callable[..., Awaitable[Any]]


class DuplicatePlaybook(ValueError):
    """Two playbooks claim one name (or alias).

    Attributes:
        line: where the later one is declared.
    """

    def __init__(self, message: str, line: int | None = None) -> None:
        super().__init__(message)
        self.line = line


@dataclass(frozen=True, kw_only=True)
class PlaybookSpec:
    """One playbook as its author declared it.

    Attributes:
        trigger: ``"webhook"`` (every ingested alert), a source name, one of ``options.TRIGGERS``, or ``None``
            (manual only).
        order: position in the sequence of one event, ascending; the name breaks ties.
        when: predicate over the trigger's object, evaluated by the worker as its first step.
        enabled: the initial value of the switch; afterwards the switch on the page wins.
        cron: when it is due, for the trigger ``"schedule"`` and for no other.
        timeout: seconds that a run may take, waiting included.
        lane: the field of the trigger's object whose value names the lane.
        lane_hold: whether a run that waits keeps its lanes.
        max_concurrent: how many runs of it there may be at once, over all workers.
        module_path: dotted path of the file inside its playbook directory.
        source_file: path of the file, for people; relative where the code came from a
            stored version.
        line: first line of the declaration, decorators included.
        parameters: what the function asks for by name, see :meth:`bind`.
    """

    name: str
    func: PlaybookFunction = field(repr=False)
    trigger: str | None
    conditions: Condition
    description: str
    order: int
    priority: str
    when: Callable[[Any], object] | None = field(repr=False)
    on_failure: str
    enabled: bool
    aliases: tuple[str, ...]
    cron: str | None = None
    timeout: float | None = None
    lane: str | None = None
    lane_hold: bool = False
    max_concurrent: int | None = None
    module_path: str
    function_name: str
    source_file: str
    line: int
    parameters: tuple[str, ...]

    @property
    def names(self) -> tuple[str, ...]:
        return (self.name, *self.aliases)

    @property
    def place(self) -> str:
        return f"{self.source_file}:{self.line}"

    def bind(self, subject: Any, named: Mapping[str, Any]) -> dict[str, Any]:
        """Return the keyword arguments to call `func` with.

        Args:
            subject: the trigger's object, or the input for a manual run without one; what a
                single parameter receives, unless its name asks for something else.
            named: values for the names in `PARAMETERS`; one that is missing is passed as None.
        """
        if len(self.parameters) == 1:
            name = self.parameters[0]
            # A lone `alert` is how most playbooks spell "what started me"; started by hand on no
            # alert they get the input, as in the public OpenSOAR.
            if name not in PARAMETERS or (name == "alert" and named.get(name) is None):
                return {name: subject}
        return {name: named.get(name) for name in self.parameters}


@dataclass(frozen=True, kw_only=True)
class ActionSpec:
    """One action as its author declared it.

    Attributes:
        timeout: seconds for one attempt.
        retries: attempts after the first.
        retry_backoff: base in seconds; before attempt n+1 the engine sleeps ``backoff ** n``.
        idempotent: ``True``: safe to call again; ``False``: never call again when the outcome is
            unknown, ask a person; ``None``: undeclared (called again and marked as a repeat).
        verify: asked, with the call's own arguments, what became of a call whose outcome is unknown; ``None`` says
            that it was not done, anything else is its result.
        is_async: ``False`` for a blocking `def`, which runs in a thread.
    """

    name: str
    func: Callable[..., Any] = field(repr=False)
    timeout: float
    retries: int
    retry_backoff: float
    description: str
    idempotent: bool | None
    verify: Callable[..., Any] | None = field(default=None, repr=False)
    is_async: bool
    module_path: str
    function_name: str
    source_file: str
    line: int

    def delay_before(self, attempt: int) -> float:
        """Seconds to sleep before `attempt` (1 is the first, which does not wait)."""
        return 0.0 if attempt <= 1 else float(self.retry_backoff ** (attempt - 1))


class Registry:
    """The playbooks (and actions) of one load; never changed once it is in use."""

    def __init__(self) -> None:
        self._playbooks: dict[str, PlaybookSpec] = {}
        self._by_name: dict[str, PlaybookSpec] = {}
        self._actions: list[ActionSpec] = []

    @property
    def playbooks(self) -> Mapping[str, PlaybookSpec]:
        """Playbooks by name, without their aliases."""
        return MappingProxyType(self._playbooks)

    @property
    def actions(self) -> tuple[ActionSpec, ...]:
        return tuple(self._actions)

    def get(self, name: str) -> PlaybookSpec | None:
        """Return the playbook that bears `name` as its name or as an alias."""
        return self._by_name.get(name)

    def ordered(self) -> list[PlaybookSpec]:
        """All playbooks in the order in which one event would run them."""
        return sorted(self._playbooks.values(), key=lambda spec: (spec.order, spec.name))

    def register(self, spec: PlaybookSpec) -> None:
        """Add a playbook.

        Raises:
            DuplicatePlaybook: its name or one of its aliases is taken; names both places.
        """
        for name in spec.names:
            if other := self._by_name.get(name):
                raise DuplicatePlaybook(
                    f"the playbook name {name!r} is taken twice: by {other.function_name} in "
                    f"{other.place} and by {spec.function_name} in {spec.place}",
                    spec.line,
                )
        self._playbooks[spec.name] = spec
        self._by_name.update(dict.fromkeys(spec.names, spec))

    def register_action(self, spec: ActionSpec) -> None:
        # Two files may well have an action of one name, so there is nothing to refuse here.
        self._actions.append(spec)

    def include(self, other: Registry, *, source_file: str, module_path: str) -> tuple[PlaybookSpec, ...]:
        """Take over all of `other`, or nothing; return its playbooks as they now stand here.

        Raises:
            DuplicatePlaybook: one of its names is taken; this registry is left as it was.
        """
        trial = Registry()
        trial._by_name = dict(self._by_name)
        for spec in other._playbooks.values():
            trial.register(replace(spec, source_file=source_file, module_path=module_path))
        self._by_name = trial._by_name
        self._playbooks.update(trial._playbooks)
        self._actions.extend(
            replace(spec, source_file=source_file, module_path=module_path) for spec in other._actions
        )
        return tuple(trial._playbooks.values())


_collecting: ContextVar[Registry | None] = ContextVar("opensoar_collecting", default=None)


@contextmanager
def collecting(registry: Registry | None) -> Iterator[None]:
    """While active, decorators executed here register into `registry` (None: nowhere)."""
    token = _collecting.set(registry)
    try:
        yield
    finally:
        _collecting.reset(token)


def active_registry() -> Registry | None:
    """The registry that a loader is filling just now; None in a plain import or unit test."""
    return _collecting.get()


def parameters_of(func: Callable[..., Any], label: str) -> tuple[str, ...]:
    """Return the names `func` asks for, checked.

    A playbook takes any of `PARAMETERS` by name, or one parameter of any name.

    Raises:
        TypeError: it takes something else; says what is allowed.
    """
    named = [
        parameter
        for parameter in inspect.signature(func).parameters.values()
        if parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
    ]
    for parameter in named:
        if parameter.kind is parameter.POSITIONAL_ONLY:
            raise TypeError(f"{label}: parameter {parameter.name!r} must not be positional-only")
    if len(named) == 1:
        return (named[0].name,)
    for parameter in named:
        if parameter.name not in PARAMETERS and parameter.default is parameter.empty:
            raise TypeError(
                f"{label}: nothing can be passed for parameter {parameter.name!r}. A playbook "
                f"takes one parameter of any name, or any of {', '.join(PARAMETERS)} by name"
            )
    return tuple(parameter.name for parameter in named if parameter.name in PARAMETERS)
