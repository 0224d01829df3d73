"""The cast of characters: rows as they would be had people and sources made them.

Only what a test does not care about is filled in; whatever it does care about is an argument.
"""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Iterable
from typing import Any

from django.utils import timezone

from alerts.models import Alert, AlertCounter, AlertEntry, AlertText, Delivery
from incidents import services as incident_services
from incidents.models import Incident, IncidentEntry, IncidentText
from incidents.suggestion_store import catch_up
from incidents.suggestions import Suggestion, suggestions
from opensoar.accounts.models import DEFAULT_PARTNER_ID, ApiToken, Partner, User
from opensoar.accounts.services import issue_token
from opensoar.actors import Actor
from opensoar.timeline import TimelineEntry

SYSTEM = Actor.system("tests")
PASSWORD = "correct horse battery"
_numbers = itertools.count(1)


def make_partner(slug: str | None = None, **fields: Any) -> Partner:
    """A customer."""
    slug = slug or f"partner-{next(_numbers)}"
    return Partner.objects.create(slug=slug, name=fields.pop("name", slug.title()), **fields)


def default_partner() -> Partner:
    """The partner that every installation has."""
    return Partner.objects.get(pk=DEFAULT_PARTNER_ID)


def make_user(
    username: str | None = None, role: str = "analyst", partners: Iterable[Partner] = (), **fields: Any
) -> User:
    """A person who can sign in with :data:`PASSWORD`; sees every partner unless told otherwise."""
    username = username or f"user{next(_numbers)}"
    user = User(
        username=username, role_id=role, display_name=fields.pop("display_name", username.title()), **fields
    )
    user.set_password(PASSWORD)
    user.save(force_insert=True)
    user.partners.set(partners)
    return user


def make_token(scopes: Iterable[str] = ("read", "write"), **fields: Any) -> tuple[ApiToken, str]:
    """An API token and its plaintext."""
    return issue_token(actor=SYSTEM, name=fields.pop("name", "a token"), scopes=scopes, **fields)


def make_alert(
    title: str = "Suspicious login",
    *,
    partner: Partner | None = None,
    payload: dict[str, Any] | None = None,
    **fields: Any,
) -> Alert:
    """An alert with its counter and the delivery that made it."""
    now = timezone.now()
    if fields.get("status") == Alert.Status.RESOLVED:
        fields = {"determination": "benign", "resolved_at": now} | fields
    alert = Alert(
        partner_id=partner.pk if partner else DEFAULT_PARTNER_ID,
        source=fields.pop("source", "webhook"),
        title=title,
        dedupe_key=os.urandom(32),
        **fields,
    )
    alert.save(force_insert=True)
    delivery = Delivery.objects.create(
        partner_id=alert.partner_id,
        alert_id=alert.pk,
        source=alert.source,
        body=json.dumps(payload or {"title": title}).encode(),
        content_type="application/json",
    )
    AlertCounter.objects.create(alert=alert, first_seen=now, last_seen=now, last_delivery_id=delivery.pk)
    return alert


def make_incident(
    title: str = "Credential theft", *, actor: Actor = SYSTEM, alerts: Iterable[Alert] = (), **fields: Any
) -> Incident:
    """An incident, opened as everybody opens one."""
    return incident_services.open_incident(actor=actor, title=title, alerts=alerts, **fields)


def entries(subject: Alert | Incident, *, after: int = 0) -> list[TimelineEntry]:
    """What stands on the timeline, oldest first; ``after`` leaves out the first so many."""
    model: type[TimelineEntry] = AlertEntry if isinstance(subject, Alert) else IncidentEntry
    return list(model._default_manager.filter(subject_id=subject.pk, seq__gt=after).order_by("seq"))


def actions(subject: Alert | Incident, *, after: int = 0) -> list[str]:
    """The action words on the timeline, oldest first."""
    return [entry.action for entry in entries(subject, after=after)]


def text_of(entry: TimelineEntry) -> str | None:
    """The words of an entry, ``None`` where it has none (or they were erased)."""
    model = AlertText if isinstance(entry, AlertEntry) else IncidentText
    return model.objects.filter(pk=entry.pk).values_list("text", flat=True).first()


def suggested(actor: Actor = SYSTEM) -> list[Suggestion]:
    """The suggestions once grouping has seen everything, which a worker does within seconds."""
    catch_up()
    return suggestions(actor)
