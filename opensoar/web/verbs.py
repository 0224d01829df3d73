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
    told: Callable[[], str] | None = None,
    **extra: Any,
) -> HttpResponse:
    """Ask, do, go back.

    GET shows ``form``: a dialog for HTMX, a page otherwise. POST calls ``act(cleaned_data)``; what it returns is where
    to go, ``None`` the way ``back``. Over HTMX the page stays and gets ``fresh()``, its changed panels. A refusal of a
    service shows the form again with what was typed; one without anything to ask becomes a message. ``ask`` shows a
    posted form without doing anything yet. ``told`` says who was faster where somebody was.
    """
    status = 200
    if request.method == "POST" and not ask:
        status = 422
        if form.is_valid():
            try:
                place = act(form.cleaned_data)
            except ServiceError as error:
                status = _refused(form, error, told)
            else:
                messages.success(request, done)
                return _done(request, place, back, fresh)
        if not form.visible_fields():
            messages.error(request, " ".join(map(str, form.non_field_errors())))
            return _done(request, None, back, fresh)
    context = {"form": form, "title": title, "button": button, "back": back, "back_label": _("Back"), **extra}
    name = "verb.html#dialog" if request.htmx else "verb.html"
    return render(request, name, context, status=status)


def _refused(form: forms.Form, error: ServiceError, told: Callable[[], str] | None) -> int:
    """Put the service's sentence where it belongs. A stale form may be sent again once it was looked at."""
    if error.status not in REFUSALS:
        raise error
    field = getattr(error, "field", None)
    if not isinstance(error, Stale):
        form.add_error(field if field in form.fields else None, error.detail)
    else:
        again = _(
            "Nothing was saved; what you typed is still here. Send it again to put it in place of theirs."
        )
        form.add_error(None, f"{told()} {again}" if told else f"{error.detail}. {again}")
        form.data = {**form.data.dict(), "expected_version": str(error.current)}  # type: ignore[attr-defined]
    return 422 if error.status in {400, 404} else error.status


def _done(request: AuthenticatedRequest, place: str | None, back: str, fresh: Fresh | None) -> HttpResponse:
    if not request.htmx:
        return redirect(place or back)
    if place is None and fresh is not None:
        return fresh()
    return HttpResponse(status=204, headers={"HX-Redirect": place or back})
