"""Signing in, and the lock-out after too many failures.

Attempts are counted *before* the password is looked at, in one statement, so that a hundred at once still get ten
looks. The key holds name and address: nobody can lock somebody else out from elsewhere.
"""

from __future__ import annotations

import hashlib
from datetime import timedelta

from django.contrib.auth.hashers import make_password
from django.db import connection, transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from opensoar.accounts.models import ApiToken, LoginThrottle, User
from opensoar.accounts.services.audit import audit
from opensoar.accounts.services.people import MAX_PASSWORD
from opensoar.accounts.services.tokens import SESSION_HOURS, issue_token
from opensoar.actors import Actor
from opensoar.errors import NotAllowed, NotAuthenticated, TooMany
from opensoar.text import clean

MAX_FAILURES = 10
WINDOW = timedelta(minutes=5)


def _key(username: str, ip: str | None) -> bytes:
    return hashlib.sha256(f"{clean(username).strip().lower()}\n{ip or ''}".encode()).digest()


def reserve_attempt(username: str, ip: str | None) -> None:
    """Count one attempt of ``username`` from ``ip``; raises :class:`TooMany` past ten in five minutes without success."""
    now = timezone.now()
    with connection.cursor() as cursor:
        cursor.execute(
            """
            INSERT INTO accounts_loginthrottle AS t (key, attempts, since) VALUES (%(key)s, 1, %(now)s)
            ON CONFLICT (key) DO UPDATE SET
                attempts = CASE WHEN t.since < %(old)s THEN 1 ELSE t.attempts + 1 END,
                since = CASE WHEN t.since < %(old)s THEN %(now)s ELSE t.since END
            RETURNING attempts, since
            """,
            {"key": _key(username, ip), "now": now, "old": now - WINDOW},
        )
        attempts, since = cursor.fetchone()
    if attempts > MAX_FAILURES:
        if attempts == MAX_FAILURES + 1:
            audit(
                actor=Actor.system("login"),
                action="login_locked",
                object_kind="user",
                object_id=username,
                ip=ip,
            )
        wait = max(1, int((since + WINDOW - now).total_seconds()) + 1)
        raise TooMany(_("Too many failed attempts. Try again in a few minutes."), retry_after=wait)


def login_failed(username: str, ip: str | None) -> None:
    """Leave a trace of a wrong password or an unknown name, and sweep what earlier days left behind."""
    audit(actor=Actor.system("login"), action="login_failed", object_kind="user", object_id=username, ip=ip)
    LoginThrottle.objects.filter(since__lt=timezone.now() - timedelta(days=1)).delete()


def login_succeeded(user: User, username: str, ip: str | None) -> None:
    """Forget the failures that came before, and leave a trace."""
    LoginThrottle.objects.filter(key=_key(username, ip)).delete()
    audit(actor=user.actor, action="login", object_kind="user", object_id=user.pk, ip=ip)


def login(username: str, password: str, ip: str | None) -> tuple[User, str]:
    """The person and a session token for the API, good for eight hours.

    Raises :class:`NotAuthenticated` (the same answer, in the same time, for an unknown name and a wrong password),
    :class:`NotAllowed` for an account that is switched off, :class:`TooMany` when locked out.
    """
    reserve_attempt(username, ip)
    user = User.objects.select_related("role").filter(username__iexact=clean(username)).first()
    if not _password_fits(user, password):
        login_failed(username, ip)
        raise NotAuthenticated(_("Invalid credentials"))
    assert user is not None
    if not user.is_active:
        raise NotAllowed(_("Account is deactivated"))
    with transaction.atomic():
        login_succeeded(user, username, ip)
        _token, plaintext = issue_token(
            actor=user.actor,
            name=f"session of {user.username}"[:150],
            scopes=(),
            user=user,
            expires_at=timezone.now() + timedelta(hours=SESSION_HOURS),
            kind=ApiToken.Kind.SESSION,
        )
    return user, plaintext


def _password_fits(user: User | None, password: str) -> bool:
    """Whether it is the user's password. Takes the time of one hash whoever asks."""
    if user is None or not password or len(password) > MAX_PASSWORD or not user.has_usable_password():
        make_password(clean(password[:MAX_PASSWORD]))
        return False
    return user.check_password(clean(password))
