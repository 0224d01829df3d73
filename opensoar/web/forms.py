"""The base of every form on our pages. Services decide what is right; forms only read what was typed."""

from __future__ import annotations

from typing import Any

from django import forms


def styled(form: forms.BaseForm) -> None:
    """The design's classes on plain controls."""
    for field in form.fields.values():
        widget = field.widget
        if isinstance(widget, forms.CheckboxInput | forms.CheckboxSelectMultiple):
            widget.attrs["class"] = "form-check-input"
        elif isinstance(widget, forms.Select):
            widget.attrs["class"] = "form-select"
        else:
            widget.attrs["class"] = "form-control"


class VerbForm(forms.Form):
    """What one verb asks for. Ids carry the form's name: a dialog opens over a page that has forms of its own."""

    def __init__(self, data: Any = None, **kwargs: Any) -> None:
        super().__init__(data, auto_id=f"{type(self).__name__.lower()}-%s", **kwargs)
        styled(self)
