"""OpenSOAR: the project package and, through lazy names, what playbook authors import.

``from opensoar import playbook, action`` must work in a file that is linted or unit-tested with no
settings at all, and Python runs this file before settings exist (``DJANGO_SETTINGS_MODULE`` lives
in this package). So nothing is imported here: each public name is looked up on first use (PEP 562).
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"  # the only place; pyproject.toml and the API read it from here

__all__ = [
    "action",
    "add_current_alert_comment",
    "assign_current_alert",
    "get_current_alert_id",
    "playbook",
    "resolve_current_alert",
    "update_current_alert",
]

if TYPE_CHECKING:
    from playbooks_engine.sdk import (
        action,
        add_current_alert_comment,
        assign_current_alert,
        get_current_alert_id,
        playbook,
        resolve_current_alert,
        update_current_alert,
    )


def __getattr__(name: str) -> Any:
    if name in __all__:
        # Named by string, so that the layering stays as drawn: nothing here imports the engine.
        value = globals()[name] = getattr(import_module("playbooks_engine.sdk"), name)
        return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
