"""The forms of the incident pages, one per verb."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import Any, cast

from django import forms
from django.utils.translation import gettext_lazy as _

from alerts.forms import EditForm, owners
from alerts.models import Severity
from incidents.entities import entity_label
from incidents.evidence import Shared
from incidents.models import Incident
from opensoar import clock
from opensoar.accounts.models import User
from opensoar.web.forms import VerbForm

TEXT = 20_000  # characters, as the services take


class CreateForm(VerbForm):
    """A new incident."""

    title = forms.CharField(label=_("Title"), max_length=500)
    severity = forms.ChoiceField(label=_("Severity"), choices=list(reversed(Severity.choices)))
    owner = forms.CharField(label=_("Owner"), required=False, widget=forms.Select)
    description = forms.CharField(
        label=_("Description"), required=False, widget=forms.Textarea(attrs={"rows": 2, "maxlength": TEXT})
    )
    tlp = forms.ChoiceField(label=_("Sharing (TLP)"), choices=Incident.Tlp.choices, required=False)
    pap = forms.ChoiceField(
        label=_("Permissible actions (PAP)"), choices=Incident.Pap.choices, required=False
    )

    def __init__(self, data: Any = None, *, people: Iterable[User], me: User, **kwargs: Any) -> None:
        super().__init__(data, **kwargs)
        self.fields["owner"].widget.choices = owners(people, me)

    def clean_owner(self) -> str | None:
        return self.cleaned_data["owner"] or None


class MoveForm(EditForm):
    """To another status of work."""

    status = forms.CharField(widget=forms.HiddenInput)


class DetailsForm(EditForm):
    """What describes it."""

    title = forms.CharField(label=_("Title"), max_length=500)
    severity = forms.ChoiceField(label=_("Severity"), choices=list(reversed(Severity.choices)))
    description = forms.CharField(
        label=_("Description"), required=False, widget=forms.Textarea(attrs={"rows": 3, "maxlength": TEXT})
    )
    tags = forms.CharField(label=_("Tags"), required=False, help_text=_("Separated by commas."))
    tlp = forms.ChoiceField(label=_("Sharing (TLP)"), choices=Incident.Tlp.choices)
    pap = forms.ChoiceField(label=_("Permissible actions (PAP)"), choices=Incident.Pap.choices)

    def clean_tags(self) -> list[str]:
        return [tag.strip() for tag in self.cleaned_data["tags"].split(",") if tag.strip()]


class CloseForm(EditForm):
    """What it was, what it did, and how it ended."""

    determination = forms.ChoiceField(
        label=_("Determination"), choices=[("", _("Choose…")), *Incident.Determination.choices]
    )
    impact = forms.ChoiceField(label=_("Impact"), choices=[("", _("Choose…")), *Incident.Impact.choices])
    summary = forms.CharField(
        label=_("Summary"),
        widget=forms.Textarea(attrs={"rows": 4, "maxlength": TEXT}),
        help_text=_("What happened, what was done, what remains."),
    )


class ReopenForm(EditForm):
    """Why it is not over."""

    reason = forms.CharField(label=_("Reason"), required=False, widget=forms.Textarea(attrs={"rows": 3}))


class CommentForm(VerbForm):
    """What somebody has to say."""

    text = forms.CharField(label=_("Comment"), widget=forms.Textarea(attrs={"rows": 4, "maxlength": TEXT}))


class HandoffForm(VerbForm):
    """What the next one must know."""

    to_user = forms.CharField(label=_("To"), widget=forms.Select)
    shift = forms.CharField(
        label=_("Shift"),
        required=False,
        max_length=100,
        widget=forms.TextInput(attrs={"placeholder": _("night to day")}),
    )
    text = forms.CharField(label=_("Note"), widget=forms.Textarea(attrs={"rows": 4, "maxlength": TEXT}))
    open_questions = forms.CharField(
        label=_("Open questions"),
        required=False,
        widget=forms.Textarea(attrs={"rows": 3}),
        help_text=_("One a line."),
    )

    def __init__(self, data: Any = None, *, people: Iterable[User], **kwargs: Any) -> None:
        super().__init__(data, **kwargs)
        named = ((str(person.pk), str(person)) for person in people)
        self.fields["to_user"].widget.choices = [("", _("Choose…")), *named]

    def clean_open_questions(self) -> list[str]:
        return [line.strip() for line in self.cleaned_data["open_questions"].splitlines() if line.strip()]


class LinkAlertForm(VerbForm):
    """Which alert becomes part of it; the search is beside it on the page."""

    alert = forms.CharField(
        label=_("Alert"), max_length=100, error_messages={"required": _("Choose an alert.")}
    )


class LinkIncidentForm(VerbForm):
    """Which incident the alerts become part of."""

    incident = forms.CharField(
        label=_("Incident"), max_length=100, error_messages={"required": _("Choose an incident.")}
    )


class DismissForm(VerbForm):
    """Why alerts do not belong together, or are no incident."""

    reason = forms.CharField(
        label=_("Reason"),
        max_length=500,
        required=False,
        help_text=_("May be empty. The alerts stay in the queue."),
    )


class ExcludeForm(VerbForm):
    """Which of the shared entities must not group alerts, why and how long."""

    DAYS = [("7", _("7 days")), ("30", _("30 days")), ("90", _("90 days")), ("", _("For good"))]

    entity = forms.ChoiceField(label=_("Entity"))
    reason = forms.CharField(label=_("Reason"), max_length=500)
    days = forms.ChoiceField(label=_("For"), choices=DAYS, required=False, initial="30")

    def __init__(self, data: Any = None, *, shared: Iterable[Shared], **kwargs: Any) -> None:
        super().__init__(data, **kwargs)
        self.shared = list(shared)
        named = [
            (str(n), f"{entity_label(one.entity)} {one.value}"[:200]) for n, one in enumerate(self.shared)
        ]
        entity = cast("forms.ChoiceField", self.fields["entity"])
        entity.choices = named

    def clean(self) -> dict[str, Any]:
        """``entity`` as (kind, value), ``expires_at`` for the days."""
        data = super().clean() or self.cleaned_data
        if "entity" in data:
            one = self.shared[int(data["entity"])]
            data["entity"] = one.kind, one.value
        days = data.get("days")
        data["expires_at"] = clock.now() + timedelta(days=int(days)) if days else None
        return data
