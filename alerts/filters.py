"""What the queue can be filtered by."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from django import forms
from django.db.models import BinaryField, F, Func, IntegerField, Q, QuerySet, Value
from django.http import QueryDict
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django_filters import (
    CharFilter,
    ChoiceFilter,
    FilterSet,
    IsoDateTimeFilter,
    MultipleChoiceFilter,
    UUIDFilter,
)

from alerts.models import SEVERITY_RANK, Alert, AlertObservable, Delivery, Severity
from alerts.services.observables import value_hash
from opensoar.accounts.models import Partner
from opensoar.ids import first_id_at
from opensoar.web.forms import styled

OPEN = "open"
UTC_HELP = "ISO 8601; UTC where no zone is given"
SEARCHED = timedelta(days=1)  # of bodies, at once
_BEGINNING = datetime(1970, 1, 2, tzinfo=UTC)  # no date of a query is too early to reckon with
_EARLIER = timedelta(minutes=1)  # an id is made about when its body is received, by another clock


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
    rule_name = CharFilter(label=_("Rule"))
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


class DeliveryForm(forms.Form):
    """What is asked of deliveries; bodies are read one by one, so those of a day at most."""

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        since, until = data.get("received_at__gte"), data.get("received_at__lt")
        if data.get("body") and (since is None or (until or timezone.now()) - since > SEARCHED):
            self.add_error(
                "body", _("Bodies are searched within a day at most: say from when, and until when")
            )
        return data


class DeliveryFilter(FilterSet):
    """Deliveries by what became of them, where they came from, when, and what they say. On the page and in the API."""

    q = CharFilter(
        method="by_reason", label=_("Reason"), help_text="part of the reason why it is in quarantine"
    )
    state = ChoiceFilter(choices=Delivery.State.choices, empty_label=_("Any state"), label=_("State"))
    source = CharFilter(label=_("Source"))
    partner = CharFilter(method="by_partner", label=_("Partner"), help_text="its short name")
    alert_id = UUIDFilter(label=_("Alert"))
    token_id = UUIDFilter(label=_("Token"))
    received_at__gte = IsoDateTimeFilter(method="since", label=_("From (UTC)"), help_text=UTC_HELP)
    received_at__lt = IsoDateTimeFilter(
        field_name="received_at", lookup_expr="lt", label=_("Until (UTC)"), help_text=UTC_HELP
    )
    body = CharFilter(
        method="by_body", label=_("In the body"), strip=False,
        help_text="exact text in the body as it was received; within a day that received_at__gte and __lt name",
    )  # fmt: skip

    class Meta:
        model = Delivery
        form = DeliveryForm
        fields: tuple[str, ...] = ()

    def by_reason(self, queryset: QuerySet[Delivery], name: str, value: str) -> QuerySet[Delivery]:
        """Only what is in quarantine has a reason, and there is an index of that."""
        return queryset.filter(state=Delivery.State.QUARANTINED, reason__icontains=value)

    def by_partner(self, queryset: QuerySet[Delivery], name: str, value: str) -> QuerySet[Delivery]:
        """By short name; deliveries hold the id only."""
        return queryset.filter(partner_id__in=Partner.objects.filter(slug=value).values("pk"))

    def since(self, queryset: QuerySet[Delivery], name: str, value: Any) -> QuerySet[Delivery]:
        """Received then or later, which the primary key finds: no id is older than its delivery."""
        earlier = max(value, _BEGINNING) - _EARLIER
        return queryset.filter(pk__gte=first_id_at(earlier), received_at__gte=value)

    def by_body(self, queryset: QuerySet[Delivery], name: str, value: str) -> QuerySet[Delivery]:
        """Byte for byte."""
        found = Func(
            Value(value.encode("utf-8", "replace"), output_field=BinaryField()), F("body"),
            template="position(%(expressions)s)", arg_joiner=" in ", output_field=IntegerField(),
        )  # fmt: skip
        return queryset.alias(found=found).filter(found__gt=0)
