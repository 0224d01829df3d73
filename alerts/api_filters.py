"""What the API's lists can be narrowed by. A value that makes no sense is a 422, as everywhere."""

from __future__ import annotations

import ipaddress
from typing import Any

from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.utils.translation import gettext as _
from django_filters import (
    BaseInFilter,
    BooleanFilter,
    CharFilter,
    ChoiceFilter,
    FilterSet,
    IsoDateTimeFilter,
    OrderingFilter,
    UUIDFilter,
)

from alerts.filters import UTC_HELP, SuppressedFilter, alert_words, mentioning
from alerts.models import Alert, Observable, ObservableEnrichment, Severity, Suppression
from alerts.querysets import SuppressionQuerySet
from alerts.services.observables import value_hash


class ChoicesFilter(BaseInFilter, ChoiceFilter):
    """Any of several words, with commas between them."""


class WordsFilter(BaseInFilter, CharFilter):
    """Any of several texts, with commas between them."""


class StableOrdering(OrderingFilter):
    """The order that was asked for; newest first among equals, so that no page repeats a row."""

    def filter(self, queryset: QuerySet[Any], value: Any) -> QuerySet[Any]:
        if not value:
            return queryset
        ordered = super().filter(queryset, value)
        return ordered.order_by(*ordered.query.order_by, "-pk")


def cidr(text: str) -> tuple[str, str]:
    """First and last address of a network (``10.0.0.0/8``) or of a single address."""
    try:
        network = ipaddress.ip_network(text.strip(), strict=False)
    except ValueError:
        raise ValidationError(_("Not a network: write 192.0.2.0/24")) from None
    return str(network[0]), str(network[-1])


class ApiAlertFilter(SuppressedFilter):
    """Alerts by what they are, whose they are, when they came and what they mention."""

    q = CharFilter(
        method="by_words", help_text="words of title, rule, host or user, or an observable's value"
    )
    status = ChoiceFilter(choices=Alert.Status.choices)
    status__in = ChoicesFilter(field_name="status", choices=Alert.Status.choices)
    severity = ChoiceFilter(choices=Severity.choices)
    severity__in = ChoicesFilter(field_name="severity", choices=Severity.choices)
    determination = ChoiceFilter(choices=Alert.Determination.choices)
    source = CharFilter()
    partner = CharFilter(field_name="partner__slug")
    assigned_to = UUIDFilter()
    unassigned = BooleanFilter(field_name="assigned_to", lookup_expr="isnull", help_text="in nobody's hands")
    hostname = CharFilter()
    username = CharFilter()
    rule_name = CharFilter()
    source_ip = CharFilter(method="by_network", validators=[cidr], help_text="an address")
    source_ip__cidr = CharFilter(method="by_network", validators=[cidr], help_text="a network: 192.0.2.0/24")
    tags__overlap = WordsFilter(field_name="tags", lookup_expr="overlap", help_text="any of these tags")
    observable = CharFilter(method="by_observable", help_text="the canonical value of an observable")
    created_at__gte = IsoDateTimeFilter(field_name="created_at", lookup_expr="gte", help_text=UTC_HELP)
    created_at__lt = IsoDateTimeFilter(field_name="created_at", lookup_expr="lt", help_text=UTC_HELP)
    updated_at__gte = IsoDateTimeFilter(field_name="updated_at", lookup_expr="gte", help_text=UTC_HELP)
    updated_at__lt = IsoDateTimeFilter(field_name="updated_at", lookup_expr="lt", help_text=UTC_HELP)
    ordering = StableOrdering(
        fields={
            "id": "created_at",
            "updated_at": "updated_at",
            "severity_rank": "severity",
            "status": "status",
        }
    )

    class Meta:
        model = Alert
        fields: tuple[str, ...] = ()

    def by_words(self, queryset: QuerySet[Alert], name: str, value: str) -> QuerySet[Alert]:
        """Words as on the page."""
        return queryset.filter(alert_words(value))

    def by_observable(self, queryset: QuerySet[Alert], name: str, value: str) -> QuerySet[Alert]:
        """What mentions it."""
        return queryset.filter(pk__in=mentioning(value))

    def by_network(self, queryset: QuerySet[Alert], name: str, value: str) -> QuerySet[Alert]:
        """Addresses between the first and the last, which the index of addresses finds."""
        return queryset.filter(source_ip__range=cidr(value))


class ObservableFilter(FilterSet):
    """Observables by what they are and what is known about them."""

    q = CharFilter(field_name="value", lookup_expr="icontains", help_text="part of the value")
    type = ChoiceFilter(choices=Observable.Type.choices)
    value = CharFilter(method="by_value", help_text="the whole canonical value")
    partner = CharFilter(field_name="partner__slug")
    internal = BooleanFilter()
    enrichment_status = ChoiceFilter(choices=Observable.EnrichmentStatus.choices)
    malicious = BooleanFilter(method="by_verdict", help_text="whether any source calls it malicious")

    class Meta:
        model = Observable
        fields: tuple[str, ...] = ()

    def by_value(self, queryset: QuerySet[Observable], name: str, value: str) -> QuerySet[Observable]:
        """Found by its hash, as it is unique by it."""
        return queryset.filter(value_hash=value_hash(value.strip()))

    def by_verdict(self, queryset: QuerySet[Observable], name: str, value: bool) -> QuerySet[Observable]:
        """By any source's word."""
        accused = ObservableEnrichment.objects.filter(malicious=True).values("observable_id")
        return queryset.filter(pk__in=accused) if value else queryset.exclude(pk__in=accused)


class SuppressionFilter(FilterSet):
    """Suppressions by whether they hide anything, and whose alerts."""

    state = ChoiceFilter(choices=Suppression.State.choices, method="by_state")
    partner = CharFilter(field_name="partner__slug", help_text="its short name")
    owner = UUIDFilter()

    class Meta:
        model = Suppression
        fields: tuple[str, ...] = ()

    def by_state(self, queryset: SuppressionQuerySet, name: str, value: str) -> SuppressionQuerySet:
        """Active, expired or ended, now."""
        return queryset.in_state(value)
