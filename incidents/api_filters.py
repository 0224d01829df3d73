"""What the API's list of incidents can be narrowed by."""

from __future__ import annotations

from django.db.models import QuerySet
from django_filters import BooleanFilter, CharFilter, ChoiceFilter, FilterSet, IsoDateTimeFilter, UUIDFilter

from alerts.api_filters import ChoicesFilter, StableOrdering, WordsFilter
from alerts.filters import UTC_HELP
from alerts.models import Severity
from incidents.models import Incident
from incidents.pages import incident_words


class ApiIncidentFilter(FilterSet):
    """Incidents by what they are, whose they are and when they came."""

    q = CharFilter(method="by_words", help_text="words of title or description, or the number")
    status = ChoiceFilter(choices=Incident.Status.choices)
    status__in = ChoicesFilter(field_name="status", choices=Incident.Status.choices)
    severity = ChoiceFilter(choices=Severity.choices)
    severity__in = ChoicesFilter(field_name="severity", choices=Severity.choices)
    determination = ChoiceFilter(choices=Incident.Determination.choices)
    impact = ChoiceFilter(choices=Incident.Impact.choices)
    partner = CharFilter(field_name="partner__slug")
    assigned_to = UUIDFilter()
    unassigned = BooleanFilter(field_name="assigned_to", lookup_expr="isnull", help_text="in nobody's hands")
    tags__overlap = WordsFilter(field_name="tags", lookup_expr="overlap", help_text="any of these tags")
    created_at__gte = IsoDateTimeFilter(field_name="created_at", lookup_expr="gte", help_text=UTC_HELP)
    created_at__lt = IsoDateTimeFilter(field_name="created_at", lookup_expr="lt", help_text=UTC_HELP)
    closed_at__gte = IsoDateTimeFilter(field_name="closed_at", lookup_expr="gte", help_text=UTC_HELP)
    closed_at__lt = IsoDateTimeFilter(field_name="closed_at", lookup_expr="lt", help_text=UTC_HELP)
    ordering = StableOrdering(
        fields={
            "id": "created_at",
            "updated_at": "updated_at",
            "severity_rank": "severity",
            "status": "status",
        }
    )

    class Meta:
        model = Incident
        fields: tuple[str, ...] = ()

    def by_words(self, queryset: QuerySet[Incident], name: str, value: str) -> QuerySet[Incident]:
        """Words as on the page."""
        return queryset.filter(incident_words(value))
