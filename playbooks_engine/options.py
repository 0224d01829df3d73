"""Checks of what `@playbook` and `@action` are given: what cannot work fails where it stands."""

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from opensoar.conditions import SUBJECTS, Condition, nearest, parse

SCHEDULE = "schedule"
MAX_WAIT = timedelta(days=3660)  # what is longer is a mistake
#: Triggers that are no source's name -> what they are about; "input" is nothing but what the run was given.
TRIGGERS: Mapping[str, str] = {
    "alert.updated": "alert",
    "alert.resolved": "alert",
    "alert.reopened": "alert",
    "incident": "incident",
    "incident.updated": "incident",
    "incident.closed": "incident",
    "observable": "observable",
    SCHEDULE: "input",
}
_RESERVED = frozenset(name.partition(".")[0] for name in TRIGGERS)
_LANE_KINDS = frozenset(
    {"text", "word", "severity", "ip", "number", "flag"}
)  # one value, which stays as it is
_MAX_NAME = 200
_MAX_TRIGGER = 50
_MAX_CRON = 100
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
        ValueError, TypeError: not a trigger.
    """
    if trigger is None or trigger == "manual":
        return None
    if not isinstance(trigger, str) or not trigger.strip():
        raise TypeError(
            f"trigger is 'webhook', the name of a source, None, or one of {', '.join(TRIGGERS)}, not {trigger!r}"
        )
    trigger = trigger.strip()
    if len(trigger) > _MAX_TRIGGER or not trigger.isprintable():
        raise ValueError(f"trigger is at most {_MAX_TRIGGER} printable characters")
    usual = trigger.lower()
    if usual.partition(".")[0] not in _RESERVED:
        return trigger
    if usual not in TRIGGERS:
        raise ValueError(f"there is no trigger {trigger!r}{nearest(usual, TRIGGERS)}: {', '.join(TRIGGERS)}")
    return usual


def subject_of(trigger: str | None) -> str:
    """Tell what a playbook of this trigger is about: alert, incident, observable or input."""
    return TRIGGERS.get(trigger or "", "alert")


def conditions_for(trigger: str | None, conditions: Mapping[str, Any] | None) -> Condition:
    """Return the conditions, checked against the fields of what the trigger is about."""
    subject = subject_of(trigger)
    if subject in SUBJECTS:
        return parse(conditions, subject)
    if conditions:
        raise ValueError("a schedule has no conditions: there is nothing yet that they could be about")
    return Condition()


def cron_for(trigger: str | None, cron: str | None) -> str | None:
    """Return the cron expression in its usual form.

    Raises:
        ValueError, TypeError: it is no expression of five fields, never comes due, or stands without its trigger.
    """
    if (trigger == SCHEDULE) is not (cron is not None):
        raise ValueError('trigger="schedule" and cron="*/15 * * * *" go together: give both or none')
    if cron is None:
        return None
    if not isinstance(cron, str):
        raise TypeError(f"cron is an expression such as '*/15 * * * *', not {cron!r}")
    from cronsim import CronSim, CronSimError  # imported by those who use it only

    fields = cron.split()
    usual = " ".join(fields)
    if len(fields) != 5 or len(usual) > _MAX_CRON:
        raise ValueError(
            f"cron has five fields (minute, hour, day, month, weekday), such as '*/15 * * * *', not {cron!r}"
        )
    try:
        next(CronSim(usual, datetime(2000, 1, 1, tzinfo=UTC)))
    except CronSimError as error:
        raise ValueError(f"cron {cron!r}: {error}") from None
    except StopIteration:
        raise ValueError(f"cron {cron!r} never comes due") from None
    return usual


def lane_for(trigger: str | None, lane: str | None) -> str | None:
    """Return the lane's field, checked.

    Raises:
        ValueError, TypeError: what the trigger is about has no such field, or one that cannot name a lane.
    """
    if lane is None:
        return None
    if not isinstance(lane, str):
        raise TypeError(f"lane is the name of a field, not {lane!r}")
    subject = SUBJECTS.get(subject_of(trigger))
    if subject is None:
        raise ValueError(
            "a schedule is about nothing that could name a lane; max_concurrent=1 bounds its runs"
        )
    known = [name for name, kind in subject.fields.items() if kind in _LANE_KINDS]
    if lane not in known:
        raise ValueError(
            f"lane {lane!r} is no field of an {subject.noun} that names one thing{nearest(lane, known)}. "
            f"One of: {', '.join(known)}"
        )
    return lane


def duration(label: str, value: object) -> float | None:
    """Return seconds of a timedelta or a number above zero; None stays None."""
    if value is None:
        return None
    number = value.total_seconds() if isinstance(value, timedelta) else value
    seconds(label, number, above_zero=True)
    if number > MAX_WAIT.total_seconds():  # type: ignore[operator]
        raise ValueError(f"{label} is at most {MAX_WAIT.days} days, not {value!r}")
    return float(number)  # type: ignore[arg-type]


def count(label: str, value: object) -> None:
    """Accept None, or a whole number from 1 up."""
    if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
        raise ValueError(f"{label} is a whole number from 1 up, not {value!r}")


def true_or_false(label: str, value: object) -> None:
    if not isinstance(value, bool):
        raise TypeError(f"{label} is True or False, not {value!r}")


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
