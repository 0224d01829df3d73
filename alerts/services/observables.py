"""Observables: one row per partner, type and canonical value, linked to whatever they were seen in."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable
from typing import Any
from uuid import UUID

from django.db import transaction
from django.utils.translation import gettext as _

from alerts import exclusions, iocs
from alerts.events import CreatedObservable, CreatedObservables, observables_created
from alerts.models import Alert, AlertEntry, AlertObservable, Observable, ObservableEnrichment
from alerts.services.locks import lock_alert
from opensoar import clock, timeline
from opensoar.accounts.models import Partner
from opensoar.accounts.services import resolve_partner
from opensoar.actors import Actor
from opensoar.errors import Invalid, NotFound
from opensoar.ids import uuid7
from opensoar.text import clean_json, limited_text, required_text, tag_list
from opensoar.timeline import Draft
from opensoar.timeline_kinds import ObservableAdded

MAX_AT_ONCE = 500

type TypedValue = tuple[str, str]


def recognised(text: str) -> list[TypedValue]:
    """Type and canonical value of everything a pasted text mentions.

    Raises:
        Invalid: nothing, or more than is read at once.
    """
    found = iocs.parse_text(text)
    if found.notes:
        raise Invalid(_("Too much at once: %s. Add it in parts.") % "; ".join(found.notes), field="text")
    if not found.observables:
        raise Invalid(_("Nothing in this text looks like an observable."), field="text")
    return [(one.type, one.value) for one in found.observables]


def value_hash(value: str) -> bytes:
    """What makes a canonical value unique; a URL may be longer than an index entry."""
    return hashlib.sha256(value.encode()).digest()


def upsert_observables(
    partner_id: UUID,
    values: Iterable[tuple[str, str, bool]],
    *,
    source: str | None = None,
    actor: Actor | None = None,
    correlation_id: UUID | None = None,
) -> dict[TypedValue, Observable]:
    """The rows of (type, canonical value, internal), made where missing: two statements, however many.

    Sorted, so that two transactions that mention the same values wait for each other instead of deadlocking. With an
    ``actor`` those that are new are announced, which wants a transaction around it.
    """
    rows = sorted({(kind, value_hash(value), value, internal) for kind, value, internal in values})
    if not rows:
        return {}
    excluded = exclusions.current()
    made = [
        Observable(
            partner_id=partner_id,
            type=kind,
            value=value,
            value_hash=digest,
            internal=internal or excluded.kind_of(kind, value) == exclusions.OWN,
            tags=[exclusions.ALLOWED] if excluded.kind_of(kind, value) == exclusions.ALLOWED else [],
            source=source,
            created_at=clock.now(),
        )
        for kind, digest, value, internal in rows
    ]
    Observable.objects.bulk_create(made, ignore_conflicts=True)
    wanted = {(kind, value) for kind, _digest, value, _internal in rows}
    hashes = [digest for _kind, digest, *_rest in rows]
    found = [
        row
        for row in Observable.objects.filter(partner_id=partner_id, value_hash__in=hashes)
        if (row.type, row.value) in wanted
    ]
    ids = {row.pk for row in made}
    if actor is not None and (new := [row for row in found if row.pk in ids]):
        correlation = correlation_id or uuid7()
        event = CreatedObservables(actor, lambda: [_created(row, correlation) for row in new])
        observables_created.emit(event)
    return {(row.type, row.value): row for row in found}


def _created(row: Observable, correlation_id: UUID) -> CreatedObservable:
    subject = {
        "id": str(row.pk),
        "type": row.type,
        "value": row.value,
        "internal": row.internal,
        "source": row.source,
        "tags": row.tags,
        "partner": row.partner.public_slug,
        "first_seen": row.created_at,
    }
    return CreatedObservable(row.pk, row.partner_id, correlation_id, subject)


def canonical_values(values: Iterable[TypedValue]) -> list[tuple[str, str, bool]]:
    """Typed, canonical and judged internal or not, in order and without repeats; :class:`Invalid` says what is wrong."""
    result: dict[TypedValue, tuple[str, str, bool]] = {}
    for kind, value in values:
        if not isinstance(kind, str) or not isinstance(value, str):
            raise Invalid(_("Type and value must be text"), field="value")
        try:
            made = iocs.make(*iocs.canonical(kind, value))
        except ValueError as error:
            raise Invalid(str(error), field="value") from None
        result[made.type, made.value] = (made.type, made.value, made.internal)
    if not result:
        raise Invalid(_("Name at least one observable"), field="value")
    if len(result) > MAX_AT_ONCE:
        raise Invalid(_("At most %(limit)d observables at once") % {"limit": MAX_AT_ONCE}, field="value")
    return list(result.values())


def observables_for(
    actor: Actor,
    partner_id: UUID,
    values: Iterable[TypedValue],
    source: str | None,
    correlation_id: UUID | None = None,
) -> list[Observable]:
    """The rows of what somebody typed or pasted, in that order; those that are new are announced."""
    source = limited_text(source, field="source", limit=100) if source else None
    typed = canonical_values(values)
    rows = upsert_observables(partner_id, typed, source=source, actor=actor, correlation_id=correlation_id)
    return [rows[kind, value] for kind, value, _internal in typed]


def added_draft(actor: Actor, added: Iterable[Observable]) -> Draft:
    """The timeline entry for observables that joined a subject; values stand in its text, which can be erased."""
    added = list(added)
    kind = ObservableAdded(observables=[{"id": str(o.pk), "type": o.type} for o in added])
    return Draft(kind=kind, actor=actor, text="\n".join(f"{o.type} {o.value}" for o in added))


@transaction.atomic
def add_observables(
    *, actor: Actor, alert: Alert, values: Iterable[TypedValue], source: str | None = None
) -> list[Observable]:
    """Put observables on an alert; all of them are returned, one entry lists those that are new to it."""
    alert = lock_alert(actor, alert)
    rows = observables_for(actor, alert.partner_id, values, source, alert.correlation_id)
    known = set(AlertObservable.objects.filter(alert=alert).values_list("observable_id", flat=True))
    added = [row for row in rows if row.pk not in known]
    if added:
        AlertObservable.objects.bulk_create([AlertObservable(alert=alert, observable=row) for row in added])
        alert.updated_at = clock.now()
        alert.save(update_fields=["updated_at"])
        timeline.record(AlertEntry, alert, added_draft(actor, added))
    return rows


@transaction.atomic
def create_observable(
    *, actor: Actor, type: str, value: str, source: str | None = None, partner: Partner | str | None = None
) -> Observable:
    """An observable that is on nothing yet; the existing row where there is one."""
    owner = resolve_partner(partner, actor=actor)
    return observables_for(actor, owner.pk, [(type, value)], source)[0]


@transaction.atomic
def tag_observable(*, actor: Actor, observable: Observable, tags: Iterable[str]) -> Observable:
    """Add tags to those that it has. Raises :class:`Invalid` for tags that are too long or too many."""
    observable = _lock_observable(actor, observable)
    wanted = tag_list([*observable.tags, *tags])
    if wanted != observable.tags:
        observable.tags = wanted
        observable.save(update_fields=["tags"])
    return observable


def move_observables(actor: Actor, alert: Alert, partner_id: UUID) -> None:
    """Let an alert that changes its partner mention the new partner's rows of the same values."""
    links = list(AlertObservable.objects.filter(alert=alert).select_related("observable"))
    old = [link.observable for link in links]
    rows = upsert_observables(
        partner_id,
        [(o.type, o.value, o.internal) for o in old],
        actor=actor,
        correlation_id=alert.correlation_id,
    )
    AlertObservable.objects.filter(alert=alert).delete()
    AlertObservable.objects.bulk_create(
        AlertObservable(
            alert=alert, observable=rows[link.observable.type, link.observable.value], field=link.field
        )
        for link in links
    )


