"""How django-allauth behaves here."""

from __future__ import annotations

from typing import Any

from allauth.account.adapter import DefaultAccountAdapter
from django.conf import settings
from django.http import HttpRequest


class AccountAdapter(DefaultAccountAdapter):  # type: ignore[misc]
    """Accounts are made by an admin; sign-up is closed unless it is switched on."""

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        return bool(settings.LOCAL_REGISTRATION)

    def save_user(self, request: HttpRequest, user: Any, form: Any, commit: bool = True) -> Any:
        """A person who registers is a viewer until an admin says otherwise."""
        user.role_id = "viewer"
        user.display_name = form.cleaned_data.get("username", "")
        return super().save_user(request, user, form, commit=commit)
