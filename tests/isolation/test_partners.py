"""One customer's people and tokens meet nothing of another customer: not by address, not by body, not in any list."""

from __future__ import annotations

import difflib
import itertools
import re
from collections.abc import Iterator

import pytest
from django.http import HttpResponse

from tests.isolation.callers import Caller, routes_for, text_of
from tests.isolation.conftest import Rows, World, callers_of, everything, rolled_back, rows
from tests.isolation.routes import SAFE, Route
from tests.isolation.table import INGEST, LISTED, SIGNED_IN, TABLE
from tests.isolation.world import THEIRS, Customer

who = pytest.mark.parametrize("name", ["admin", "analyst", "token"])


def caller_of(world: World, name: str) -> Caller:
    return next(caller for caller in callers_of(world.ours) if caller.name == name)


@who
def test_another_customer_changes_nothing_that_we_can_read(world: World, name: str) -> None:
    """Pages, lists, counts, suggestions, choices in forms: as they were before the other customer existed."""
    before = world.before[name]
    now = everything(caller_of(world, name), world.ours)
    wrong = [
        f"{address} tells of another customer:\n{difference(before[address], text)}"
        for address, text in now.items()
        if text != before[address] or THEIRS in text
    ]
    assert not wrong, "\n".join(wrong)


@who
def test_foreign_rows_are_as_missing_as_rows_that_nobody_has(world: World, name: str) -> None:
    caller, before, wrong = caller_of(world, name), rows_of_theirs(world), []
    for route in routes_for(name):
        entry = TABLE[route.path]
        for method, needed in entry.needs.items():
            for asked, gone in mixtures(world, route) if needed != INGEST else ():
                body = world.ours.fill(entry.bodies[0]) if method not in SAFE else {}
                foreign = caller.ask(route, method, asked, body)
                where = f"{method} {route.path}"
                if foreign.status_code < 300 and THEIRS in text_of(foreign):
                    wrong.append(f"{where}: {foreign.status_code} with foreign rows")
                wrong += differences(where, foreign, asked, caller.ask(route, method, gone, body), gone)
    assert not wrong, "\n".join(wrong)
    assert_theirs_untouched(before, world)


@who
def test_a_body_or_query_that_names_foreign_rows_finds_none(world: World, name: str) -> None:
    caller, before, wrong = caller_of(world, name), rows_of_theirs(world), []
    theirs = Customer(THEIRS, world.theirs.partner, {}, world.theirs.ids | {"value": "neutral.com"})
    for route in routes_for(name):
        entry = TABLE[route.path]
        for method, body in itertools.product(entry.needs, entry.bodies):
            named = {key: value for key, value in body.items() if method not in SAFE or key[0] == "?"}
            if method != "DELETE" and "$" in str(named) and entry.needs[method] not in {INGEST, SIGNED_IN}:
                with rolled_back():
                    unknown = caller.ask(route, method, world.ours, world.nobodys.fill(named))
                foreign = caller.ask(route, method, world.ours, theirs.fill(named))
                wrong += differences(
                    f"{method} {route.path} {named}", foreign, theirs, unknown, world.nobodys
                )
    assert not wrong, "\n".join(wrong)
    assert_theirs_untouched(before, world)


QUERIES = {
    "alerts/": ("q=$word", "source=src-$word", "q=$value"),
    "rules/": ("q=$word",),
    "suppressions/": ("state=all",),
    "incidents/": ("q=$word", "q=$number", "owner=$user"),
    "api/v1/rules": ("q=$word",),
    "api/v1/suppressions": ("partner=$partner", "owner=$user"),
    "api/v1/alerts": (
        "suppressed_by=$suppression",
        "suppressed=any&q=$word",
        "partner=$partner",
        "source=src-$word",
        "limit=200&q=$word",
        "cursor=$alert",
    ),
    "api/v1/incidents": ("partner=$partner", "q=$word", "assigned_to=$user"),
    "api/v1/observables": (
        "q=$word",
        "value=$value",
        "partner=$partner",
        "alert_id=$alert",
        "incident_id=$incident",
    ),
    "api/v1/deliveries": ("alert_id=$alert", "source=src-$word", "partner=$partner", "state=quarantined"),
    "api/v1/runs": ("playbook_id=$playbook", "alert_id=$alert", "incident_id=$incident", "q=$word"),
    "api/v1/approvals": ("run_id=$waiting_run", "status=pending", "q=$word"),
    "api/v1/playbooks": ("partner=$partner", "q=$word"),
    "api/v1/integrations": ("partner=$partner", "q=$word"),
    "api/v1/audit": ("object_id=$connector", "actor_name=$username", "action=did-$word"),
    "api/v1/auth/analysts/mentionable": ("q=$username", "q=$word"),
    "admin/alerts/delivery/": ("q=$word", "state__exact=quarantined"),
    "admin/accounts/user/": ("q=$word", "role__id__exact=lead"),
    "admin/accounts/apitoken/": ("kind__exact=session",),
    "admin/playbooks_engine/connector/": ("q=$word", "kind=docker"),
    "admin/playbooks_engine/secret/": ("q=$word", "partner__slug=$word"),
    "admin/autocomplete/": ("app_label=alerts&model_name=delivery&field_name=alert&term=$word",),
}


