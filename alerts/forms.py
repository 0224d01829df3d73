"""The forms of the alert pages, one per verb."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from alerts.models import Alert, Severity
from opensoar.accounts.models import Partner, User
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


NEVER = "never"
LASTS = [
    ("1", _("1 day")),
    ("7", _("7 days")),
    ("30", _("30 days")),
    ("90", _("90 days")),
    ("365", _("1 year")),
    (NEVER, _("Never")),
]


class SuppressionForm(VerbForm):
    """Which new alerts to hide: those that are like one (``alert``) in what is ticked, and further conditions."""

    LIKE = (
        ("rule_name", _("Rule")), ("source", _("Source")), ("hostname", _("Host")), ("username", _("User")),
        ("source_ip", _("Source IP")), ("dest_ip", _("Destination")), ("title", _("Title")),
    )  # fmt: skip

    like = forms.MultipleChoiceField(
        label=_("Alerts with the same"), required=False, widget=forms.CheckboxSelectMultiple
    )
    conditions = forms.CharField(
        label=_("Conditions"),
        required=False,
        widget=forms.Textarea(
            attrs={"rows": 2, "spellcheck": "false", "placeholder": '{"source_ip__cidr": "10.20.0.0/16"}'}
        ),
        help_text=_("JSON, in the words of a playbook's conditions; docs/playbooks.md explains them."),
    )
    partner = forms.ChoiceField(label=_("Whose alerts"), required=False)
    name = forms.CharField(label=_("Name"), max_length=200)
    reason = forms.CharField(
        label=_("Reason"),
        max_length=2000,
        widget=forms.Textarea(attrs={"rows": 2}),
        help_text=_("Why nobody needs to see them. It stands on every alert that is hidden."),
    )
    days = forms.ChoiceField(label=_("Expires after"), choices=LASTS, initial="30")

    def __init__(
        self,
        data: Any = None,
        *,
        alert: Alert | None,
        partners: list[Partner],
        everybody: bool,
        **kwargs: Any,
    ) -> None:
        initial: dict[str, Any] = {}
        self.pattern = {name: str(value) for name, _l in self.LIKE if (value := getattr(alert, name, None))}
        if alert is not None:
            ticked = ["rule_name" if "rule_name" in self.pattern else "title", "source"]
            initial = {
                "like": ticked,
                "partner": alert.partner.slug,
                "name": (alert.rule_name or alert.title)[:200],
            }
        super().__init__(data, initial=initial, **kwargs)
        self.fields["conditions"].widget.attrs["class"] += " mono"
        self.fields["like"].choices = [(k, label) for k, label in self.LIKE if k in self.pattern]  # type: ignore[attr-defined]
        whose = [(one.slug, one.name) for one in partners]
        self.fields["partner"].choices = [("", _("Everybody's")), *whose] if everybody else whose  # type: ignore[attr-defined]
        if not partners:  # there is nothing to choose
            del self.fields["partner"]

    def likes(self) -> list[tuple[Any, str]]:
        """Each box with the value that it stands for."""
        return [(box, self.pattern[box.data["value"]]) for box in self["like"]]

    def clean_conditions(self) -> dict[str, Any]:
        """The further conditions as an object."""
        text = self.cleaned_data["conditions"].strip()
        if not text:
            return {}
        try:
            found = json.loads(text)
        except ValueError as error:
            raise forms.ValidationError(_("That is no JSON: %(why)s"), params={"why": error}) from None
        if not isinstance(found, dict):
            raise forms.ValidationError(_('Write an object: {"hostname": "scanner-1"}'))
        return found

    def clean_days(self) -> int | None:
        days = self.cleaned_data["days"]
        return None if days == NEVER else int(days)

    def clean(self) -> dict[str, Any]:
        """What is ticked becomes conditions as well; what is written counts where both name a field."""
        data = super().clean() or self.cleaned_data
        ticked = {name: self.pattern[name] for name in data.pop("like", ())}
        if "conditions" in data:
            data["conditions"] = ticked | data["conditions"]
            if not data["conditions"]:
                self.add_error("conditions", _("Say which alerts: at least one condition"))
        return data

    def chosen(self) -> tuple[dict[str, Any], str | None]:
        """Conditions and partner as far as they are chosen: what a preview asks, whatever else is missing."""
        if not self.is_bound:
            ticked = self.initial.get("like", ())
            return {name: self.pattern[name] for name in ticked}, self._initial_partner()
        self.is_valid()
        return self.cleaned_data.get("conditions") or {}, self.cleaned_data.get("partner")

    def _initial_partner(self) -> str | None:
        field = self.fields.get("partner")
        if field is None:
            return None
        return self.initial.get("partner") or next((str(value) for value, _l in field.choices), None)  # type: ignore[attr-defined]
