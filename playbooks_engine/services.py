"""The verbs of playbooks and runs: start, switch on and off, decide, reload."""

from __future__ import annotations

import time
from typing import Any

import orjson
from django.db import transaction
from django.utils.translation import gettext as _

from alerts.models import Alert, AlertEntry
from incidents.models import Incident
from opensoar import clock, timeline
from opensoar.accounts.models import DEFAULT_PARTNER_ID, Partner
from opensoar.accounts.services import audit, resolve_partner
from opensoar.actors import Actor
from opensoar.edits import UNSET, Unset, check_version
from opensoar.errors import Conflict, Invalid, NotAllowed, NotFound
from opensoar.ids import uuid7
from playbooks_engine import bell, sync
from playbooks_engine.beat import Rescuer
from playbooks_engine.models import (
    ActionAttempt,
    ActionResult,
    Playbook,
    PlaybookRun,
    Sequence,
    WorkerBeat,
)
from playbooks_engine.timeline_kinds import RunDecided

RELOAD_SECONDS = 5.0
MAX_INPUT_BYTES = 1_000_000


def start_run(
    *,
    actor: Actor,
    playbook: Playbook,
    alert: Alert | None = None,
    incident: Incident | None = None,
    input: Any = None,
) -> PlaybookRun:
    """Queue one run by hand, on an alert, on an incident, or on its input alone.

    Raises:
        NotFound: the playbook's file is gone.
        Conflict: the playbook is switched off.
        NotAllowed: the playbook belongs to another partner than the alert or incident.
        Invalid: the input is not JSON, or too large; or both an alert and an incident are given.
    """
    if alert is not None and incident is not None:
        raise Invalid(_("A run is about an alert or an incident, not both"), field="incident_id")
    if playbook.missing_since is not None:
        raise NotFound(_("Playbook not loaded in registry"))
    if not playbook.enabled:
        raise Conflict(_("The playbook is switched off. Switch it on first."))
    subject = alert or incident
    partner_id = subject.partner_id if subject else playbook.partner_id or _own_partner(actor)
    if playbook.partner_id is not None and playbook.partner_id != partner_id:
        raise NotAllowed(_("Playbook tenant scope does not match alert"))
    with transaction.atomic():
        sequence = Sequence.objects.create(
            partner_id=partner_id,
            alert=alert,
            incident=incident,
            event="manual",
            correlation_id=alert.correlation_id if alert else uuid7(),
            priority=playbook.priority,
            total=1,
            created_at=clock.now(),
        )
        run = PlaybookRun.objects.create(
            sequence=sequence,
            position=1,
            playbook=playbook,
            input=_encoded(input),
            requested_kind=actor.kind,
            requested_by=actor.id,
            requested_name=actor.name,
            created_at=clock.now(),
        )
        transaction.on_commit(bell.ring, robust=True)
    return run


def _encoded(value: Any) -> str | None:
    if value is None:
        return None
    try:
        text = orjson.dumps(value).decode()
    except TypeError:
        raise Invalid(_("The input must be JSON."), field="input_data") from None
    if len(text) > MAX_INPUT_BYTES:
        raise Invalid(_("The input is larger than 1 MB."), field="input_data")
    return text


def _own_partner(actor: Actor) -> Any:
    """Whose run it is when it is about nothing: the actor's only partner, else the default one."""
    if actor.partner_ids is None or DEFAULT_PARTNER_ID in actor.partner_ids:
        return DEFAULT_PARTNER_ID
    return min(actor.partner_ids)


def set_enabled(*, actor: Actor, playbook: Playbook, enabled: bool) -> Playbook:
    """Switch a playbook on or off: ingest and workers obey from the next alert and the next run on."""
    return update_playbook(actor=actor, playbook=playbook, enabled=enabled)


@transaction.atomic
def update_playbook(
    *,
    actor: Actor,
    playbook: Playbook,
    enabled: bool | None = None,
    partner: Partner | str | Unset | None = UNSET,
    expected_version: int | None = None,
) -> Playbook:
    """Switch it on or off, give it to a partner (``None``: it runs for every partner's alerts), or both.

    An audit entry per thing that changed, none if nothing did.

    Raises:
        NotAllowed: it runs, or would run, for partners that the actor does not see.
        Stale: its version is not ``expected_version`` any more.
    """
    locked = Playbook.objects.select_for_update(of=("self",)).select_related("partner").get(pk=playbook.pk)
    check_version(locked, expected_version)
    owner = locked.partner
    if not isinstance(partner, Unset):
        owner = resolve_partner(partner, actor=actor) if partner else None
    if actor.partner_ids is not None and None in (owner, locked.partner):
        raise NotAllowed(
            _("A playbook that runs for every partner is changed by those who see every partner")
        )
    changes: list[tuple[str, dict[str, Any]]] = []
    if enabled is not None and locked.enabled is not enabled:
        locked.enabled = enabled
        changes.append(("playbook_enabled" if enabled else "playbook_disabled", {}))
    if owner != locked.partner:
        locked.partner = owner
        changes.append(("playbook_changed", {"partner": owner.slug if owner else None}))
    if changes:
        locked.version += 1
        locked.updated_at = clock.now()
        locked.save(update_fields=["enabled", "partner", "version", "updated_at"])
    for action, detail in changes:
        audit(
            actor=actor, action=action, object_kind="playbook", object_id=str(locked.pk),
            detail={"name": locked.name} | detail,
        )  # fmt: skip
    return locked


