"""The questions behind the alert pages, each in a fixed number of queries."""

from __future__ import annotations

from alerts.models import Alert, Delivery, Observable
from alerts.querysets import AlertQuerySet
from opensoar.accounts.models import User
from opensoar.actors import Actor
from opensoar.errors import Invalid

SHOWN = 100


def queue(actor: Actor) -> AlertQuerySet:
    """What the list starts from: gravest first, then newest."""
    return Alert.objects.visible_to(actor).with_related().order_by("-severity_rank", "-id")


def observables_of(actor: Actor, alert: Alert) -> list[Observable]:
    """What the alert mentions."""
    if not actor.can("observables:read"):
        return []
    return list(Observable.objects.visible_to(actor).filter(alerts=alert).order_by("type", "value")[:SHOWN])


def deliveries_of(actor: Actor, alert: Alert) -> list[tuple[Delivery, str]]:
    """The bodies that made it, newest first, as text."""
    rows = Delivery.objects.visible_to(actor).of_alert(alert.pk).order_by("-id")[:20]
    return [(row, bytes(row.body)[:20_000].decode(errors="replace")) for row in rows]


def person_named(username: str) -> User | None:
    """The user of that name; ``None`` for an empty one. Raises :class:`Invalid` for a stranger."""
    if not username:
        return None
    user = User.objects.filter(username__iexact=username).first()
    if user is None:
        raise Invalid(f"Nobody is called {username!r}.", field="username")
    return user
