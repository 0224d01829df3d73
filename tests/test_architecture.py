"""Rules of the house that a reviewer would otherwise have to remember, read from the syntax trees of our files."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("opensoar", "alerts", "incidents", "playbooks_engine")
STATES = {"status", "severity", "assigned_to", "assigned_to_id", "determination", "state"}
# Who may write a state: services, the write path of ingest, and the engine, which owns its runs.
WRITERS = re.compile(
    r"(alerts|incidents)/(services/\w+)\.py"
    r"|alerts/(ingest(_rows)?|replay)\.py"
    r"|playbooks_engine/(services/\w+|approvals|beat|journal|lanes|preparation|rows|runner|turns|watchdog|worker)\.py"
    r"|opensoar/demo/engine\.py"  # an engine, too: it claims
    r"|playbooks_engine/rehearsal_tables\.py"  # rows in memory
)
SET_STATE = re.compile(r"\bSET\b[^;]*\b(status|severity|assigned_to_id|determination|state)\s*=", re.DOTALL)


def product_files() -> list[str]:
    files = (path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
    return sorted(str(path.relative_to(ROOT)) for path in files if "migrations" not in path.parts)


FILES = product_files()
TREES = {name: ast.parse((ROOT / name).read_text(), name) for name in FILES}


def nodes[N: ast.AST](kind: type[N], files: list[str] = FILES) -> Iterator[tuple[str, N]]:
    for name in files:
        for node in ast.walk(TREES[name]):
            if isinstance(node, kind):
                yield name, node


def where(name: str, node: ast.AST) -> str:
    return f"{name}:{getattr(node, 'lineno', 0)}"


def assigned_attributes(node: ast.AST) -> Iterator[ast.Attribute]:
    targets = {
        ast.Assign: lambda n: n.targets,
        ast.AugAssign: lambda n: [n.target],
        ast.AnnAssign: lambda n: [n.target],
    }
    for target in targets.get(type(node), lambda n: [])(node):
        for part in ast.walk(target):
            if isinstance(part, ast.Attribute) and isinstance(part.ctx, ast.Store):
                yield part


def state_writes(files: list[str]) -> Iterator[str]:
    for name in files:
        for node in ast.walk(TREES[name]):
            for attribute in assigned_attributes(node):
                itself = isinstance(attribute.value, ast.Name) and attribute.value.id == "self"
                if attribute.attr in STATES and not itself:  # an object's own field of that name is no row
                    yield where(name, node)
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                writes = node.func.attr in {"update", "set", "bulk_update", "update_or_create"}
                if writes and STATES & {keyword.arg for keyword in node.keywords}:
                    yield where(name, node)
            if (
                isinstance(node, ast.Constant)
                and isinstance(node.value, str)
                and SET_STATE.search(node.value)
            ):
                yield where(name, node)


def test_states_are_written_by_services_ingest_and_the_engine_only():
    assert list(state_writes([name for name in FILES if not WRITERS.fullmatch(name)])) == []


def test_the_rule_about_states_sees_them():
    assert any("triage.py" in hit for hit in state_writes(FILES))
    assert any("playbooks_engine" in hit for hit in state_writes(FILES))


def test_rows_are_saved_with_the_fields_that_changed():
    """``row.save()`` writes every column back, also those that somebody else changed meanwhile."""
    bare = [
        where(name, node)
        for name, node in nodes(ast.Call)
        if isinstance(node.func, ast.Attribute)
        and node.func.attr == "save"
        and not node.args
        and not {keyword.arg for keyword in node.keywords}
        & {"update_fields", "force_insert", "commit", "versioned"}
        and not (isinstance(node.func.value, ast.Name) and node.func.value.id in {"edit", "form"})
    ]
    assert bare == []


def test_views_fetch_nothing_by_themselves():
    views = [name for name in FILES if re.search(r"(^|/)views(/|\w*\.py)", name)]
    assert views
    hits = [where(name, node) for name, node in nodes(ast.Attribute, views) if node.attr == "objects"]
    assert hits == [], "pages start from visible_to() in querysets or from access.py"


def test_only_the_bell_speaks_to_the_broker():
    sends = [
        where(name, node)
        for name, node in nodes(ast.Call)
        if isinstance(node.func, ast.Attribute)
        and node.func.attr in {"send", "send_with_options"}
        and not ast.unparse(node.func.value).startswith("super()")  # a socket's
    ]
    assert all(hit.startswith("playbooks_engine/bell.py:") for hit in sends), sends
    assert sends


def test_only_markup_calls_html_safe():
    names = [
        where(name, node)
        for name, node in nodes(ast.Name)
        if node.id in {"mark_safe", "SafeText"} and name != "opensoar/markup.py"
    ]
    imports = [
        where(name, node)
        for name, node in nodes(ast.ImportFrom)
        if any(alias.name == "mark_safe" for alias in node.names) and name != "opensoar/markup.py"
    ]
    calls = [
        where(name, node)
        for name, node in nodes(ast.Call)
        if isinstance(node.func, ast.Name) and node.func.id == "SafeString" and name != "opensoar/markup.py"
    ]
    assert names + imports + calls == []


@pytest.mark.parametrize("word", [r"\|\s*safe\b", r"autoescape\s+off", r"\|\s*safeseq\b"])
def test_templates_call_nothing_safe(word):
    templates = list((ROOT / "templates").rglob("*.html"))
    assert templates
    hits = [str(path.relative_to(ROOT)) for path in templates if re.search(word, path.read_text())]
    assert hits == []


def test_no_model_signals():
    forbidden = {"post_save", "pre_save", "post_delete", "pre_delete", "m2m_changed"}
    hits = [
        where(name, node)
        for name, node in nodes(ast.ImportFrom)
        if forbidden & {alias.name for alias in node.names}
    ]
    assert hits == [], "reactions are subscribers of alerts/events.py and incidents/events.py"


def test_every_service_says_who_acts_by_keyword():
    """``actor`` is keyword-only wherever it is an argument of a public service."""
    packages = ("alerts/services/", "incidents/services/", "incidents/suggestions.py")
    verbs = {"locks.py", "common.py", "comments.py"}  # helpers below the verbs pass it on by position
    hits = [
        where(name, node)
        for name, node in nodes(ast.FunctionDef, [f for f in FILES if f.startswith(packages)])
        if Path(name).name not in verbs
        and any(ast.unparse(decorator) == "transaction.atomic" for decorator in node.decorator_list)
        and "actor" not in {argument.arg for argument in node.args.kwonlyargs}
    ]
    assert hits == []


def test_events_are_few():
    for app in ("alerts", "incidents"):
        made = [
            node
            for _name, node in nodes(ast.Call, [f"{app}/events.py"])
            if isinstance(node.func, ast.Name) and node.func.id == "DomainEvent"
        ]
        assert 1 <= len(made) <= 10


def test_no_file_is_past_its_limit():
    """Soft limits are printed by the lint; here is the hard one."""
    long = {name: count for name in FILES if (count := len((ROOT / name).read_text().splitlines())) > 500}
    assert long == {}


def body_lines(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of code: neither the signature nor the docstring makes a function hard to follow."""
    body = node.body[1:] if ast.get_docstring(node) is not None else node.body
    return (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0


def test_no_function_is_past_its_limit():
    long = [
        f"{where(name, node)} {node.name}: {body_lines(node)} lines"
        for kind in (ast.FunctionDef, ast.AsyncFunctionDef)
        for name, node in nodes(kind)
        if body_lines(node) > 60
    ]
    assert long == []
