"""One verb on many alerts. Each has a transaction of its own: one refusal undoes nothing else."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypedDict
from uuid import UUID

from django.utils.translation import gettext as _

from alerts.models import Alert
from alerts.services.triage import UNKNOWN, assign_alert, claim_alert, resolve_alert, update_alert
from opensoar.accounts.models import User
from opensoar.actors import Actor
from opensoar.edits import UNSET, Unset
from opensoar.errors import Invalid, ServiceError

MAX_ALERTS = 1000


class BulkResult(TypedDict):
    """How it went; one sentence per alert that failed."""

    updated: int
    failed: int
    errors: list[str]


def bulk(
    *,
    actor: Actor,
    alert_ids: Iterable[UUID | str],
    action: str,
    determination: str | None = None,
    resolve_reason: str | None = None,
    severity: str | None = None,
    assigned_to: User | UUID | str | Unset | None = UNSET,
) -> BulkResult:
    """``resolve``, ``assign`` (to the actor unless told), ``claim`` or ``change_severity`` on at most 1,000 alerts.

    Alerts that are resolved already are passed over by ``resolve``. Raises :class:`Invalid` for too many alerts, and
    for ``assign`` by a machine that names nobody.
    """
    ids = list(dict.fromkeys(str(pk) for pk in alert_ids))
    if len(ids) > MAX_ALERTS:
        raise Invalid(_("At most %(limit)d alerts at once") % {"limit": MAX_ALERTS}, field="alert_ids")
    if action == "assign" and assigned_to is UNSET and actor.user_id is None:
        raise Invalid(_("Say who gets them"), field="assigned_to")
    owner = actor.user_id if isinstance(assigned_to, Unset) else assigned_to or None

    def resolve(alert: Alert) -> bool:
        if alert.status == Alert.Status.RESOLVED:
            return False
        word = determination or alert.determination
        if word == UNKNOWN:
            raise Invalid(_("cannot resolve with unknown determination"))
        resolve_alert(actor=actor, alert=alert, determination=word, reason=resolve_reason)
        return True

    verbs: dict[str, Callable[[Alert], object]] = {
        "resolve": resolve,
        "assign": lambda alert: assign_alert(actor=actor, alert=alert, user=owner),
        "claim": lambda alert: claim_alert(actor=actor, alert=alert),
        "change_severity": lambda alert: update_alert(actor=actor, alert=alert, severity=severity or ""),
    }
    if action not in verbs:
        return {
            "updated": 0,
            "failed": len(ids),
            "errors": [_("Unknown action: %(word)s") % {"word": action}],
        }
    return _each(actor, ids, verbs[action])


def _each(actor: Actor, ids: list[str], verb: Callable[[Alert], object]) -> BulkResult:
    result: BulkResult = {"updated": 0, "failed": 0, "errors": []}
    found = {
        str(a.pk): a
        for a in Alert.objects.visible_to(actor).filter(pk__in=[i for i in map(_as_id, ids) if i])
    }
    for pk in ids:
        alert = found.get(str(_as_id(pk)))
        if alert is None:
            result["failed"] += 1
            result["errors"].append(_("Alert %(id)s not found") % {"id": pk[:100]})
            continue
        try:
            result["updated"] += verb(alert) is not False
        except ServiceError as refusal:
            result["failed"] += 1
            result["errors"].append(_("Alert %(id)s: %(why)s") % {"id": pk, "why": refusal.detail})
    return result


def _as_id(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None