@transaction.atomic
def add_enrichment(
    *,
    actor: Actor,
    observable: Observable,
    source: str,
    data: dict[str, Any],
    malicious: bool | None = False,
    score: float | None = None,
) -> Observable:
    """Store what one source says, in place of what it said before."""
    observable = _lock_observable(actor, observable)
    if not isinstance(data, dict):
        raise Invalid(_("data must be an object"), field="data")
    if score is not None and not math.isfinite(score):
        raise Invalid(_("score must be a number"), field="score")
    ObservableEnrichment.objects.update_or_create(
        observable=observable,
        source=required_text(source, field="source", limit=100),
        defaults={
            "data": clean_json(data),
            "malicious": malicious,
            "score": score,
            "created_at": clock.now(),
        },
    )
    return _set_enriched(observable, Observable.EnrichmentStatus.ENRICHED)


@transaction.atomic
def remove_enrichment(*, actor: Actor, observable: Observable, source: str) -> int:
    """Forget what one source said; how many records went. Without any left the observable is pending again."""
    observable = _lock_observable(actor, observable)
    removed, _per_model = observable.enrichments.filter(source=source).delete()
    if removed and not observable.enrichments.exists():
        _set_enriched(observable, Observable.EnrichmentStatus.PENDING)
    return removed


def _lock_observable(actor: Actor, observable: Observable) -> Observable:
    locked = (
        Observable.objects.visible_to(actor).select_for_update(no_key=True).filter(pk=observable.pk).first()
    )
    if locked is None:
        raise NotFound(_("Observable not found"))
    return locked


def _set_enriched(observable: Observable, status: str) -> Observable:
    if observable.enrichment_status != status:
        observable.enrichment_status = status
        observable.save(update_fields=["enrichment_status"])
    return observable