def decide_run(*, actor: Actor, run: PlaybookRun, decision: str, value: Any = None) -> PlaybookRun:
    """Answer a run that needs attention.

    ``done``: the call happened, ``value`` is its result. ``not_done``: it did not happen, make it. ``again``: make it
    once more. ``cancel``: end this run; the next in order goes on.

    Raises:
        Conflict: the run asks nothing (any more).
        Invalid: an answer that its question does not take.
    """
    with transaction.atomic():
        sequence = Sequence.objects.get(pk=run.sequence_id)
        alert = (
            Alert.objects.select_for_update(of=("self",)).get(pk=sequence.alert_id)
            if sequence.alert_id
            else None
        )
        sequence = Sequence.objects.select_for_update(of=("self",)).get(pk=run.sequence_id)
        locked = PlaybookRun.objects.select_for_update(of=("self",)).select_related("playbook").get(pk=run.pk)
        if locked.state != PlaybookRun.State.NEEDS_ATTENTION:
            raise Conflict(_("This run does not ask anything (any more)."))
        question = locked.question or {}
        if decision not in question.get("choices", []):
            allowed = ", ".join(question.get("choices", []))
            raise Invalid(
                _("Invalid decision. Must be one of: %(allowed)s") % {"allowed": allowed}, field="decision"
            )
        if decision == "cancel":
            _cancel(locked)
        else:
            _answer_call(question["call_id"], decision, value)
            PlaybookRun.objects.filter(pk=locked.pk).update(state=PlaybookRun.State.RUNNING, question=None)
        Sequence.objects.filter(pk=sequence.pk, state=Sequence.State.HELD).update(state=Sequence.State.READY)
        if alert is not None:
            name = (question.get("detail") or {}).get("name")
            kind = RunDecided(
                playbook=locked.playbook.name, run_id=str(locked.pk), call=name, decision=decision
            )
            timeline.record(AlertEntry, alert, timeline.Draft(kind=kind, actor=actor))
        audit(
            actor=actor,
            action="run_decided",
            object_kind="run",
            object_id=str(run.pk),
            detail={"decision": decision},
        )
        transaction.on_commit(bell.ring, robust=True)
    return PlaybookRun.objects.with_related().get(pk=run.pk)


def _cancel(run: PlaybookRun) -> None:
    PlaybookRun.objects.filter(pk=run.pk).update(
        state=PlaybookRun.State.CANCELLED,
        question=None,
        finished_at=clock.now(),
        error=_("Cancelled by a person."),
    )


def _answer_call(call_id: str, decision: str, value: Any) -> None:
    if decision != "done":
        ActionResult.objects.filter(pk=call_id).update(decision=decision)
        return
    now = clock.now()
    ActionResult.objects.filter(pk=call_id).update(
        state=ActionResult.State.SUCCESS, output=_encoded(value) or "null", finished_at=now, decision=decision
    )
    ActionAttempt.objects.filter(call_id=call_id, state="unknown").update(state="success", finished_at=now)


def request_reload() -> int:
    """Ask every worker to load the playbook files anew; returns the generation they will have reached."""
    return sync.raise_generation()


def wait_for_reload(generation: int, seconds: float = RELOAD_SECONDS) -> bool:
    """Wait until every living worker has loaded ``generation``; False when one has not within ``seconds``."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        workers = WorkerBeat.objects.all()
        if workers.exists() and not workers.filter(generation__lt=generation).exists():
            return True
        time.sleep(0.1)
    return False


def rescue_runs(*, lease: float) -> int:
    """Watch every worker's beat for one lease and give back what silent ones hold; returns how many sequences."""
    rescuer = Rescuer(lease=lease)
    deadline = time.monotonic() + lease + 1
    given_back = 0
    while time.monotonic() < deadline:
        given_back += rescuer.sweep(uuid7())
        time.sleep(min(0.5, lease / 5))
    if given_back:
        bell.ring()
    return given_back
