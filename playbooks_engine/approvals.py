"""Questions that runs ask people: asked and settled by the engine, answered by people."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

import orjson
import psycopg
from django.db import connection, transaction
from django.db.models.functions import Now
from django.utils.translation import gettext as _

from alerts.models import Alert, AlertEntry
from opensoar import clock, timeline
from opensoar.accounts.services import audit
from opensoar.actors import Actor
from opensoar.errors import Conflict, NotAllowed
from playbooks_engine import bell, lanes, rows
from playbooks_engine.journal import check_fence
from playbooks_engine.models import Approval, Sequence
from playbooks_engine.timeline_kinds import ApprovalAsked, ApprovalDecided
from playbooks_engine.turns import wake

if TYPE_CHECKING:
    from playbooks_engine.runner import LiveRun


def ask(live: LiveRun, call: rows.NewCall, arguments: dict[str, Any], until: datetime) -> None:
    """The question, its journal line and its timeline entry, in one transaction.

    Raises:
        LostClaim: the run is not ours any more.
    """
    with transaction.atomic():
        alert = _locked_alert(live.alert_uuid)
        check_fence(live.claim, live.run_id)
        psycopg.Cursor(connection.connection).execute(*call.insert)
        Approval.objects.bulk_create(
            [
                Approval(
                    id=call.id,
                    run_id=live.run_id,
                    summary=arguments["summary"],
                    of=orjson.dumps(arguments["of"]).decode() if arguments["of"] is not None else None,
                    policy=arguments["policy"],
                    on_timeout=arguments["on_timeout"],
                    expires_at=until,
                    created_at=clock.now(),
                )
            ],
            ignore_conflicts=True,
        )
        if alert is not None:
            kind = ApprovalAsked(
                playbook=live.actor.name, run_id=str(live.run_id), summary=arguments["summary"]
            )
            timeline.record(AlertEntry, alert, timeline.Draft(kind=kind, actor=live.actor))


def settle(live: LiveRun, call_id: UUID) -> str | None:
    """The answer as JSON, recorded as the result of its call; what nobody answered in time has expired.

    None while there is no answer and its time is not over.

    Raises:
        LostClaim: the run is not ours any more.
    """
    with transaction.atomic():
        check_fence(live.claim, live.run_id)
        approval = Approval.objects.select_for_update().annotate(db_now=Now()).get(pk=call_id)
        if approval.state == Approval.State.PENDING:
            if approval.expires_at > approval.db_now:
                return None
            approval.state = Approval.State.EXPIRED
            approval.save(update_fields=["state"])
        output = orjson.dumps(_answer(approval)).decode()
        cursor = psycopg.Cursor(connection.connection)
        for sql, params in rows.outcome(call_id, None, output=output, error="", error_value=None):
            cursor.execute(sql, params)
    return output


def _answer(approval: Approval) -> dict[str, Any]:
    """The fields of ``playbooks_engine.sdk_run.Approval``."""
    expired = approval.state == Approval.State.EXPIRED
    return {
        "id": str(approval.pk),
        "approved": approval.on_timeout == "approve"
        if expired
        else approval.state == Approval.State.APPROVED,
        "state": approval.state,
        "by": approval.decided_name or None,
        "at": approval.decided_at.isoformat() if approval.decided_at else None,
        "comment": approval.comment,
    }


def decide_approval(*, actor: Actor, approval: Approval, approve: bool, comment: str = "") -> Approval:
    """Approve or deny what a run asks; the run goes on at once.

    Raises:
        Conflict: it was decided, has expired, or its run has ended.
        NotAllowed: the actor started the run and wants to approve what it asks.
    """
    with transaction.atomic():
        found = Sequence.objects.get(runs=approval.run_id)
        alert = _locked_alert(found.alert_id)
        lanes.lock(found.lanes)
        sequence = Sequence.objects.select_for_update(of=("self",)).get(pk=found.pk)
        locked = (
            Approval.objects.select_for_update(of=("self",))
            .select_related("run__playbook")
            .annotate(db_now=Now())
            .get(pk=approval.pk)
        )
        if locked.state == Approval.State.PENDING and locked.expires_at <= locked.db_now:
            raise Conflict(_("Its time is over."))
        if locked.state != Approval.State.PENDING:
            raise Conflict(_("This was decided already: %(state)s.") % {"state": locked.get_state_display()})
        if approve and locked.run.was_started_by(actor):
            raise NotAllowed(_("You started this run yourself: somebody else must approve what it asks."))
        locked.state = Approval.State.APPROVED if approve else Approval.State.DENIED
        locked.decided_kind, locked.decided_by, locked.decided_name = actor.kind, actor.id, actor.name
        locked.decided_at, locked.comment = clock.now(), comment.strip()
        locked.save(
            update_fields=["state", "decided_kind", "decided_by", "decided_name", "decided_at", "comment"]
        )
        if sequence.state == Sequence.State.WAITING:
            wake([sequence])
        decision = "approved" if approve else "denied"
        if alert is not None:
            kind = ApprovalDecided(
                playbook=locked.run.playbook.name,
                run_id=str(locked.run_id),
                summary=locked.summary,
                decision=decision,
                comment=locked.comment,
            )
            timeline.record(AlertEntry, alert, timeline.Draft(kind=kind, actor=actor))
        audit(
            actor=actor, action=f"approval_{decision}", object_kind="run", object_id=str(locked.run_id),
            detail={"approval": str(locked.pk), "summary": locked.summary[:200]},
        )  # fmt: skip
        transaction.on_commit(bell.ring, robust=True)
    return locked


def answered(call_ids: list[UUID]) -> list[UUID]:
    """Those of the calls of live runs that people have answered meanwhile."""
    rows_ = Approval.objects.filter(pk__in=call_ids).exclude(state=Approval.State.PENDING)
    return list(rows_.order_by().values_list("pk", flat=True))


def _locked_alert(alert_id: UUID | None) -> Alert | None:
    return Alert.objects.select_for_update(of=("self",)).get(pk=alert_id) if alert_id else None
