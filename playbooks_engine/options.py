"""Checks of what `@playbook` and `@action` are given: what cannot work fails where it stands."""

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import Callable
from typing import Any

from opensoar.conditions import nearest

#: Triggers whose engine part comes later; refused rather than accepted and never fired.
LATER_TRIGGERS = ("schedule", "incident", "observable")
_MAX_NAME = 200
_MAX_TRIGGER = 50
_MAX_ORDER = 2**31 - 1  # what the database keeps


def strict_options[**P, R](declare: Callable[P, R]) -> Callable[P, R]:
    """Make an unknown option fail where it is written, with the nearest that exists."""
    known = tuple(inspect.signature(declare).parameters)

    @functools.wraps(declare)
    def checked(*args: P.args, **kwargs: P.kwargs) -> R:
        for option in kwargs:
            if option not in known:
                raise TypeError(
                    f"@{declare.__name__} has no option {option!r}{nearest(option, known)}. "
                    f"It has: {', '.join(known)}"
                )
        if args and callable(args[0]):
            raise TypeError(f"write @{declare.__name__}() with parentheses")
        return declare(*args, **kwargs)

    return checked


def trigger_name(trigger: str | None) -> str | None:
    """Return the trigger in its usual form; None and ``"manual"`` are one.

    Raises:
        ValueError, TypeError: not a trigger of this version.
    """
    if trigger is None or trigger == "manual":
        return None
    if not isinstance(trigger, str) or not trigger.strip():
        raise TypeError(f"trigger is 'webhook', the name of a source or None, not {trigger!r}")
    trigger = trigger.strip()
    if len(trigger) > _MAX_TRIGGER or not trigger.isprintable():
        raise ValueError(f"trigger is at most {_MAX_TRIGGER} printable characters")
    if trigger.split(".")[0] in LATER_TRIGGERS:
        raise ValueError(
            f"trigger {trigger!r} is not available in this version: use 'webhook', the name of a "
            f"source, or None for a playbook that people start"
        )
    return trigger


def whole_number(order: object) -> None:
    if isinstance(order, bool) or not isinstance(order, int) or abs(order) > _MAX_ORDER:
        raise ValueError(f"order is a whole number up to {_MAX_ORDER}, not {order!r}")


def one_of(label: str, value: object, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        hint = nearest(value, allowed) if isinstance(value, str) else ""
        raise ValueError(f"{label} is one of {', '.join(allowed)}, not {value!r}{hint}")


def seconds(label: str, value: object, *, above_zero: bool) -> None:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not math.isfinite(value) or value < 0 or (above_zero and value == 0):  # type: ignore[arg-type,operator]
        least = "above 0" if above_zero else "from 0 up"
        raise ValueError(f"{label} is a number of seconds {least}, not {value!r}")


def durable_name(label: str, value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{label} is a string, not {value!r}")
    name = value.strip()
    if not name or len(name) > _MAX_NAME or not name.isprintable():
        raise ValueError(f"{label} is 1 to {_MAX_NAME} printable characters, not {value!r}")
    return name


def is_async(func: Callable[..., Any]) -> bool:
    # Not used as a type guard on purpose: the caller's own type must stay what it is.
    return inspect.iscoroutinefunction(func)


def plain_text(label: str, value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{label} is a string, not {value!r}")
    if "\0" in value:
        raise ValueError(f"{label} must not contain null characters")
    return value


def first_line(func: Callable[..., Any]) -> str:
    return (inspect.getdoc(func) or "").strip().partition("\n")[0]


def origin(func: Callable[..., Any]) -> dict[str, Any]:
    """Tell where a function stands; the loader gives its modules the two path attributes."""
    code = getattr(inspect.unwrap(func), "__code__", None)
    scope = getattr(func, "__globals__", {})
    return {
        "module_path": scope.get("__opensoar_module__", func.__module__),
        "function_name": func.__qualname__,
        "source_file": scope.get("__opensoar_file__", getattr(code, "co_filename", "")),
        "line": getattr(code, "co_firstlineno", 0),
    }
