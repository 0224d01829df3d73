"""Capabilities, the roles that bundle them, and what a token's scopes allow. The one place that says who may what."""

from __future__ import annotations

READS = frozenset(
    {"alerts:read", "incidents:read", "playbooks:read", "integrations:read", "observables:read"}
)
ANALYST = READS | {
    "alerts:update",
    "alerts:delete",
    "incidents:create",
    "incidents:update",
    "playbooks:execute",
    "observables:manage",
    "ai:use",
}
# What a suppression hides, nobody looks at: that is for those who answer for the desk. Showing again is an analyst's.
LEAD = ANALYST | {"response:execute", "approvals:decide", "audit:read", "suppressions:manage"}
AUTHOR = READS | {"playbooks:manage", "playbooks:execute"}
ALL = (
    LEAD
    | AUTHOR
    | {
        "integrations:manage",
        "analysts:manage",
        "api_keys:manage",
        "settings:manage",
        "retention:manage",
    }
)

# id -> (label, capabilities). Order is the order of the pages.
ROLES: dict[str, tuple[str, frozenset[str]]] = {
    "viewer": ("Viewer", READS),
    "analyst": ("Analyst", ANALYST),
    "lead": ("Lead", LEAD),
    "playbook_author": ("Playbook author", AUTHOR),
    "admin": ("Admin", ALL),
}

# A token's scopes; `ingest` opens the webhooks and nothing else.
SCOPES: dict[str, frozenset[str]] = {
    "ingest": frozenset(),
    "read": READS | {"audit:read"},
    "write": ANALYST - READS,
    "respond": frozenset({"response:execute", "approvals:decide"}),
    "admin": ALL,
}


def capabilities_of_scopes(scopes: list[str]) -> frozenset[str]:
    """The union of what each scope allows; unknown scopes allow nothing."""
    return frozenset().union(*(SCOPES.get(scope, frozenset()) for scope in scopes))
