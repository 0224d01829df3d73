"""Locking an alert's row, which every change begins with."""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

from django.utils.translation import gettext as _

from alerts.models import Alert
from opensoar.actors import Actor
from opensoar.errors import NotFound


def lock_alert(actor: Actor, alert: Alert) -> Alert:
    """The alert's row, locked and read anew; :class:`NotFound` if it is deleted or foreign by now.

    No joins: after waiting for a lock PostgreSQL re-reads the locked row only, and a joined one would be of before.
    """
    locked = Alert.objects.visible_to(actor).select_for_update(no_key=True).filter(pk=alert.pk).first()
    if locked is None:
        raise NotFound(_("Alert not found"))
    return locked


def lock_alerts(actor: Actor, ids: Iterable[UUID]) -> list[Alert]:
    """Several rows, locked in the order of their ids as everywhere; :class:`NotFound` if one is deleted or foreign."""
    wanted = set(ids)
    locked = (
        Alert.objects.visible_to(actor).select_for_update(no_key=True).filter(pk__in=wanted).order_by("pk")
    )
    found = list(locked)
    if len(found) != len(wanted):
        raise NotFound(_("Alert not found"))
    return found
