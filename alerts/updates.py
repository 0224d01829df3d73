"""What a repeat changes: a source that says more, that it is over, or that it happened again."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from uuid import UUID

from django.utils.translation import gettext as _

from alerts.ingest_rows import LEARNT, Known
from alerts.models import Alert, AlertEntry, AlertSource
from alerts.services.suppressions import show_alert_again
from alerts.services.triage import reopen_alert, resolve_alert, update_alert
from alerts.source_settings import SourceSettings
from alerts.sources.base import MAX_TAGS, NormalisedAlert
from alerts.timeline_kinds import DuplicateReceived, SaidToBeOver
from opensoar import clock
from opensoar.actors import Actor
from opensoar.timeline import Draft, record

INGEST = Actor.system("ingest")
RESOLVED, UNKNOWN = Alert.Status.RESOLVED, Alert.Determination.UNKNOWN
_SAID_FOR = timedelta(hours=1)  # a resolved alert that goes on coming says so once in that time
_MAX_IOCS = 500  # values of one group that an alert gathers over its repeats


class Repeat:
    """The last repeat of an alert in a batch."""

    __slots__ = ("alert", "content_hash", "delivery_id", "hidden", "known", "received_at", "settings")

    def __init__(
        self,
        known: Known,
        alert: NormalisedAlert,
        settings: SourceSettings | None,
        *,
        content_hash: bytes,
        delivery_id: UUID,
        received_at: datetime,
        hidden: bool = False,
    ) -> None:
        self.hidden = hidden
        self.known, self.alert, self.settings = known, alert, settings
        self.content_hash, self.delivery_id, self.received_at = content_hash, delivery_id, received_at

    @property
    def comes_back(self) -> bool:
        """Its alert is hidden, but nothing would hide it now: the suppression ended, or the source says otherwise."""
        return self.known.suppressed_by_id is not None and not self.hidden and not self.alert.resolved

    @property
    def changes_something(self) -> bool:
        """Whether more than a counter has to be touched."""
        if self.known.suppressed_by_id is not None:
            return self.comes_back
        return self.known.status == RESOLVED or self.known.content_hash != self.content_hash

    @property
    def happened_again(self) -> bool:
        """After the alert was resolved; a source that gives no time is believed to speak of now."""
        return happened_again(self.known, self.alert)


def happened_again(known: Known, alert: NormalisedAlert) -> bool:
    """Whether ``alert`` tells of something later than the end of the resolved alert ``known``."""
    if known.status != RESOLVED or known.resolved_at is None or alert.resolved:
        return False
    return alert.event_at is None or alert.event_at > known.resolved_at


def follow(repeats: Mapping[UUID, Repeat], counts: Mapping[UUID, int]) -> None:
    """Bring alerts up to date with their last repeats, in the order of their ids, in the caller's transaction."""
    wanted = [alert_id for alert_id, repeat in repeats.items() if repeat.changes_something]
    if not wanted:
        return
    alerts = Alert.objects.select_for_update(no_key=True).filter(pk__in=wanted).order_by("pk")
    for alert in alerts:
        if alert.archived_at is None:
            _bring_up_to_date(alert, repeats[alert.pk], counts.get(alert.pk))


def _bring_up_to_date(alert: Alert, repeat: Repeat, count: int | None) -> None:
    if repeat.comes_back:
        alert = show_alert_again(
            actor=INGEST, alert=alert, reason=_("It came again, and nothing hides it any more")
        )
    if alert.status == RESOLVED:
        _came_again(alert, repeat, count)
    if repeat.known.content_hash != repeat.content_hash:
        _refresh(alert, repeat)
        if repeat.alert.resolved:
            _is_over(alert, repeat)


def _came_again(alert: Alert, repeat: Repeat, count: int | None) -> None:
    settings = repeat.settings
    if settings and settings.on_recurrence == AlertSource.OnRecurrence.REOPEN and repeat.happened_again:
        reopen_alert(actor=INGEST, alert=alert, reason=_("It came again after it was resolved"))
        return
    kind = DuplicateReceived(delivery_id=str(repeat.delivery_id), duplicate_count=count)
    last = AlertEntry.objects.filter(subject_id=alert.pk).order_by("-seq").first()
    if last is None or last.action != kind.action or last.recorded_at < clock.now() - _SAID_FOR:
        record(AlertEntry, alert, Draft(kind, INGEST))


def _refresh(alert: Alert, repeat: Repeat) -> None:
    """What the source says now. What people have said stays: a severity they set, a determination, a tag. Whom it
    concerns stays too, once it was said: some sources tell it later than the alert itself."""
    said, before = repeat.alert, alert.normalized
    severity = said.severity if alert.severity == before.get("severity", alert.severity) else None
    tags = [*alert.tags, *(tag for tag in said.tags if tag not in alert.tags)]
    tags = tags[: max(MAX_TAGS, len(alert.tags))]
    verdict = said.determination if alert.determination == UNKNOWN else None
    update_alert(
        actor=INGEST,
        alert=alert,
        severity=severity,
        tags=tags if tags != alert.tags else None,
        determination=verdict,
        detail=_("Updated by its source"),
        learnt={name: getattr(said, name) for name in LEARNT},
    )
    Alert.objects.filter(pk=alert.pk).update(
        normalized=said.normalized,
        techniques=list(dict.fromkeys((*alert.techniques, *said.techniques)))[:MAX_TAGS],
        iocs=_merged(alert.iocs, said.iocs),
        content_hash=repeat.content_hash,
    )


def _merged(before: dict[str, list[str]], now: dict[str, list[str]]) -> dict[str, list[str]]:
    return {
        group: list(dict.fromkeys((*before.get(group, ()), *now.get(group, ()))))[:_MAX_IOCS]
        for group in dict.fromkeys((*before, *now))
    }


def _is_over(alert: Alert, repeat: Repeat) -> None:
    """Resolve it where it is known what it was; otherwise a person has to say."""
    now = Alert.objects.get(pk=alert.pk)  # as the refresh left it: its timeline goes on from there
    if now.status == RESOLVED:
        return
    settings = repeat.settings
    if (
        settings is None or settings.on_resolved == AlertSource.OnResolved.RESOLVE
    ) and now.determination != UNKNOWN:
        reason = _("Its source says that it is over")
        resolve_alert(actor=INGEST, alert=alert, determination=now.determination, reason=reason)
    else:
        record(AlertEntry, now, Draft(SaidToBeOver(delivery_id=str(repeat.delivery_id)), INGEST))
