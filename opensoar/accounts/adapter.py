"""How django-allauth behaves here."""

from __future__ import annotations

from typing import Any

from allauth.account.adapter import DefaultAccountAdapter
from django.conf import settings
from django.core.exceptions import ValidationError
from django.http import HttpRequest

from opensoar.accounts import services
from opensoar.accounts.models import User
from opensoar.client_ip import client_ip
from opensoar.errors import TooMany


class AccountAdapter(DefaultAccountAdapter):  # type: ignore[misc]
    """Accounts are made by an admin; sign-up is closed unless it is switched on.

    The pages share the API's lock-out, kept in the database: allauth's own counts per process. Ten guesses are ten
    guesses, through whichever door and whichever process.
    """

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        return bool(settings.LOCAL_REGISTRATION)

    def save_user(self, request: HttpRequest, user: Any, form: Any, commit: bool = True) -> Any:
        """A person who registers is a viewer until an admin says otherwise."""
        user.role_id = "viewer"
        user.display_name = form.cleaned_data.get("username", "")
        return super().save_user(request, user, form, commit=commit)

    def get_client_ip(self, request: HttpRequest) -> str:
        """The address that is counted and audited; allauth's own knows how many proxies there are, but not which."""
        return client_ip(request.META) or ""

    def pre_authenticate(self, request: HttpRequest, **credentials: Any) -> None:
        """Count the attempt before the password is looked at."""
        try:
            services.reserve_attempt(_name(credentials), self.get_client_ip(request))
        except TooMany as refusal:
            raise ValidationError(refusal.detail) from None

    def authenticate(self, request: HttpRequest, **credentials: Any) -> User | None:
        """Who it is; a success forgets the failures before it. Of an account that is switched off it forgets none."""
        user: User | None = super().authenticate(request, **credentials)
        if user is not None and user.is_active:
            services.login_succeeded(user, _name(credentials), self.get_client_ip(request))
        return user

    def authentication_failed(self, request: HttpRequest, **credentials: Any) -> None:
        services.login_failed(_name(credentials), self.get_client_ip(request))

    def set_password(self, user: User, password: str) -> None:
        """Somebody changed or reset their own password on a page: their API sessions end too."""
        services.store_own_password(user=user, password=password)


def _name(credentials: dict[str, Any]) -> str:
    return str(credentials.get("username") or credentials.get("email") or "")
