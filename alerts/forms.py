"""The forms of the alert page. Services decide what is right; forms only read what was typed."""

from __future__ import annotations

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from alerts.models import Alert, Severity


class VerbForm(forms.Form):
    """Tabler's classes on plain controls."""

    def __init__(self, data: Any = None, **kwargs: Any) -> None:
        super().__init__(data, auto_id=f"{type(self).__name__.lower()}-%s", **kwargs)
        for field in self.fields.values():
            select = isinstance(field.widget, forms.Select)
            field.widget.attrs["class"] = "form-select" if select else "form-control"


class AssignForm(VerbForm):
    username = forms.CharField(label=_("Owner"), required=False, help_text=_("A username; empty for nobody."))


class ResolveForm(VerbForm):
    determination = forms.ChoiceField(
        label=_("Determination"), choices=[c for c in Alert.Determination.choices if c[0] != "unknown"]
    )
    reason = forms.CharField(label=_("Reason"), required=False, widget=forms.Textarea(attrs={"rows": 2}))


class ReopenForm(VerbForm):
    reason = forms.CharField(label=_("Reason"), required=False, widget=forms.Textarea(attrs={"rows": 2}))


class SeverityForm(VerbForm):
    severity = forms.ChoiceField(label=_("Severity"), choices=Severity.choices)


class CommentForm(VerbForm):
    text = forms.CharField(
        label=_("Comment"),
        widget=forms.Textarea(attrs={"rows": 3, "placeholder": _("Markdown, @name mentions")}),
    )


class ObservablesForm(VerbForm):
    text = forms.CharField(
        label=_("Observables"),
        widget=forms.Textarea(attrs={"rows": 3}),
        help_text=_("Paste any text: addresses, domains, hashes and more are recognised, defanged ones too."),
    )
