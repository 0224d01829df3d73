"""The verbs of playbooks: switch on and off, reload, and give back what dead workers held."""

from __future__ import annotations

import time
from typing import Any

from django.db import transaction
from django.db.models.functions import Now
from django.utils.translation import gettext as _

from opensoar.accounts.models import Partner
from opensoar.accounts.services import audit, resolve_partner
from opensoar.actors import Actor
from opensoar.edits import UNSET, Unset, check_version
from opensoar.errors import NotAllowed
from opensoar.ids import uuid7
from playbooks_engine import bell, sync
from playbooks_engine.beat import Rescuer
from playbooks_engine.models import Playbook, WorkerBeat

RELOAD_SECONDS = 5.0


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
        locked.save(update_fields=["enabled", "partner", "version"])
        if changes[0][0] == "playbook_enabled":  # its schedule counts from now, by the database's clock
            Playbook.objects.filter(pk=locked.pk).update(updated_at=Now())
    for action, detail in changes:
        audit(
            actor=actor, action=action, object_kind="playbook", object_id=str(locked.pk),
            detail={"name": locked.name} | detail,
        )  # fmt: skip
    return locked


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
