"""One verb on a page: its form as a dialog or a page, its post, the way back. Used by every app's views."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django import forms
from django.contrib import messages
from django.http import HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _

from opensoar.errors import ServiceError, Stale
from opensoar.typing import AuthenticatedRequest

REFUSALS = {400, 404, 409, 412, 422}  # the form is shown again; anything else is a page of its own

type Act = Callable[[dict[str, Any]], str | None]
type Fresh = Callable[[], HttpResponse]


def posted(request: AuthenticatedRequest) -> QueryDict | None:
    """What a form is bound to: nothing while it is only shown."""
    return request.POST if request.method == "POST" else None


def verb(
    request: AuthenticatedRequest,
    form: forms.Form,
    act: Act,
    *,
    title: str,
    button: str,
    done: str,
    back: str,
    fresh: Fresh | None = None,
    ask: bool = False,
    **extra: Any,
) -> HttpResponse:
    """Ask, do, go back.

    GET shows ``form``: a dialog for HTMX, a page otherwise. POST calls ``act(cleaned_data)``; what it returns is where
    to go, ``None`` the way ``back``. Over HTMX the page stays and gets ``fresh()``, its changed panels. A refusal of a
    service shows the form again with what was typed; one without anything to ask becomes a message. ``ask`` shows a
    posted form without doing anything yet.
    """
    status = 200
    if request.method == "POST" and not ask:
        status = 422
        if form.is_valid():
            try:
                place = act(form.cleaned_data)
            except ServiceError as error:
                status = _refused(form, error)
            else:
                messages.success(request, done)
                return _done(request, place, back, fresh)
        if not form.visible_fields():
            messages.error(request, " ".join(map(str, form.non_field_errors())))
            return _done(request, None, back, fresh)
    context = {"form": form, "title": title, "button": button, "back": back, "back_label": _("Back"), **extra}
    name = "verb.html#dialog" if request.htmx else "verb.html"
    return render(request, name, context, status=status)


def _refused(form: forms.Form, error: ServiceError) -> int:
    """Put the service's sentence where it belongs. A stale form may be sent again once it was looked at."""
    if error.status not in REFUSALS:
        raise error
    field = getattr(error, "field", None)
    form.add_error(field if field in form.fields else None, error.detail)
    if isinstance(error, Stale):
        form.data = {**form.data.dict(), "expected_version": str(error.current)}  # type: ignore[attr-defined]
    return 422 if error.status in {400, 404} else error.status


def _done(request: AuthenticatedRequest, place: str | None, back: str, fresh: Fresh | None) -> HttpResponse:
    if not request.htmx:
        return redirect(place or back)
    if place is None and fresh is not None:
        return fresh()
    return HttpResponse(status=204, headers={"HX-Redirect": place or back})
