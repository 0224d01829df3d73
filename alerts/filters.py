"""What the queue can be filtered by."""

from __future__ import annotations

from typing import Any

from django import forms
from django.db.models import Q, QuerySet
from django.http import QueryDict
from django.utils.translation import gettext_lazy as _
from django_filters import CharFilter, ChoiceFilter, FilterSet, MultipleChoiceFilter, UUIDFilter

from alerts.models import SEVERITY_RANK, Alert, AlertObservable, Severity
from alerts.services.observables import value_hash
from opensoar.web.forms import styled

OPEN = "open"


def alert_words(value: str) -> Q:
    """Alerts that a search finds: part of title, rule, host or user, or an observable's exact value."""
    words = Q(pk__in=mentioning(value))
    for field in ("title", "rule_name", "hostname", "username"):
        words |= Q(**{f"{field}__icontains": value})
    return words


class SuppressedFilter(FilterSet):
    """What a suppression hides is left out unless it is asked for."""

    suppressed = ChoiceFilter(
        choices=[("true", _("Suppressed only")), ("any", _("With what is suppressed"))],
        method="by_suppressed",
        empty_label=_("Not suppressed"),
        label=_("Suppressed"),
        help_text="true: only what a suppression hides; any: that too; without it none of that",
    )
    suppressed_by = UUIDFilter(label=_("Suppression"), help_text="what this suppression hides")

    def filter_queryset(self, queryset: QuerySet[Alert]) -> QuerySet[Alert]:
        """Add what nobody has to ask for."""
        found: QuerySet[Alert] = super().filter_queryset(queryset)
        chosen = self.form.cleaned_data
        if chosen.get("suppressed") or chosen.get("suppressed_by"):
            return found
        return found.filter(suppressed_by__isnull=True)

    def by_suppressed(self, queryset: QuerySet[Alert], name: str, value: str) -> QuerySet[Alert]:
        """``true`` or ``any``."""
        return queryset.filter(suppressed_by__isnull=False) if value == "true" else queryset


class AlertFilter(SuppressedFilter):
    """Status (open where nothing is said), severities, determination, source, owner, partner and words."""

    q = CharFilter(method="by_words", label=_("Search"))
    status = ChoiceFilter(
        choices=[(OPEN, _("Open")), *Alert.Status.choices],
        method="by_status",
        empty_label=_("Any status"),
        label=_("Status"),
    )
    severity = MultipleChoiceFilter(
        choices=list(reversed(Severity.choices)),
        method="by_severity",
        label=_("Severity"),
        widget=forms.CheckboxSelectMultiple,
    )
    determination = ChoiceFilter(
        choices=Alert.Determination.choices, empty_label=_("Any determination"), label=_("Determination")
    )
    owner = ChoiceFilter(
        choices=[("me", _("Me")), ("nobody", _("Nobody"))],
        method="by_owner",
        empty_label=_("Anybody"),
        label=_("Owner"),
    )
    source = CharFilter(lookup_expr="iexact", label=_("Source"))
    partner = CharFilter(field_name="partner__slug", lookup_expr="iexact", label=_("Partner"))

    class Meta:
        model = Alert
        fields: tuple[str, ...] = ()

    def __init__(self, data: Any = None, *args: Any, **kwargs: Any) -> None:
        wanted = QueryDict(mutable=True) if data is None else data.copy()
        wanted.setdefault("status", OPEN)
        super().__init__(wanted, *args, **kwargs)
        styled(self.form)

    def by_status(self, queryset: QuerySet[Alert], name: str, value: str) -> QuerySet[Alert]:
        """``open`` is everything not resolved."""
        return queryset.exclude(status="resolved") if value == OPEN else queryset.filter(status=value)

    def by_severity(self, queryset: QuerySet[Alert], name: str, value: list[str]) -> QuerySet[Alert]:
        """By rank, as the queue is ordered and indexed."""
        return (
            queryset.filter(severity_rank__in=[SEVERITY_RANK[word] for word in value]) if value else queryset
        )

    def by_owner(self, queryset: QuerySet[Alert], name: str, value: str) -> QuerySet[Alert]:
        """Mine, or nobody's."""
        if value == "nobody":
            return queryset.filter(assigned_to__isnull=True)
        return queryset.filter(assigned_to=self.request.user)

    def by_words(self, queryset: QuerySet[Alert], name: str, value: str) -> QuerySet[Alert]:
        """Title, rule, host, user, or an observable's exact value."""
        return queryset.filter(alert_words(value))


def mentioning(value: str) -> QuerySet[AlertObservable, Any]:
    """The ids of alerts that mention an observable of exactly this value."""
    links = AlertObservable.objects.filter(observable__value_hash=value_hash(value.strip()))
    return links.values("alert_id")
