"""Comments of runs, many in one transaction: the helper that playbooks call most."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import psycopg
from django.db import connection, transaction

from alerts.models import Alert, AlertEntry
from alerts.services.comments import record_comments
from opensoar.actors import Actor
from opensoar.errors import Invalid
from playbooks_engine import rows
from playbooks_engine.codec import encode_result
from playbooks_engine.helpers import comment_result
from playbooks_engine.journal import Claim, LostClaim, execute, held_claims
from playbooks_engine.models import PlaybookRun

HELPER = "add_current_alert_comment"


@dataclass(frozen=True, slots=True)
class NewComment:
    """What a run wants to say of its alert, and the journal line of its saying so."""

    claim: Claim
    run_id: UUID
    alert_id: UUID
    actor: Actor
    arguments: dict[str, Any]
    call: rows.NewCall


def store_comments(comments: Sequence[NewComment]) -> list[str | Exception]:
    """Each comment with its journal line, or neither; per comment the call's result as JSON, or why it has none."""
    with transaction.atomic():
        wanted = {comment.alert_id for comment in comments}
        locked = Alert.objects.filter(pk__in=wanted, archived_at__isnull=True).order_by("pk")
        alerts = {alert.pk: alert for alert in locked.select_for_update(no_key=True)}
        held = held_claims([comment.claim for comment in comments])
        live = set(
            PlaybookRun.objects.filter(pk__in={comment.run_id for comment in comments}, state="running")
            .order_by()
            .values_list("pk", flat=True)
        )
        answers: dict[int, str | Exception] = {}
        said = []
        for number, comment in enumerate(comments):
            alert = alerts.get(comment.alert_id)
            if comment.claim not in held or comment.run_id not in live:
                answers[number] = LostClaim(str(comment.claim.sequence_id))
            elif alert is None or not comment.actor.sees_partner(alert.partner_id):
                answers[number] = ValueError("Alert not found")
            else:
                said.append((number, alert, comment))
        try:
            entries = record_comments(
                AlertEntry,
                [
                    (alert, c.actor, c.arguments["text"], c.arguments["metadata"])
                    for _number, alert, c in said
                ],
            )
        except Invalid as error:
            if len(comments) > 1:
                raise
            return [ValueError(error.detail)]
        lines = []
        for (number, _alert, comment), entry in zip(said, entries, strict=True):
            output = encode_result(HELPER, comment_result(entry, comment.arguments["text"]))
            answers[number] = output
            done = rows.done(comment.claim, comment.run_id, comment.call, output)
            lines += [(comment.call.id, line) for line in done]
        execute(psycopg.Cursor(connection.connection), lines)
    return [answers[number] for number in range(len(comments))]
