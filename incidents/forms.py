"""The forms of the incident pages, one per verb. Services decide what is right; forms only read what was typed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

from django import forms
from django.utils.translation import gettext_lazy as _

from alerts.models import Alert, Severity
from incidents.models import ALLOWED, Incident
from opensoar.accounts.models import User

WORKED = ("open", "investigating", "contained")


def style(form: forms.Form) -> None:
    """Tabler's classes on plain controls."""
    for field in form.fields.values():
        if isinstance(field.widget, forms.Select):
            field.widget.attrs["class"] = "form-select"
        elif not isinstance(field.widget, forms.HiddenInput):
            field.widget.attrs["class"] = "form-control"


class VerbForm(forms.Form):
    """A verb on an incident. ``name`` is where the page finds the form."""

    name: ClassVar[str]

    def __init__(
        self,
        data: Any = None,
        *,
        incident: Incident,
        people: Iterable[User] = (),
        alerts: Iterable[Alert] = (),
    ):
        initial = {"expected_version": incident.version}
        super().__init__(data, initial=initial, auto_id=f"{self.name}-%s")
        self.incident = incident
        self.offer(list(people), list(alerts))
        style(self)

    def offer(self, people: list[User], alerts: list[Alert]) -> None:
        """Fill the selects."""


class EditForm(VerbForm):
    """A change of a field that two people may change at once."""

    expected_version = forms.IntegerField(widget=forms.HiddenInput, required=False)


class AssignForm(EditForm):
    name = "assign"
    user = forms.CharField(label=_("Owner"), required=False, widget=forms.Select)

    def offer(self, people: list[User], alerts: list[Alert]) -> None:
        self.fields["user"].widget.choices = [("", _("Nobody")), *((str(u.pk), str(u)) for u in people)]
        self.initial["user"] = str(self.incident.assigned_to_id or "")

    def clean_user(self) -> str | None:
        return self.cleaned_data["user"] or None


class MoveForm(EditForm):
    name = "move"
    status = forms.CharField(label=_("Status"), widget=forms.Select)

    def offer(self, people: list[User], alerts: list[Alert]) -> None:
        self.fields["status"].widget.choices = [
            (value, label)
            for value, label in Incident.Status.choices
            if value in ALLOWED[self.incident.status] and value in WORKED
        ]


class SeverityForm(EditForm):
    name = "severity"
    severity = forms.ChoiceField(label=_("Severity"), choices=Severity.choices)

    def offer(self, people: list[User], alerts: list[Alert]) -> None:
        self.initial["severity"] = self.incident.severity


class CloseForm(EditForm):
    name = "close"
    determination = forms.ChoiceField(
        label=_("Determination"), choices=[("", _("Choose…")), *Incident.Determination.choices]
    )
    impact = forms.ChoiceField(label=_("Impact"), choices=[("", _("Choose…")), *Incident.Impact.choices])
    summary = forms.CharField(
        label=_("Summary"), widget=forms.Textarea(attrs={"rows": 3, "maxlength": 20000})
    )


class ReopenForm(EditForm):
    name = "reopen"
    reason = forms.CharField(label=_("Reason"), required=False, widget=forms.Textarea(attrs={"rows": 2}))


class CommentForm(VerbForm):
    name = "comment"
    text = forms.CharField(
        label=_("Comment"),
        widget=forms.Textarea(
            attrs={"rows": 3, "maxlength": 20000, "placeholder": _("Markdown, @name mentions")}
        ),
    )


class HandoffForm(VerbForm):
    name = "handoff"
    to_user = forms.CharField(label=_("To"), widget=forms.Select)
    shift = forms.CharField(label=_("Shift"), required=False, max_length=100)
    text = forms.CharField(label=_("Note"), widget=forms.Textarea(attrs={"rows": 3, "maxlength": 20000}))
    open_questions = forms.CharField(
        label=_("Open questions"),
        required=False,
        widget=forms.Textarea(attrs={"rows": 2}),
        help_text=_("One a line."),
    )

    def offer(self, people: list[User], alerts: list[Alert]) -> None:
        self.fields["to_user"].widget.choices = [("", _("Choose…")), *((str(u.pk), str(u)) for u in people)]

    def clean_open_questions(self) -> list[str]:
        return [line.strip() for line in self.cleaned_data["open_questions"].splitlines() if line.strip()]


class LinkForm(VerbForm):
    name = "link"
    alert = forms.CharField(label=_("Alert id"), required=False, max_length=100)
    recent = forms.CharField(label=_("Or a recent one"), required=False, widget=forms.Select)

    def offer(self, people: list[User], alerts: list[Alert]) -> None:
        recent = [(str(a.pk), f"{a.get_severity_display()} · {a.title[:80]} · {a.source}") for a in alerts]
        self.fields["recent"].widget.choices = [("", _("Choose…")), *recent]

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        if not (data.get("alert") or data.get("recent")):
            self.add_error("alert", _("Paste an alert's id or choose one."))
        return data


class ObservablesForm(VerbForm):
    name = "observables"
    text = forms.CharField(
        label=_("Paste any text"), max_length=100_000,
        widget=forms.Textarea(attrs={"rows": 3}), help_text=_("Addresses, domains, hashes, URLs; defanged ones too."),
    )  # fmt: skip


FORMS: tuple[type[VerbForm], ...] = (
    AssignForm, MoveForm, SeverityForm, CloseForm, ReopenForm, CommentForm, HandoffForm, LinkForm, ObservablesForm,
)  # fmt: skip
