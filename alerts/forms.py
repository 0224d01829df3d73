"""The forms of the alert pages, one per verb."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from alerts.models import Alert, Severity
from opensoar.accounts.models import User
from opensoar.web.forms import VerbForm

MAX_PASTED = 100_000  # characters
DETERMINED = [("", _("Choose…")), *(c for c in Alert.Determination.choices if c[0] != "unknown")]


def owners(people: Iterable[User], me: User) -> list[tuple[str, Any]]:
    """Whom something can be given to, as the choices of a select: oneself first, nobody last."""
    others = ((str(person.pk), str(person)) for person in people if person != me)
    return [(str(me.pk), _("%(name)s (me)") % {"name": me}), *others, ("", _("Nobody"))]


class EditForm(VerbForm):
    """A change of something that two people may change at once."""

    expected_version = forms.IntegerField(widget=forms.HiddenInput, required=False)


class AssignForm(EditForm):
    """Whom to give it to."""

    user = forms.CharField(label=_("Owner"), required=False, widget=forms.Select)

    def __init__(self, data: Any = None, *, people: Iterable[User], me: User, **kwargs: Any) -> None:
        super().__init__(data, **kwargs)
        self.fields["user"].widget.choices = owners(people, me)

    def clean_user(self) -> str | None:
        return self.cleaned_data["user"] or None


class ResolveForm(EditForm):
    """What it turned out to be."""

    determination = forms.ChoiceField(label=_("Determination"), choices=DETERMINED)
    reason = forms.CharField(
        label=_("Reason"),
        required=False,
        empty_value=None,
        widget=forms.Textarea(attrs={"rows": 3, "placeholder": _("What did you find? Optional.")}),
    )


class ReopenForm(VerbForm):
    """Why it is not over."""

    reason = forms.CharField(
        label=_("Reason"), required=False, empty_value=None, widget=forms.Textarea(attrs={"rows": 3})
    )


class DetailsForm(EditForm):
    """The words an analyst may correct."""

    severity = forms.ChoiceField(label=_("Severity"), choices=Severity.choices)
    determination = forms.ChoiceField(label=_("Determination"), choices=Alert.Determination.choices)
    tags = forms.CharField(label=_("Tags"), required=False, help_text=_("Separated by commas."))

    def clean_tags(self) -> list[str]:
        return [tag.strip() for tag in self.cleaned_data["tags"].split(",") if tag.strip()]


class SeverityForm(VerbForm):
    """One severity for many alerts."""

    severity = forms.ChoiceField(label=_("Severity"), choices=Severity.choices)


class CommentForm(VerbForm):
    """What somebody has to say."""

    text = forms.CharField(label=_("Comment"), widget=forms.Textarea(attrs={"rows": 4}))


class ObservablesForm(VerbForm):
    """Any text that mentions observables; what is recognised is shown before anything is added."""

    text = forms.CharField(
        label=_("Paste any text"),
        max_length=MAX_PASTED,
        widget=forms.Textarea(attrs={"rows": 5}),
        help_text=_("Addresses, domains, hashes, URLs and more are recognised, defanged ones too."),
    )
