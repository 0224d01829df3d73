"""Quarantined deliveries parsed again, with today's code and today's settings."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from uuid import UUID

from django.db import transaction
from django.db.models import QuerySet
from django.utils.translation import gettext as _

from alerts.events import CreatedAlert
from alerts.ingest import SubscriberFailed, announce, sentence_of, store
from alerts.intake import DEFAULT_SOURCE, Envelope, read_body
from alerts.models import Alert, Delivery
from alerts.senders import Sender, partner_of, sender_of
from opensoar.accounts.models import ApiToken
from opensoar.accounts.services import audit
from opensoar.actors import Actor
from opensoar.errors import Conflict, NotFound

AT_ONCE = 500  # in one request
COUNTED = 10_000  # on a page


@transaction.atomic
def replay_delivery(*, actor: Actor, delivery: Delivery) -> Delivery:
    """Parse a quarantined body again: it becomes an alert (state ``replayed``), or stays with the new reason.

    An alert that was stored without its playbooks gets them. Of a body that now holds several alerts the first takes
    the delivery, the others get their own. Raises :class:`Conflict` for a delivery that is not in quarantine, and
    ``alerts.ingest.Unavailable``.
    """
    locked = Delivery.objects.visible_to(actor).select_for_update().filter(pk=delivery.pk).first()
    if locked is None:
        raise NotFound(_("Delivery not found"))
    if locked.state != Delivery.State.QUARANTINED:
        raise Conflict(_("Only a delivery in quarantine can be replayed"))
    if locked.alert_id is None:
        _read_again(locked)
    else:
        _announce_again(locked)
    locked.refresh_from_db()
    detail = {"state": locked.state, "reason": locked.reason}
    audit(actor=actor, action="delivery_replayed", object_kind="delivery", object_id=locked.pk, detail=detail)
    return locked


def replay_all(
    *,
    actor: Actor,
    ids: Iterable[UUID] = (),
    source: str = "",
    found: QuerySet[Delivery] | None = None,
    limit: int | None = None,
    dry_run: bool = False,
    progress: Callable[[Counter[str]], object] = lambda _states: None,
) -> Counter[str]:
    """Replay every quarantined delivery that ``actor`` sees, oldest first; counts the states after.

    Or those named, or of ``found``; at most ``limit``. Where no more was done than that, ``left`` counts the others.
    ``dry_run`` counts what is in quarantine and changes nothing.
    """
    waiting = quarantined(actor, found)
    if wanted := list(ids):
        waiting = waiting.filter(pk__in=wanted)
    if source:
        waiting = waiting.filter(source=source)
    states: Counter[str] = Counter()
    if dry_run:
        states["quarantined"] = waiting.count()
        return states
    # The list is taken first: what stays in quarantine must not come round again.
    chosen = list(waiting.order_by("pk").values_list("pk", flat=True))
    if limit is not None and len(chosen) > limit:
        states["left"] = len(chosen) - limit
    for pk in chosen[:limit]:
        try:
            states[replay_delivery(actor=actor, delivery=Delivery(pk=pk)).state] += 1
        except (Conflict, NotFound):  # somebody else was faster
            states["skipped"] += 1
        progress(states)
    return states


def quarantined(actor: Actor, found: QuerySet[Delivery] | None = None) -> QuerySet[Delivery]:
    """What waits in quarantine, of what ``actor`` sees."""
    waiting = Delivery.objects.visible_to(actor).filter(state=Delivery.State.QUARANTINED)
    return waiting if found is None else waiting.filter(pk__in=found.order_by().values("pk"))


def _envelope(delivery: Delivery) -> Envelope:
    token = (
        ApiToken.objects.select_related("partner").filter(pk=delivery.token_id).first()
        if delivery.token_id
        else None
    )
    if token is not None:
        sender = sender_of(token)
    else:
        # A poller, a command, or a token that is gone: what the body says must not choose whose alert it is.
        sender = Sender(delivery.token_id, "replay", *partner_of(delivery.partner_id))
    named = delivery.source if delivery.source != DEFAULT_SOURCE and not sender.source else ""
    return Envelope(sender, delivery.content_type, slug=named, received_at=delivery.received_at)


def _read_again(delivery: Delivery) -> None:
    items = read_body(bytes(delivery.body), _envelope(delivery))
    first = next((item for item in items if item.row is not None), items[0])
    if first.row is None or first.partner_id == delivery.partner_id:
        first.delivery_id, first.replayed = delivery.pk, True
        store(items, patience=0)
        return
    # Another partner's by now: that partner's people get a delivery that they may read.
    with transaction.atomic():
        store(items, patience=0)
        alert_id = first.outcome.alert_id if first.outcome else None
        if alert_id is None:
            raise Conflict(first.reason)
    moved = _("It belongs to the partner %s and is kept there") % first.partner
    Delivery.objects.filter(pk=delivery.pk).update(
        state=Delivery.State.REPLAYED, alert_id=alert_id, reason=moved
    )


def _announce_again(delivery: Delivery) -> None:
    """The alert is there; what failed was to start its playbooks."""
    alert = (
        Alert.objects.select_for_update(of=("self",)).select_related("partner").get(pk=str(delivery.alert_id))
    )
    item = read_body(bytes(delivery.body), _envelope(delivery))[0]
    if item.alert is None:
        delivery.reason = item.reason
        delivery.save(update_fields=["reason"])
        return
    now = {
        "id": str(alert.pk),
        "source": alert.source,
        "severity": alert.severity,
        "status": alert.status,
        "determination": alert.determination,
        "tags": alert.tags,
        "partner": alert.partner.public_slug,
        "correlation_id": str(alert.correlation_id),
        "updated_at": alert.updated_at,
        "resolved_at": alert.resolved_at,
        "resolve_reason": alert.resolve_reason,
    }
    created = CreatedAlert(
        alert_id=alert.pk,
        partner_id=alert.partner_id,
        source=alert.source,
        correlation_id=alert.correlation_id,
        severity=alert.severity,
        delivery_id=delivery.pk,
        subject=item.subject() | now,
    )
    try:
        with transaction.atomic():
            announce([created])
        delivery.state, delivery.reason = Delivery.State.REPLAYED, ""
    except SubscriberFailed as error:
        delivery.reason = _("The alert is stored, but its playbooks were not started: %s") % sentence_of(
            error
        )
    delivery.save(update_fields=["state", "reason"])
