"""The forms of the pages of playbooks and runs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import orjson
from django import forms
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from opensoar.web.forms import VerbForm
from playbooks_engine.models import Playbook


def json_field(label: Any, help_text: Any) -> forms.CharField:
    """A JSON value that may be left out."""
    return forms.CharField(
        label=label, required=False, help_text=help_text, widget=forms.Textarea(attrs={"rows": 3})
    )


def parse_json(text: str) -> Any:
    """``None`` for nothing. Raises ``ValidationError`` for what is no JSON."""
    try:
        return orjson.loads(text) if text.strip() else None
    except orjson.JSONDecodeError:
        raise forms.ValidationError(_('This must be JSON, such as {"host": "ws-1"}.')) from None


class RunForm(VerbForm):
    """Which playbook, with what."""

    playbook = forms.CharField(label=_("Playbook"), widget=forms.Select)
    input = json_field(_("Input as JSON (optional)"), _("What the playbook gets as its input."))

    def __init__(self, data: Any = None, *, playbooks: Iterable[Playbook], **kwargs: Any) -> None:
        super().__init__(data, **kwargs)
        named = (
            (str(p.pk), f"{p.name}: {p.description[:80]}" if p.description else p.name) for p in playbooks
        )
        self.fields["playbook"].widget.choices = [("", _("Choose…")), *named]

    def clean_input(self) -> Any:
        return parse_json(self.cleaned_data["input"])


class DecideForm(VerbForm):
    """What to do about a call whose outcome is unknown."""

    decision = forms.CharField(widget=forms.HiddenInput)


class DoneForm(DecideForm):
    """It happened; what it returned may be told."""

    value = json_field(_("Result as JSON (optional)"), _("What the call would have returned."))

    def clean_value(self) -> Any:
        return parse_json(self.cleaned_data["value"])


class CancelForm(VerbForm):
    """This run, or with it the rest of its sequence."""

    whole_sequence = forms.BooleanField(label=_("Cancel the rest of its sequence as well"), required=False)

    def __init__(self, data: Any = None, *, alone: bool, **kwargs: Any) -> None:
        super().__init__(data, **kwargs)
        if alone:
            del self.fields["whole_sequence"]


class RetryForm(VerbForm):
    """With which source."""

    current_source = forms.BooleanField(
        label=_("Use the playbook's file as it is now"),
        required=False,
        help_text=_("Otherwise the run goes on with the source it had."),
    )


class ApprovalForm(VerbForm):
    """The answer to what a run asks."""

    decision = forms.ChoiceField(choices=[("approve", ""), ("deny", "")], widget=forms.HiddenInput)
    comment = forms.CharField(
        label=_("Comment (optional)"),
        required=False,
        max_length=2000,
        widget=forms.Textarea(attrs={"rows": 2}),
    )


def decision_texts() -> dict[str, tuple[str, str]]:
    """What each decision asks, and the verb of its button."""
    return {
        "done": (gettext("The call was done"), gettext("Go on with it as done")),
        "not_done": (gettext("The call was not done"), gettext("Make the call")),
        "again": (gettext("Make the call once more"), gettext("Make the call again")),
        "cancel": (gettext("Cancel this run"), gettext("Cancel run")),
    }
