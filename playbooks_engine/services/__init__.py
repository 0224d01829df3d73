"""The verbs of playbooks, runs and approvals, used by pages, API and commands alike."""

from playbooks_engine.approvals import decide_approval
from playbooks_engine.services.playbooks import (
    request_reload,
    rescue_runs,
    set_enabled,
    update_playbook,
    wait_for_reload,
)
from playbooks_engine.services.runs import cancel_run, decide_run, retry_run, start_run

__all__ = [
    "cancel_run",
    "decide_approval",
    "decide_run",
    "request_reload",
    "rescue_runs",
    "retry_run",
    "set_enabled",
    "start_run",
    "update_playbook",
    "wait_for_reload",
]
