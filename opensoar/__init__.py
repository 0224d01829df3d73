"""OpenSOAR: the project package and, through lazy names, what playbook authors import.

``from opensoar import playbook, action`` must work in a file that is linted or unit-tested with no
settings at all, and Python runs this file before settings exist (``DJANGO_SETTINGS_MODULE`` lives
in this package). So nothing is imported here: each public name is looked up on first use (PEP 562).
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"  # the only place; pyproject.toml and the API read it from here

# Where each public name lives, below playbooks_engine.
_HOMES = {
    "Approval": "sdk_run",
    "action": "sdk",
    "add_current_alert_comment": "sdk",
    "add_incident_comment": "sdk_incidents",
    "add_observable": "sdk_incidents",
    "assign_current_alert": "sdk",
    "assign_incident": "sdk_incidents",
    "create_incident": "sdk_incidents",
    "current_incident": "sdk_incidents",
    "get_current_alert_id": "sdk",
    "idempotency_key": "sdk_run",
    "link_current_alert": "sdk_incidents",
    "log": "sdk_run",
    "playbook": "sdk",
    "request_approval": "sdk_run",
    "resolve_current_alert": "sdk",
    "secret": "sdk_run",
    "sleep": "sdk_run",
    "update_current_alert": "sdk",
    "update_incident": "sdk_incidents",
}
__all__ = [
    "Approval",
    "action",
    "add_current_alert_comment",
    "add_incident_comment",
    "add_observable",
    "assign_current_alert",
    "assign_incident",
    "create_incident",
    "current_incident",
    "get_current_alert_id",
    "idempotency_key",
    "link_current_alert",
    "log",
    "playbook",
    "request_approval",
    "resolve_current_alert",
    "secret",
    "sleep",
    "update_current_alert",
    "update_incident",
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
    from playbooks_engine.sdk_incidents import (
        add_incident_comment,
        add_observable,
        assign_incident,
        create_incident,
        current_incident,
        link_current_alert,
        update_incident,
    )
    from playbooks_engine.sdk_run import Approval, idempotency_key, log, request_approval, secret, sleep


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        # Named by string, so that the layering stays as drawn: nothing here imports the engine.
        value = globals()[name] = getattr(import_module(f"playbooks_engine.{_HOMES[name]}"), name)
        return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
