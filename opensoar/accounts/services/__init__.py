"""What can be done to people, tokens and partners. Every door calls these; each leaves an audit entry."""

from opensoar.accounts.services.audit import audit
from opensoar.accounts.services.partners import get_or_create_partner, partner_or_everybody, resolve_partner
from opensoar.accounts.services.people import (
    assignable_user,
    change_password,
    create_admin,
    create_user,
    mentioned_in,
    set_password,
    store_own_password,
    update_user,
)
from opensoar.accounts.services.roles import create_role, update_role
from opensoar.accounts.services.signin import login, login_failed, login_succeeded, reserve_attempt
from opensoar.accounts.services.tokens import (
    actor_for_token,
    authenticate_token,
    configure_token,
    issue_token,
    revoke_session_tokens,
    revoke_token,
)

__all__ = [
    "actor_for_token",
    "assignable_user",
    "audit",
    "authenticate_token",
    "change_password",
    "configure_token",
    "create_admin",
    "create_role",
    "create_user",
    "get_or_create_partner",
    "issue_token",
    "login",
    "login_failed",
    "login_succeeded",
    "mentioned_in",
    "partner_or_everybody",
    "reserve_attempt",
    "resolve_partner",
    "revoke_session_tokens",
    "revoke_token",
    "set_password",
    "store_own_password",
    "update_role",
    "update_user",
]
