"""The table of routes is whole, and says what the views say."""

from __future__ import annotations

from tests.isolation.routes import ROUTES
from tests.isolation.table import INGEST, OPEN, SIGNED_IN, TABLE, WRITTEN_OUT


def test_every_route_has_its_line_and_every_line_its_route() -> None:
    known, written = {route.path for route in ROUTES}, set(TABLE)
    new = sorted(known - written)
    assert not new, (
        f"no line in tests/isolation/table.py for {new}: add to PAGES, API or ADMIN_ROWS what each method needs, "
        "which row of tests/isolation/world.py stands for each parameter, and a body that its writes take"
    )
    assert not written - known, f"gone: take {sorted(written - known)} out of tests/isolation/table.py"
    assert len(known) == len(ROUTES), "two views have one address"


def test_the_lines_methods_and_parameters_are_the_routes() -> None:
    wrong = [
        f"{route.path}: the view takes {sorted(route.methods)} and {route.parameters}"
        for route in ROUTES
        if (entry := TABLE.get(route.path)) is not None
        and (
            set(entry.needs) != route.methods
            or (route.path not in WRITTEN_OUT and set(entry.ids) != set(route.parameters))
        )
    ]
    assert not wrong, "bring tests/isolation/table.py in line:\n" + "\n".join(wrong)


def test_the_views_declare_what_the_table_says() -> None:
    wrong = []
    for route in (route for route in ROUTES if not route.is_borrowed and route.path in TABLE):
        for method, needed in TABLE[route.path].needs.items():
            wanted = None if needed in {OPEN, INGEST, SIGNED_IN} else needed.split("+")[0]
            if (declared := route.declared(method)) != wanted:
                wrong.append(f"{method} {route.path}: the view wants {declared}, the table {needed}")
    assert not wrong, "\n".join(wrong)


def test_only_these_addresses_are_open() -> None:
    """Spelt out once more, so that opening one takes two thoughts."""
    opened = {
        path for path, entry in TABLE.items() if OPEN in entry.needs.values() and path[:8] != "accounts"
    }
    assert opened == {
        "theme/", "density/", "style/", "livez", "readyz", "api/v1/health", "api/v1/auth/capabilities", "api/v1/auth/register",
        "api/v1/auth/login", "admin/login/", "admin/logout/",
    }  # fmt: skip
