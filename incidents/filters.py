"""What the incident list can be narrowed by."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import django_filters
from django import forms
from django.db.models import Q
from django.http import QueryDict
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from alerts.models import Severity
from incidents.models import Incident
from incidents.pages import incident_words, owners
from incidents.querysets import IncidentQuerySet
from opensoar.actors import Actor
from opensoar.web.forms import styled

ME, NOBODY, CURRENT = "me", "none", "current"
CLOSED_LATELY = timedelta(days=7)


class IncidentFilter(django_filters.FilterSet):
    """Status (current where nothing is said), severity, owner, and words in title, description or number."""

    q = django_filters.CharFilter(method="by_words", label=_("Search"))
    status = django_filters.MultipleChoiceFilter(
        choices=[(CURRENT, _("Open, or closed this week")), *Incident.Status.choices],
        method="by_status",
        label=_("Status"),
        widget=forms.CheckboxSelectMultiple,
    )
    severity = django_filters.MultipleChoiceFilter(
        choices=list(reversed(Severity.choices)), label=_("Severity"), widget=forms.CheckboxSelectMultiple
    )
    owner = django_filters.ChoiceFilter(method="by_owner", label=_("Owner"), empty_label=_("Anybody"))

    class Meta:
        model = Incident
        fields: list[str] = []

    def __init__(self, data: Any = None, *args: Any, actor: Actor, **kwargs: Any) -> None:
        wanted = QueryDict(mutable=True) if data is None else data.copy()
        wanted.setdefault("status", CURRENT)
        super().__init__(wanted, *args, **kwargs)
        self.actor = actor
        people = [(str(user.pk), str(user)) for user in owners(actor)]
        self.form.fields["owner"].choices = [
            ("", _("Anybody")),
            (ME, _("Me")),
            (NOBODY, _("Nobody")),
            *people,
        ]
        styled(self.form)

    def by_status(self, queryset: IncidentQuerySet, name: str, value: list[str]) -> IncidentQuerySet:
        """Any of these; ``current`` is what is not closed, or was closed in the last seven days."""
        if not value:
            return queryset
        wanted = Q(status__in=value)
        if CURRENT in value:
            wanted |= ~Q(status="closed") | Q(closed_at__gte=timezone.now() - CLOSED_LATELY)
        return queryset.filter(wanted)

    def by_owner(self, queryset: IncidentQuerySet, name: str, value: str) -> IncidentQuerySet:
        """``me``, ``none`` or a person's id."""
        if value == NOBODY:
            return queryset.filter(assigned_to__isnull=True)
        return queryset.filter(assigned_to=self.actor.user_id if value == ME else value)  # type: ignore[misc]

    def by_words(self, queryset: IncidentQuerySet, name: str, value: str) -> IncidentQuerySet:
        """Part of the title or description, or the number as ``1042`` or ``INC-1042``."""
        return queryset.filter(incident_words(value))
