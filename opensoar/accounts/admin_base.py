"""What every page of Django's admin keeps to: rows of one's own partners, and no more power than one has."""

from __future__ import annotations

from typing import Any, ClassVar, cast

from django import forms
from django.contrib import admin
from django.db import transaction
from django.db.models import Field, QuerySet
from django.http import HttpRequest

from opensoar.accounts.access import people_of
from opensoar.accounts.models import Partner, User
from opensoar.actors import Actor
from opensoar.errors import ServiceError


def actor_of(request: HttpRequest) -> Actor:
    """Who is signed in; the admin lets nobody else in."""
    actor: Actor = request.user.actor  # type: ignore[union-attr]
    return actor


class Scoped(admin.ModelAdmin):  # type: ignore[type-arg]
    """Somebody bound to partners sees, chooses and writes only what is theirs.

    ``seen`` says which rows there are for an actor, ``owned`` which of these they may write: rows for everybody are
    seen by all and written by those who see every partner. ``shared`` marks tables that only those may write at all.

    ``capability`` is what the same takes by REST, to write and, where ``reading`` names no other, to look: who enters
    the admin may not do more here than there.
    """

    shared = False
    capability = "settings:manage"
    reading: str | None = None

    def seen(self, rows: QuerySet[Any], actor: Actor) -> QuerySet[Any]:
        """The rows that there are for ``actor``; models say it themselves by ``visible_to``."""
        return rows.visible_to(actor) if hasattr(rows, "visible_to") else rows

    def owned(self, obj: Any, actor: Actor) -> bool:
        """Whether ``actor`` may write ``obj``, which they see."""
        return actor.sees_partner(obj.partner_id) if hasattr(obj, "partner_id") else True

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest) -> bool:
        """Secrets cannot be guessed letter by letter through the address of a list."""
        if {"password", "digest", "secrets"} & set(lookup.split("__")):
            return False
        return super().lookup_allowed(lookup, value, request)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return self.seen(super().get_queryset(request), actor_of(request))

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        return super().formfield_for_foreignkey(db_field, request, **_narrowed(db_field, request, kwargs))

    def formfield_for_manytomany(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        return super().formfield_for_manytomany(db_field, request, **_narrowed(db_field, request, kwargs))

    def has_module_permission(self, request: HttpRequest) -> bool:
        return super().has_module_permission(request) and self._may_look(request)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_view_permission(request, obj) and self._may_look(request)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return super().has_add_permission(request) and self._may_write(request)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_change_permission(request, obj) and self._may_write(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_delete_permission(request, obj) and self._may_write(request, obj)

    def _may_look(self, request: HttpRequest) -> bool:
        return actor_of(request).can(self.reading or self.capability)

    def _may_write(self, request: HttpRequest, obj: Any = None) -> bool:
        actor = actor_of(request)
        if actor.partner_ids is None or not actor.can(self.capability):
            return actor.can(self.capability)
        return not self.shared and (obj is None or self.owned(obj, actor))


def _narrowed(db_field: Field[Any, Any], request: HttpRequest, kwargs: dict[str, Any]) -> dict[str, Any]:
    """Choices of another table, which are also what the form accepts."""
    actor, target = actor_of(request), cast("type[Any]", db_field.related_model)
    if actor.partner_ids is None or "queryset" in kwargs:
        return kwargs
    if target is Partner:
        kwargs["queryset"] = Partner.objects.filter(pk__in=actor.partner_ids)
    elif target is User:
        kwargs["queryset"] = people_of(actor)
    elif hasattr(rows := target._default_manager.all(), "visible_to"):
        kwargs["queryset"] = rows.visible_to(actor)
    return kwargs


class ServedForm(forms.ModelForm):  # type: ignore[type-arg]
    """A form whose rows are written by a service.

    The service runs as the last step of validation, inside the admin's transaction: what it refuses (the last admin, a
    password that is too short, a right that one lacks) stands at the field instead of being an error page.
    """

    request: HttpRequest
    saved: Any = None
    field_names: ClassVar[dict[str, str]] = {}  # the service's word for a field -> the form's

    def serve(self, actor: Actor, data: dict[str, Any]) -> Any:
        """Call the service with the cleaned ``data``; the row as it is now."""
        raise NotImplementedError

    def _post_clean(self) -> None:
        """After the model's own checks: a taken name is found before anything is stored."""
        super()._post_clean()  # type: ignore[misc]
        if self.errors:
            return
        try:
            with transaction.atomic():
                self.saved = self.serve(actor_of(self.request), self.cleaned_data)
        except ServiceError as error:
            named = getattr(error, "field", None) or ""
            field = self.field_names.get(named, named)
            self.add_error(field if field in self.fields else None, error.detail)

    @property
    def is_new(self) -> bool:
        """Whether the row is being made."""
        return bool(self.instance._state.adding)


class Served(Scoped):
    """The admin of a :class:`ServedForm`: it stores nothing itself."""

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        form = super().get_form(request, obj, change=change, **kwargs)
        return type("BoundForm", (form,), {"request": request})

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        """Nothing: the form's service has stored and audited it. The row's id is what the admin goes on with."""
        obj.pk, obj._state.adding = form.saved.pk, False

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        """Nothing: the service has."""