@who
def test_no_search_and_no_filter_reaches_another_customer(world: World, name: str) -> None:
    caller, wrong = caller_of(world, name), []
    paths = {route.path for route in routes_for(name)}
    for path, query in (
        (path, query) for path, queries in QUERIES.items() for query in queries if path in paths
    ):
        foreign = caller("GET", f"/{path}?{filled(query, world.theirs)}")
        unknown = caller("GET", f"/{path}?{filled(query, world.nobodys)}")
        wrong += differences(f"/{path}?{query}", foreign, world.theirs, unknown, world.nobodys)
    assert not wrong, "\n".join(wrong)
    assert set(QUERIES) <= {route.path for route in LISTED}


# What shows no row of any customer to whoever sees every customer: forms, numbers, what the installation is.
SILENT = {
    "", "counts/", "style/", "livez", "readyz", "metrics", "alerts/live/", "alerts/bulk/claim/",
    "alerts/bulk/assign/", "alerts/bulk/resolve/", "alerts/bulk/severity/", "alerts/<uuid:pk>/assign/",
    "alerts/<uuid:pk>/comment/", "alerts/<uuid:pk>/observables/", "alerts/<uuid:pk>/reopen/",
    "alerts/<uuid:pk>/resolve/", "deliveries/replay/", "alerts/<uuid:pk>/show-again/", "incidents/belongings/",
    "incidents/go/", "incidents/new/",
    "incidents/<int:number>/assign/", "incidents/<int:number>/close/", "incidents/<int:number>/comment/",
    "incidents/<int:number>/handoff/", "incidents/<int:number>/observables/", "incidents/<int:number>/reopen/",
    "api/v1/", "api/v1/health", "api/v1/schema", "api/v1/docs", "api/v1/auth/capabilities", "api/v1/auth/me",
    "api/v1/auth/roles", "api/v1/integrations/types", "api/v1/incidents/<str:pk>/runs",
}  # fmt: skip


def test_the_second_customer_is_there_to_be_met(world: World) -> None:
    """The power of the tests above: who sees every customer is shown the second one's mark at every kind of row."""
    caller = Caller("all", user=world.people["admin"])
    unseen = {
        route.path
        for route in LISTED
        if "GET" in route.methods
        and not route.is_borrowed
        and THEIRS not in caller.ask(route, "GET", world.theirs).content.decode()
    }
    assert unseen == SILENT, "a route that shows no row of a customer stands in SILENT"


def rows_of_theirs(world: World) -> Rows:
    """Every row that holds the other customer's mark or names one of its rows."""
    named = {
        row for name, row in world.theirs.ids.items() if row != world.ours.ids[name] and name not in SHORT
    }
    return rows(THEIRS, *named)


SHORT = {"value", "number"}  # four digits are found in many a hash and time of day


def assert_theirs_untouched(before: Rows, world: World) -> None:
    after = rows_of_theirs(world)
    for table, texts in before.items():
        assert after[table] == texts, f"{table} of another customer was changed, or names its rows"


def mixtures(world: World, route: Route) -> Iterator[tuple[Customer, Customer]]:
    """Every way to put at least one foreign row into the address, and the same with rows that nobody has."""
    named = sorted(
        row
        for row in set(TABLE[route.path].ids.values()) - {"enrichment"}  # a word, not a row
        if world.ours.ids[row] != world.theirs.ids[row]
    )
    for foreign in itertools.product([False, True], repeat=len(named)):
        if any(foreign):
            chosen = [row for row, is_foreign in zip(named, foreign, strict=True) if is_foreign]
            yield tuple(
                Customer(
                    other.mark, other.partner, {}, world.ours.ids | {row: other.ids[row] for row in chosen}
                )
                for other in (world.theirs, world.nobodys)
            )  # type: ignore[misc]


# The ids and times of rows that the request made.
_NEW = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|\d{4}-\d\d-\d\dT[\d:.]+Z|INC-\d+|\b1\d{3}\b")


def difference(before: str, after: str) -> str:
    lines = difflib.unified_diff(before.splitlines(), after.splitlines(), n=0, lineterm="")
    return "\n".join(line[:300] for line in itertools.islice(lines, 20))


def differences(
    where: str, foreign: HttpResponse, theirs: Customer, unknown: HttpResponse, nobodys: Customer
) -> list[str]:
    """What tells a foreign row from one that nobody has."""
    one, other = plain(foreign, theirs), plain(unknown, nobodys)
    return (
        [] if one == other else [f"{where} tells a foreign row from a missing one:\n{difference(other, one)}"]
    )


def plain(answer: HttpResponse, asked: Customer) -> str:
    """Status, place and words of an answer, with what was asked for taken out."""
    text = f"{answer.status_code} {answer.headers.get('Location', '')}\n{text_of(answer)}"
    text = _NEW.sub("…", text)
    for value in sorted(asked.ids.values(), key=len, reverse=True):
        if len(value) > 3:
            text = text.replace(value, "…")
    return text


def filled(query: str, customer: Customer) -> str:
    for name in sorted(customer.ids, key=len, reverse=True):
        query = query.replace(f"${name}", customer.ids[name])
    return query
