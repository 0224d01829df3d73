"""Which alerts may be suggested: the one place that says so."""

from __future__ import annotations

from datetime import timedelta

from django.db.models import Exists, OuterRef

from alerts.models import Alert
from alerts.querysets import AlertQuerySet
from incidents.models import IncidentAlert
from opensoar import clock
from opensoar.accounts.models import ProductSettings
from opensoar.actors import Actor
from opensoar.ids import first_id_at


def candidates(actor: Actor) -> AlertQuerySet:
    """Open alerts of the window that ``actor`` sees and that are in no incident."""
    since = clock.now() - timedelta(days=ProductSettings.load().suggestion_days)
    linked = Exists(IncidentAlert.objects.filter(alert=OuterRef("pk")))
    # Ids tell the time too, and are indexed.
    recent = Alert.objects.visible_to(actor).open().filter(pk__gte=first_id_at(since), created_at__gte=since)
    return recent.filter(~linked)
