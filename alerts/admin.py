"""Django admin: what came in, for reading. Alerts themselves are worked on their pages, through services."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext_lazy as _

from alerts import sources
from alerts.models import AlertSource, Delivery, ObservableExclusion
from alerts.services import delete_exclusion, delete_source, save_exclusion, save_source
from alerts.services.sources import FIELDS, paths_of, preview, sample_payload
from alerts.sources.base import NormalisedAlert
from opensoar.accounts.admin_base import Scoped, Served, ServedForm, actor_of
from opensoar.actors import Actor
from opensoar.errors import ServiceError

SHOWN_CHARACTERS = 20_000


@admin.register(Delivery)
class DeliveryAdmin(Scoped):
    """Inbound bodies as received; quarantined ones say why. Evidence: nobody changes it here."""

    capability = "alerts:read"
    list_display = ("received_at", "source", "state", "reason", "alert_id")
    list_filter = ("state",)
    fields = (
        "received_at",
        "source",
        "state",
        "reason",
        "content_type",
        "alert_id",
        "token_id",
        "partner_id",
        "text",
    )
    readonly_fields = fields
    show_full_result_count = False  # the table may have millions of rows

    def get_queryset(self, request: HttpRequest) -> Any:
        """Without the bodies, which a list does not show."""
        return super().get_queryset(request).defer("body")

    @admin.display(description=_("body"))
    def text(self, delivery: Delivery) -> str:
        """The body as text, as far as it can be read; escaped by the page."""
        return (
            bytes(delivery.body)
            .decode("utf-8", "replace")
            .replace("\x00", "\N{REPLACEMENT CHARACTER}")[:SHOWN_CHARACTERS]
        )

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


def severity_table(entries: Mapping[Any, str]) -> str:
    """A table of severities as it is written in the form: a line for each entry."""
    return "\n".join(
        f"{says:g} = {word}" if isinstance(says, float) else f"{says} = {word}"
        for says, word in entries.items()
    )


class SourceForm(ServedForm):
    """A source: the paths of its payloads, what its severities mean, and what tells its alerts apart.

    "Preview" shows what the sample becomes and saves nothing.
    """

    severity_table = forms.CharField(
        label=_("Severities"), required=False, widget=forms.Textarea(attrs={"rows": 6, "cols": 40}),
        help_text=_(
            "One for each line: what the product says = ours, such as “sev1 = critical”. A number means from there up; "
            "numbers replace the whole built-in scale, words are added to the built-in ones."
        ),
    )  # fmt: skip
    told_apart_by = forms.CharField(
        label=_("Told apart by"), required=False, widget=forms.TextInput(attrs={"size": 80}),
        help_text=_("Paths separated by blanks: alerts that agree in all of them are one. Empty: the vendor's id."),
    )  # fmt: skip
    sample = forms.CharField(
        label=_("Sample"), required=False, widget=forms.Textarea(attrs={"rows": 12, "cols": 100}),
        help_text=_("An alert as the product sends it. Preview shows what it becomes, and which paths it has."),
    )  # fmt: skip
    field_names = {
        "severities": "severity_table",
        "dedupe_fields": "told_apart_by",
        **{name: f"path_{name}" for name in FIELDS},
    }

    class Meta:
        model = AlertSource
        fields = ("slug", "dedupe_hours", "on_recurrence", "on_resolved", "sample")

    preview: NormalisedAlert | None = None
    paths: tuple[tuple[str, str], ...] = ()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        row: AlertSource = self.instance
        self.initial.setdefault("severity_table", severity_table(row.severities))
        self.initial.setdefault("told_apart_by", " ".join(row.dedupe_fields))
        for name in FIELDS:
            self.initial.setdefault(f"path_{name}", row.mapping.get(name, ""))
        with contextlib.suppress(ServiceError):
            self.paths = tuple(paths_of(sample_payload(row.sample))) if row.sample else ()

    @property
    def wants_preview(self) -> bool:
        """Whether nothing is to be saved."""
        return "_preview" in self.data

    def clean_severity_table(self) -> dict[str, str]:
        """The lines as a table."""
        table = {}
        for line in self.cleaned_data["severity_table"].splitlines():
            says, equals, word = line.rpartition("=")
            if line.strip() and not equals:
                raise forms.ValidationError(_("“%s” is not of the form: what it says = severity") % line[:80])
            if line.strip():
                table[says.strip()] = word.strip().lower()
        return table

    def is_valid(self) -> bool:
        """Never for a preview: the page comes again, with it."""
        return super().is_valid() and not self.wants_preview

    def serve(self, actor: Actor, data: dict[str, Any]) -> Any:
        mapping = {name: data.get(f"path_{name}", "") for name in FIELDS}
        if not self.wants_preview:
            return save_source(
                actor=actor, source=None if self.is_new else self.instance, slug=data["slug"], mapping=mapping,
                severities=data["severity_table"], dedupe_fields=data["told_apart_by"].split(),
                dedupe_hours=data["dedupe_hours"], on_recurrence=data["on_recurrence"], on_resolved=data["on_resolved"],
                sample=data["sample"],
            )  # fmt: skip
        mapping = {name: paths for name, paths in mapping.items() if paths}
        self.paths = tuple(paths_of(sample_payload(data["sample"])))
        self.preview = preview(
            data["sample"], slug=data["slug"], mapping=mapping, severities=data["severity_table"]
        )
        return None


_LABELS = {
    "source_id": _("The vendor's id of the alert"), "title": _("Title"), "description": _("Description"),
    "severity": _("Severity"), "event_at": _("Time of the event"), "source_ip": _("Source address"),
    "dest_ip": _("Destination address"), "hostname": _("Host"), "username": _("User"), "rule_name": _("Rule, by name"),
    "rule_id": _("Rule, by number"), "tags": _("Tags"), "techniques": _("ATT&CK techniques"),
    "group_key": _("What the vendor groups alerts by"), "vendor_url": _("Link to the vendor's console"),
    "partner": _("Partner"), "determination": _("What it turned out to be, such as “false positive”"),
    "status": _("State: “resolved”, “closed” and the like end the alert"), "process": _("Processes"),
    "command_line": _("Command lines"), "filename": _("File names"),
    "email": _("E-mail addresses"),
}  # fmt: skip
for _name in FIELDS:
    SourceForm.declared_fields[f"path_{_name}"] = forms.CharField(
        label=_LABELS[_name],
        required=False,
        widget=forms.TextInput(attrs={"size": 80, "list": "sample-paths", "spellcheck": "false"}),
    )


@admin.register(AlertSource)
class SourceAdmin(Served):
    """How each source's alerts are read, and the editor for products that nobody wrote a normaliser for."""

    shared = True  # a source reads every partner's alerts, and its sample is one of them
    form = SourceForm
    change_form_template = "admin/alerts/alertsource/change_form.html"
    change_list_template = "admin/alerts/alertsource/change_list.html"
    list_display = ("slug", "on_recurrence", "on_resolved", "dedupe_hours", "updated_at")
    fieldsets = (
        (None, {"fields": ("slug", "sample")}),
        (
            _("Mapping"),
            {
                "fields": [f"path_{name}" for name in FIELDS],
                "description": _(
                    "Paths in the payload, best first, such as alert.rule.name. Only for a product without code."
                ),
            },
        ),
        (_("Severity"), {"fields": ("severity_table",)}),
        (_("Repeats"), {"fields": ("told_apart_by", "dedupe_hours", "on_recurrence", "on_resolved")}),
    )

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """With the sources that are built in, and what their severities mean there."""
        told = {slug: severity_table(sources.source(slug).severities.entries) for slug in sources.SLUGS}
        return super().changelist_view(request, {"built_in": told, **(extra_context or {})})

    def seen(self, rows: Any, actor: Actor) -> Any:
        return rows if actor.partner_ids is None else rows.none()

    def delete_model(self, request: HttpRequest, obj: AlertSource) -> None:
        delete_source(actor=actor_of(request), source=obj)

    def delete_queryset(self, request: HttpRequest, queryset: Any) -> None:
        for source in queryset:
            self.delete_model(request, source)

    def render_change_form(
        self, request: HttpRequest, context: Any, *args: Any, **kwargs: Any
    ) -> HttpResponse:
        form = context["adminform"].form
        context.update(preview=form.preview, sample_paths=form.paths)
        return super().render_change_form(request, context, *args, **kwargs)


class ExclusionForm(ServedForm):
    """A network or domain that is no indicator."""

    class Meta:
        model = ObservableExclusion
        fields = ("value", "kind", "reason")

    def serve(self, actor: Actor, data: dict[str, Any]) -> Any:
        return save_exclusion(
            actor=actor, exclusion=None if self.is_new else self.instance, kind=data["kind"], value=data["value"],
            reason=data["reason"],
        )  # fmt: skip


@admin.register(ObservableExclusion)
class ExclusionAdmin(Served):
    """Own networks and domains, and those that are harmless wherever they appear."""

    shared = True  # they count for every partner's alerts
    form = ExclusionForm
    list_display = ("value", "kind", "reason", "updated_at")
    list_filter = ("kind",)
    search_fields = ("value", "reason")

    def seen(self, rows: Any, actor: Actor) -> Any:
        return rows if actor.partner_ids is None else rows.none()

    def delete_model(self, request: HttpRequest, obj: ObservableExclusion) -> None:
        delete_exclusion(actor=actor_of(request), exclusion=obj)

    def delete_queryset(self, request: HttpRequest, queryset: Any) -> None:
        for exclusion in queryset:
            self.delete_model(request, exclusion)
