"""What a run offers to the code of a playbook, and where that code finds it.

The SDK knows only this protocol; the engine (``runner.py``) implements it and sets
``current_run`` for the tasks of a run.

Durable helpers go through :meth:`RunContext.call_helper` under these names. The arguments are
always complete (every keyword of the function, ``None`` where the author gave none), JSON types
only, and already checked by the SDK as far as that is possible without the database:

========================== =================================================================
``update_current_alert``    status, determination, reason, partner, activity_action,
                            activity_detail, activity_metadata
``resolve_current_alert``   determination, reason, partner, activity_action, activity_detail,
                            activity_metadata
``add_current_alert_comment`` text, metadata
``assign_current_alert``    analyst_id, username (at most one; both ``None`` unassigns)
``refresh_alert``           (none) -> the alert's fields as ``playbooks_engine.alert.FIELDS``
``ip_history``              ip -> see ``playbooks_engine.history``
``host_history``            hostname -> see ``playbooks_engine.history``
``create_incident``         title, severity, alerts, owner
``link_current_alert``      incident
``refresh_incident``        incident
``add_incident_comment``    incident, text
``assign_incident``         incident, username
``update_incident``         incident, title, description, severity, status, determination, impact,
                            summary, tags, tlp, pap
``add_observable``          type, value, incident, tags
========================== =================================================================

A helper may be called from the body of an action as well (playbooks written for the public
OpenSOAR do so): the implementation has to key such a call below the action's own key, because
the body of a finished action is not run again when the playbook is replayed.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from playbooks_engine.registry import ActionSpec


class RunContext(Protocol):
    """The run that the code being executed belongs to."""

    #: The incident the run is about, then the one it created or linked its alert to; helpers set it.
    incident: Mapping[str, Any] | None

    @property
    def alert_id(self) -> str | None:
        """Id of the alert the run is about; ``None`` for a manual run without one."""

    async def call_action(self, spec: ActionSpec, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Execute an action once for this run, or return what it returned before."""

    async def call_helper(self, name: str, arguments: dict[str, Any]) -> Any:
        """Do one of the named helpers as a durable step in a short transaction of its own."""

    async def call_sleep(self, seconds: float) -> None:
        """Wait as a durable step."""

    async def call_approval(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """Ask people as a durable step; the fields of ``playbooks_engine.sdk_run.Approval``."""

    def log(self, level: str, text: str) -> None:
        """Keep a line for the run's page."""

    def hidden(self, text: str) -> str:
        """``text`` without the secrets that the run has read."""

    def secret(self, name: str) -> str:
        """The secret of that name; raises LookupError."""


current_run: ContextVar[RunContext | None] = ContextVar("opensoar_current_run", default=None)
#: Inside the body of an action: the key that every repeat of this very call carries.
current_call_key: ContextVar[str | None] = ContextVar("opensoar_current_call_key", default=None)


# Plain classes whose only argument is the message: the journal stores an exception as class path
# and arguments and must be able to build it again.
class NoCurrentRun(RuntimeError):
    """A helper that acts on the current run was called where there is none."""


class NoCurrentAlert(RuntimeError):
    """A helper that acts on an alert was called in a run that is about none."""


class ActionError(RuntimeError):
    """Stands in for an action's exception whose own class cannot be rebuilt on replay."""


def run_for(helper: str) -> RunContext:
    """Return the current run.

    Raises:
        NoCurrentRun: outside a run; the message names `helper` and the cure.
    """
    run = current_run.get()
    if run is None:
        raise NoCurrentRun(
            f"{helper}() acts on the current playbook run, and no run is current. Call it inside "
            f"a function declared with @playbook, or an @action that one calls, while the engine "
            f"executes it; in a unit test use opensoar.testing.run_playbook (docs/playbooks.md, "
            f"'Testing your playbook')."
        )
    return run


def alert_run_for(helper: str) -> RunContext:
    """Return the current run, which must be about an alert.

    Raises:
        NoCurrentRun: outside a run.
        NoCurrentAlert: in a run without an alert.
    """
    run = run_for(helper)
    if run.alert_id is None:
        raise NoCurrentAlert(
            f"{helper}() acts on the alert of the current run, but this run was started without "
            f"one. Start it from an alert, or check get_current_alert_id() first."
        )
    return run
