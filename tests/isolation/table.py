"""Who may do what at which address: one line for every route, whatever its views say of themselves.

A new route needs a line here: what each of its methods needs, which row stands for each parameter of its address, and
bodies that its writes take (``$name`` is the id of a row of tests/isolation/world.py, ``?name`` goes into the query).
A body that names rows is tried with foreign ones too.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from tests.isolation.routes import ROUTES

OPEN = "open"  # without signing in
SIGNED_IN = "signed in"  # whoever that is
STAFF = "settings:manage"  # Django admin
OWN = "by its author or receiver"
INGEST = "scope ingest"  # a token that delivers alerts; people never


@dataclass(frozen=True)
class Line:
    """``needs`` by method; several capabilities are joined by ``+``, the one that the view declares first."""

    needs: dict[str, str]
    bodies: tuple[dict[str, Any], ...] = ({},)
    ids: dict[str, str] = field(default_factory=dict)


def line(
    *bodies: dict[str, Any],
    get: str | None = None,
    post: str | None = None,
    patch: str | None = None,
    delete: str | None = None,
    **ids: str,
) -> Line:
    needs = {"GET": get, "POST": post, "PATCH": patch, "DELETE": delete}
    return Line({method: need for method, need in needs.items() if need}, bodies or ({},), ids)


A_READ, A_UPDATE, A_DELETE = "alerts:read", "alerts:update", "alerts:delete"
I_READ, I_CREATE, I_UPDATE = "incidents:read", "incidents:create", "incidents:update"
O_READ, O_MANAGE = "observables:read", "observables:manage"
P_READ, P_MANAGE, P_EXECUTE = "playbooks:read", "playbooks:manage", "playbooks:execute"
G_READ, G_MANAGE = "integrations:read", "integrations:manage"
APPROVE = "approvals:decide"
PEOPLE, KEYS = "analysts:manage", "api_keys:manage"
S_MANAGE = "suppressions:manage"

CLOSING = {"determination": "benign", "impact": "none", "summary": "Nothing"}
HIDING = {"name": "x", "reason": "x", "conditions": {"hostname": "x"}}
HANDOFF = {"to_user": "$user", "text": "Yours"}
TYPED = {"type": "domain", "value": "$value"}

PAGES = {
    "": line(get=A_READ),
    "counts/": line(get=A_READ),
    "theme/": line({"theme": "dark"}, post=OPEN),
    "style/": line(get=OPEN),
    "density/": line({"density": "compact"}, post=OPEN),
    "livez": line(get=OPEN, post=OPEN),
    "readyz": line(get=OPEN, post=OPEN),
    "metrics": line(get=A_READ),
    "alerts/": line(get=A_READ),
    "alerts/live/": line({"?rows": "$alert"}, {"?q": "$word"}, get=A_READ),
    "rules/": line({"?q": "$word"}, get=A_READ),
    "alerts/bulk/claim/": line({"alert": ["$alert"]}, get=A_UPDATE, post=A_UPDATE),
    "alerts/bulk/assign/": line(
        {"alert": ["$alert"], "user": "$user"}, {"?alert": "$alert"}, get=A_UPDATE, post=A_UPDATE
    ),
    "alerts/bulk/resolve/": line(
        {"alert": ["$alert"], "determination": "benign"}, {"?alert": "$alert"}, get=A_UPDATE, post=A_UPDATE
    ),
    "alerts/bulk/severity/": line(
        {"alert": ["$alert"], "severity": "low"}, {"?alert": "$alert"}, get=A_UPDATE, post=A_UPDATE
    ),
    "alerts/<uuid:pk>/": line(get=A_READ, pk="alert"),
    "alerts/<uuid:pk>/live/": line(get=A_READ, pk="alert"),
    "alerts/<uuid:pk>/deliveries/": line(get=A_READ, pk="alert"),
    "alerts/<uuid:pk>/claim/": line(post=A_UPDATE, pk="alert"),
    "alerts/<uuid:pk>/assign/": line({"user": "$user"}, get=A_UPDATE, post=A_UPDATE, pk="alert"),
    "alerts/<uuid:pk>/resolve/": line({"determination": "benign"}, get=A_UPDATE, post=A_UPDATE, pk="alert"),
    "alerts/<uuid:pk>/reopen/": line({"reason": "x"}, get=A_UPDATE, post=A_UPDATE, pk="alert"),
    "alerts/<uuid:pk>/show-again/": line({"reason": "x"}, get=A_UPDATE, post=A_UPDATE, pk="hidden_alert"),
    "alerts/<uuid:pk>/edit/": line(
        {"severity": "low", "determination": "benign", "tags": "x"}, get=A_UPDATE, post=A_UPDATE, pk="alert"
    ),
    "alerts/<uuid:pk>/comment/": line({"text": "x"}, get=A_UPDATE, post=A_UPDATE, pk="alert"),
    "alerts/<uuid:pk>/observables/": line({"text": "evil.example"}, get=O_MANAGE, post=O_MANAGE, pk="alert"),
    "suppressions/": line(get=A_READ),
    "suppressions/new/": line(
        {"name": "x", "reason": "x", "days": "30", "conditions": '{"hostname": "x"}', "?alert": "$alert"},
        {"name": "x", "reason": "x", "days": "30", "like": "rule_name", "?alert": "$alert"},
        get=S_MANAGE,
        post=S_MANAGE,
    ),
    "suppressions/<uuid:pk>/end/": line(get=S_MANAGE, post=S_MANAGE, pk="suppression"),
    "deliveries/": line({"?q": "$word"}, get=A_READ),
    "deliveries/replay/": line({"?q": "$word"}, get=A_UPDATE, post=A_UPDATE),
    "deliveries/sources/": line(get=A_READ),
    "deliveries/<uuid:pk>/": line(get=A_READ, pk="delivery"),
    "deliveries/<uuid:pk>/replay/": line(post=A_UPDATE, pk="quarantined"),
    "incidents/": line(get=I_READ),
    "incidents/go/": line({"?q": "$number"}, get=I_READ),
    "incidents/live/": line(get=I_READ),
    "incidents/suggestions/": line(get=A_READ),
    "incidents/belongings/": line({"?alert": "$alert"}, get=I_READ),
    "incidents/new/": line(
        {"title": "x", "severity": "low", "tlp": "amber", "pap": "amber", "?alert": "$alert"},
        {"title": "x", "severity": "low", "owner": "$user"},
        get=I_CREATE,
        post=I_CREATE,
    ),
    "incidents/link/": line(
        {"incident": "$number", "?alert": "$alert"},
        {"?alert": "$alert", "?q": "$word"},
        get=I_UPDATE,
        post=I_UPDATE,
    ),
    "incidents/suggestions/<slug:suggestion_id>/accept/": line(
        {}, {"mine": "1"}, post=I_CREATE, suggestion_id="suggestion"
    ),
    "incidents/suggestions/<slug:suggestion_id>/add/": line(
        {"incident": "$number"}, get=I_UPDATE, post=I_UPDATE, suggestion_id="suggestion"
    ),
    "incidents/suggestions/<slug:suggestion_id>/exclude/": line(
        {"entity": "0", "reason": "x", "days": "7"}, get=I_UPDATE, post=I_UPDATE, suggestion_id="suggestion"
    ),
    "incidents/suggestions/<slug:suggestion_id>/dismiss/": line(
        {"reason": "x"}, get=I_UPDATE, post=I_UPDATE, suggestion_id="suggestion"
    ),
    "incidents/<int:number>/": line(get=I_READ, number="number"),
    "incidents/<int:number>/live/": line(get=I_READ, number="number"),
    "incidents/<int:number>/assign/": line({"user": "$user"}, get=I_UPDATE, post=I_UPDATE, number="number"),
    "incidents/<int:number>/move/": line({"status": "contained"}, post=I_UPDATE, number="number"),
    "incidents/<int:number>/edit/": line(
        {"title": "x", "severity": "low", "tlp": "green", "pap": "green"},
        get=I_UPDATE,
        post=I_UPDATE,
        number="number",
    ),
    "incidents/<int:number>/close/": line(CLOSING, get=I_UPDATE, post=I_UPDATE, number="number"),
    "incidents/<int:number>/reopen/": line({"reason": "x"}, get=I_UPDATE, post=I_UPDATE, number="number"),
    "incidents/<int:number>/comment/": line({"text": "x"}, get=I_UPDATE, post=I_UPDATE, number="number"),
    "incidents/<int:number>/handoff/": line(HANDOFF, get=I_UPDATE, post=I_UPDATE, number="number"),
    "incidents/<int:number>/handoffs/<uuid:handoff_id>/acknowledge/": line(
        post=f"{I_UPDATE}+{OWN}", number="number", handoff_id="handoff"
    ),
    "incidents/<int:number>/observables/": line(
        {"text": "evil.example"}, get=I_UPDATE, post=I_UPDATE, number="number"
    ),
    "incidents/<int:number>/link/": line({"alert": "$alert"}, get=I_UPDATE, post=I_UPDATE, number="number"),
    "incidents/<int:number>/unlink/<uuid:alert_id>/": line(
        post=I_UPDATE, number="number", alert_id="linked_alert"
    ),
    "playbooks/": line(get=P_READ),
    "playbooks/reload/": line(post=P_MANAGE),
    "playbooks/<uuid:pk>/": line(get=P_READ, pk="playbook"),
    "playbooks/<uuid:pk>/enable/": line(post=P_MANAGE, pk="playbook"),
    "playbooks/<uuid:pk>/disable/": line(post=P_MANAGE, pk="playbook"),
    "runs/": line({"?playbook": "$playbook"}, {"?step": "$run"}, get=P_READ),
    "runs/new/": line(
        {"playbook": "$playbook"},
        {"playbook": "$playbook", "?alert": "$alert"},
        {"?playbook": "$playbook"},
        {"playbook": "$playbook", "?incident": "$number"},
        get=P_EXECUTE,
        post=P_EXECUTE,
    ),
    "runs/panel/": line({"?alert": "$alert"}, {"?incident": "$number"}, get=P_READ),
    "runs/<uuid:pk>/": line(get=P_READ, pk="run"),
    "runs/<uuid:pk>/live/": line(get=P_READ, pk="run"),
    "runs/<uuid:pk>/decide/": line({"decision": "done"}, get=P_EXECUTE, post=P_EXECUTE, pk="run"),
    "runs/<uuid:pk>/cancel/": line({}, {"whole_sequence": "on"}, get=P_EXECUTE, post=P_EXECUTE, pk="run"),
    "runs/<uuid:pk>/retry/": line(
        {}, {"current_source": "on"}, get=P_EXECUTE, post=P_EXECUTE, pk="failed_run"
    ),
    "runs/approvals/<uuid:pk>/": line(
        {"decision": "approve", "comment": "x"},
        {"decision": "deny"},
        get=APPROVE,
        post=APPROVE,
        pk="approval",
    ),
}

API = {
    "": line(get=SIGNED_IN),
    "health": line(get=OPEN),
    "schema": line(get=SIGNED_IN),
    "docs": line(get=SIGNED_IN),
    "dashboard/stats": line(get=A_READ),
    "admin/retention/purge": line({"dry_run": True}, post="retention:manage"),
    "webhooks/alerts": line({"title": "x"}, post=INGEST),
    "webhooks/alerts/<str:source>": line({"title": "x"}, post=INGEST, source="webhook"),
    "auth/capabilities": line(get=OPEN),
    "auth/register": line({"username": "x", "display_name": "x", "password": "long enough pw"}, post=OPEN),
    "auth/login": line({"username": "nobody", "password": "wrong"}, post=OPEN),
    "auth/logout": line(post=SIGNED_IN),
    "auth/me": line(get=SIGNED_IN),
    "auth/change-password": line(
        {"current_password": "$password", "new_password": "a long enough password"}, post=SIGNED_IN
    ),
    "auth/roles": line(get=PEOPLE),
    "auth/analysts": line(
        {
            "username": "new",
            "display_name": "New",
            "password": "a long enough password",
            "partners": ["$partner"],
        },
        get=PEOPLE,
        post=PEOPLE,
    ),
    "auth/analysts/mentionable": line(get=SIGNED_IN),
    "auth/analysts/<str:pk>": line(
        {"display_name": "Renamed"},
        {"partners": ["$partner"]},
        {"is_active": False},
        get=PEOPLE,
        patch=PEOPLE,
        pk="user",
    ),
    "auth/analysts/<str:pk>/reset-password": line(
        {"new_password": "a long enough password"}, post=PEOPLE, pk="user"
    ),
    "api-keys": line({"name": "new", "scopes": ["read"], "partner": "$partner"}, get=KEYS, post=KEYS),
    "api-keys/<str:pk>": line({"max_depth": 8}, patch=KEYS, delete=KEYS, pk="token"),
    "audit": line(get="audit:read"),
    "alerts": line(get=A_READ),
    "alerts/bulk": line(
        {"alert_ids": ["$alert"], "action": "resolve", "determination": "benign"},
        {"alert_ids": ["$alert"], "action": "assign", "assigned_to": "$user"},
        post=A_UPDATE,
    ),
    "alerts/<str:pk>": line(
        {"severity": "low"},
        {"partner": "$partner"},
        {"assigned_to": "$user"},
        get=A_READ,
        patch=A_UPDATE,
        delete=A_DELETE,
        pk="alert",
    ),
    "alerts/<str:pk>/claim": line(post=A_UPDATE, pk="alert"),
    "alerts/<str:pk>/assign": line({"assigned_to": "$user"}, post=A_UPDATE, pk="alert"),
    "alerts/<str:pk>/resolve": line({"determination": "benign"}, post=A_UPDATE, pk="alert"),
    "alerts/<str:pk>/reopen": line({"reason": "x"}, post=A_UPDATE, pk="alert"),
    "alerts/<str:pk>/show-again": line({"reason": "x"}, post=A_UPDATE, pk="hidden_alert"),
    "alerts/<str:pk>/activities": line(get=A_READ, pk="alert"),
    "alerts/<str:pk>/comments": line({"text": "x"}, post=A_UPDATE, pk="alert"),
    "alerts/<str:pk>/comments/<str:comment_id>": line(
        {"text": "x"}, patch=f"{A_UPDATE}+{OWN}", pk="alert", comment_id="comment"
    ),
    "alerts/<str:pk>/observables": line(TYPED, get=O_READ, post=O_MANAGE, pk="alert"),
    "alerts/<str:pk>/incidents": line(
        {"incident_id": "$incident"},
        {"incident_id": "$number"},
        {"title": "x"},
        get=I_READ,
        post="incidents:read+incidents:update+incidents:create",
        pk="linked_alert",
    ),
    "alerts/<str:pk>/runs": line(get=P_READ, pk="alert"),
    "observables": line(
        TYPED,
        {**TYPED, "alert_id": "$alert"},
        {**TYPED, "incident_id": "$incident"},
        {**TYPED, "partner": "$partner"},
        get=O_READ,
        post=O_MANAGE,
    ),
    "observables/parse": line({"text": "evil.example"}, post=O_READ),
    "observables/<str:pk>": line(get=O_READ, pk="observable"),
    "observables/<str:pk>/enrichments": line({"source": "vt", "data": {}}, post=O_MANAGE, pk="observable"),
    "observables/<str:pk>/enrichments/<path:source>": line(
        delete=O_MANAGE, pk="observable", source="enrichment"
    ),
    "rules": line(get=A_READ),
    "suppressions": line(
        HIDING, {**HIDING, "partner": "$partner"}, {**HIDING, "owner": "$user"}, get=A_READ, post=S_MANAGE
    ),
    "suppressions/preview": line(
        {"conditions": {"hostname": "$host"}},
        {"conditions": {"hostname": "x"}, "partner": "$partner"},
        post=S_MANAGE,
    ),
    "suppressions/<str:pk>": line(get=A_READ, pk="suppression"),
    "suppressions/<str:pk>/end": line(post=S_MANAGE, pk="suppression"),
    "deliveries": line(get=A_READ),
    "deliveries/replay": line({"?q": "$word"}, post=A_UPDATE),
    "sources/health": line(get=A_READ),
    "deliveries/<str:pk>": line(get=A_READ, pk="delivery"),
    "deliveries/<str:pk>/replay": line(post=A_UPDATE, pk="quarantined"),
    "incidents": line(
        {"title": "x"},
        {"title": "x", "partner": "$partner"},
        {"title": "x", "assigned_to": "$user"},
        get=I_READ,
        post=I_CREATE,
    ),
    "incidents/suggestions": line(get=I_READ),
    "incidents/<str:pk>": line(
        {"severity": "low"},
        {"assigned_to": "$user"},
        {"status": "closed"},
        get=I_READ,
        patch=I_UPDATE,
        pk="incident",
    ),
    "incidents/<str:pk>/assign": line({"assigned_to": "$user"}, post=I_UPDATE, pk="incident"),
    "incidents/<str:pk>/close": line(CLOSING, post=I_UPDATE, pk="incident"),
    "incidents/<str:pk>/reopen": line({"reason": "x"}, post=I_UPDATE, pk="incident"),
    "incidents/<str:pk>/alerts": line({"alert_id": "$alert"}, get=I_READ, post=I_UPDATE, pk="incident"),
    "incidents/<str:pk>/alerts/<str:alert_id>": line(delete=I_UPDATE, pk="number", alert_id="linked_alert"),
    "incidents/<str:pk>/observables": line(TYPED, get=O_READ, post=O_MANAGE, pk="incident"),
    "incidents/<str:pk>/activities": line(get=I_READ, pk="incident"),
    "incidents/<str:pk>/timeline": line(get=I_READ, pk="number"),
    "incidents/<str:pk>/comments": line({"text": "x"}, post=I_UPDATE, pk="incident"),
    "incidents/<str:pk>/comments/<str:comment_id>": line(
        {"text": "x"}, patch=f"{I_UPDATE}+{OWN}", pk="incident", comment_id="incident_comment"
    ),
    "incidents/<str:pk>/handoffs": line(HANDOFF, get=I_READ, post=I_UPDATE, pk="incident"),
    "incidents/<str:pk>/runs": line({"playbook_id": "$playbook"}, get=P_READ, post=P_EXECUTE, pk="incident"),
    "handoffs/<str:pk>/acknowledge": line(post=f"{I_UPDATE}+{OWN}", pk="handoff"),
    "suggestions/<str:pk>/accept": line(
        {},
        {"incident": "$incident"},
        {"owner": "$user"},
        post="incidents:update+incidents:create",
        pk="suggestion",
    ),
    "alerts/<str:pk>/suggested-incidents": line(get=I_READ, pk="alert"),
    "suggestions/exclusions": line(
        {"entity": "host", "value": "$host", "reason": "x", "partner": "$partner"}, get=I_READ, post=I_UPDATE
    ),
    "suggestions/exclusions/<str:pk>": line(delete=I_UPDATE, pk="excluded"),
    "suggestions/<str:pk>/dismiss": line({"reason": "x"}, post=I_UPDATE, pk="suggestion"),
    "playbooks": line(get=P_READ),
    "playbooks/reload": line(post=P_MANAGE),
    "playbooks/<str:pk>": line(
        {"enabled": False}, {"partner": "$partner"}, get=P_READ, patch=P_MANAGE, pk="playbook"
    ),
    "playbooks/<str:pk>/run": line(
        {"alert_id": "$alert"},
        {"incident_id": "$incident"},
        {"input_data": {}},
        post=P_EXECUTE,
        pk="playbook",
    ),
    "runs": line(get=P_READ),
    "runs/<str:pk>": line(get=P_READ, pk="run"),
    "runs/<str:pk>/decide": line({"decision": "done"}, post=P_EXECUTE, pk="run"),
    "runs/<str:pk>/cancel": line({}, {"sequence": True}, post=P_EXECUTE, pk="run"),
    "runs/<str:pk>/retry": line({}, {"current_source": True}, post=P_EXECUTE, pk="failed_run"),
    "runs/<str:pk>/logs": line(get=P_READ, pk="waiting_run"),
    "approvals": line(get=P_READ),
    "approvals/<str:pk>/approve": line({"comment": "x"}, post=APPROVE, pk="approval"),
    "approvals/<str:pk>/deny": line({"comment": "x"}, post=APPROVE, pk="approval"),
    "integrations": line(
        {"integration_type": "docker", "name": "new", "partner": "$partner"}, get=G_READ, post=G_MANAGE
    ),
    "integrations/types": line(get=G_READ),
    "integrations/<str:pk>": line(
        {"name": "renamed"},
        {"partner": "$partner"},
        get=G_READ,
        patch=G_MANAGE,
        delete=G_MANAGE,
        pk="connector",
    ),
    "integrations/<str:pk>/health": line(post=G_MANAGE, pk="connector"),
    "integrations/<str:pk>/poll": line(post=G_MANAGE, pk="connector"),
}

# django-allauth's pages. Nothing on them belongs to a customer.
ACCOUNTS = {
    path: line(get=need, post=need)
    for need, paths in {
        OPEN: ("login/", "inactive/", "signup/", "logout/"),
        SIGNED_IN: ("reauthenticate/", "password/change/"),
    }.items()
    for path in paths
}  # fmt: skip
# Addresses written as regular expressions, each with one that it matches.
WRITTEN_OUT = {
    r"admin/^(?P<app_label>accounts|alerts|incidents|playbooks_engine)/$": "admin/accounts/",
    r"admin/(?P<url>.*)$": "admin/nothing/here/",
}

# Django admin: the row that stands for <object_id> of each registered model, and the site's own addresses.
ADMIN_ROWS = {
    "accounts/user": "user", "accounts/role": "role", "accounts/partner": "partner_id", "accounts/apitoken": "token",
    "accounts/productsettings": "settings", "accounts/auditentry": "audit", "alerts/delivery": "delivery",
    "alerts/alertsource": "source",
    "alerts/observableexclusion": "exclusion",
    "playbooks_engine/playbook": "playbook", "playbooks_engine/connector": "connector", "playbooks_engine/secret": "secret",
    "incidents/suggestionexclusion": "excluded",
}  # fmt: skip
_OBJECT = "<path:object_id>/"
ADMIN = (
    {f"admin/{name}": line(get=STAFF, post=STAFF) for name in ("", "password_change/", "password_change/done/",
     "autocomplete/", "jsi18n/")}
    | {"admin/login/": line(get=OPEN, post=OPEN), "admin/logout/": line(get=OPEN, post=OPEN)}
    | {"admin/r/<path:content_type_id>/<path:object_id>/": line(
        get=STAFF, post=STAFF, content_type_id="connector_type", object_id="connector")}
    | {f"admin/{model}/{name}": line(get=STAFF, post=STAFF) for model in ADMIN_ROWS for name in ("", "add/")}
    | {f"admin/{model}/{_OBJECT}{name}": line({"post": "yes"}, get=STAFF, post=STAFF, object_id=row)
       for model, row in ADMIN_ROWS.items() for name in ("", "change/", "delete/", "history/")}
)  # fmt: skip

TABLE: dict[str, Line] = (
    PAGES
    | {f"api/v1/{path}": entry for path, entry in API.items()}
    | {f"accounts/{path}": entry for path, entry in ACCOUNTS.items()}
    | ADMIN
    | {
        path: line(get=need, post=need)
        for path in WRITTEN_OUT
        for need in [STAFF if path[:5] == "admin" else OPEN]
    }
)

# What the other tests go through; test_table.py fails for a route that is not among these.
LISTED = [route for route in ROUTES if route.path in TABLE]
