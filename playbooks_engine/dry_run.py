"""A playbook on what is stored, with nothing done: what it would call, in this process, written nowhere."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from django.utils.translation import gettext as _

from alerts.models import Alert
from incidents.models import Incident
from opensoar.accounts.models import DEFAULT_PARTNER_ID
from opensoar.errors import Conflict, NotAllowed, NotFound
from playbooks_engine import loader
from playbooks_engine.masking import Secrets
from playbooks_engine.models import Playbook
from playbooks_engine.rehearsal import Rehearsal
from playbooks_engine.secrets import secrets_for
from playbooks_engine.snapshots import alert_snapshot, incident_snapshot


def dry_run(
    *,
    playbook: Playbook,
    alert: Alert | None = None,
    incident: Incident | None = None,
    input: Any = None,
    answers: Mapping[str, Any] | None = None,
    watch: Callable[[str, Any], None] | None = None,
) -> Rehearsal:
    """Call the playbook on the alert or incident as it is stored; neither actions nor helpers are done.

    Actions return None, or what ``answers`` has for them by name; helpers act on a copy in memory, approvals are given,
    waits are over at once, and secrets are made up. ``watch`` is told of each step. Code outside of actions is executed
    as it is.

    Raises:
        NotFound: there is no source of the playbook.
        Conflict: its source does not load.
        NotAllowed: it belongs to another partner than the alert or incident.
    """
    subject = alert or incident
    if subject is not None and playbook.partner_id not in (None, subject.partner_id):
        raise NotAllowed(_("Playbook tenant scope does not match alert"))
    if playbook.current is None:
        raise NotFound(_("Playbook not loaded in registry"))
    try:
        spec = loader.load_version(playbook.current.sources, playbook.current.entry).get(playbook.name)
    except loader.LoadError as error:
        raise Conflict(str(error)) from error
    if spec is None:
        raise NotFound(_("Playbook not loaded in registry"))
    partner_id = subject.partner_id if subject else playbook.partner_id or DEFAULT_PARTNER_ID
    rehearsal = Rehearsal(
        spec,
        subject_kind="alert" if alert else "incident" if incident else "input",
        subject=alert_snapshot(alert) if alert else incident_snapshot(incident) if incident else None,
        input=input,
        answers=answers,
        real_actions=False,
        secrets=Secrets({name: _made_up(name) for name in secrets_for(partner_id)}),
        watch=watch,
    )
    rehearsal.run()
    return rehearsal


def _made_up(name: str) -> Callable[[], str]:
    return lambda: f"secret:{name}"
