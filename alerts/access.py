"""Alerts and observables by id: the one place that fetches and authorises."""

from __future__ import annotations

from collections.abc import Iterable

from django.utils.translation import gettext as _

from alerts.models import Alert, Delivery, Observable, Suppression
from opensoar.access import parse_id, require
from opensoar.actors import Actor
from opensoar.errors import NotFound


def get_alert_for(actor: Actor, pk: object, capability: str) -> Alert:
    """The alert with what a row shows; :class:`NotAllowed`, or :class:`NotFound` if missing, deleted or foreign."""
    require(actor, capability)
    missing = _("Alert not found")
    alert = Alert.objects.visible_to(actor).with_related().filter(pk=parse_id(pk, missing=missing)).first()
    if alert is None:
        raise NotFound(missing)
    return alert


def get_alerts_for(actor: Actor, ids: Iterable[object], capability: str) -> list[Alert]:
    """Many alerts at once, in the order of their ids; raises as :func:`get_alert_for` does, for the first that is not there."""
    require(actor, capability)
    missing = _("Alert not found")
    wanted = {parse_id(pk, missing=missing) for pk in ids}
    alerts = list(Alert.objects.visible_to(actor).with_related().filter(pk__in=wanted).order_by("pk"))
    if len(alerts) != len(wanted):
        raise NotFound(missing)
    return alerts


def get_observable_for(actor: Actor, pk: object, capability: str) -> Observable:
    """The observable; :class:`NotAllowed`, or :class:`NotFound` if missing or foreign."""
    require(actor, capability)
    missing = _("Observable not found")
    observables = (
        Observable.objects.visible_to(actor).select_related("partner").prefetch_related("enrichments")
    )
    observable = observables.filter(pk=parse_id(pk, missing=missing)).first()
    if observable is None:
        raise NotFound(missing)
    return observable


def get_delivery_for(actor: Actor, pk: object, capability: str) -> Delivery:
    """The delivery; :class:`NotAllowed`, or :class:`NotFound` if missing or foreign."""
    require(actor, capability)
    missing = _("Delivery not found")
    delivery = Delivery.objects.visible_to(actor).filter(pk=parse_id(pk, missing=missing)).first()
    if delivery is None:
        raise NotFound(missing)
    return delivery


def get_suppression_for(actor: Actor, pk: object, capability: str) -> Suppression:
    """The suppression with what a row shows; :class:`NotAllowed`, or :class:`NotFound` if missing or foreign."""
    require(actor, capability)
    missing = _("Suppression not found")
    rows = Suppression.objects.visible_to(actor).with_related()
    suppression = rows.filter(pk=parse_id(pk, missing=missing)).first()
    if suppression is None:
        raise NotFound(missing)
    return suppression
