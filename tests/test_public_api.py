"""The public surface is a tested list: what playbook authors import from ``opensoar``."""

import inspect
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import opensoar
from playbooks_engine import sdk, sdk_incidents, sdk_run

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs" / "playbooks.md"


def test_names_are_the_sdk_s_sorted_and_all_importable():
    assert opensoar.__all__ == sorted([*sdk.__all__, *sdk_run.__all__, *sdk_incidents.__all__])
    for name in opensoar.__all__:
        home = next(module for module in (sdk, sdk_run, sdk_incidents) if name in module.__all__)
        assert getattr(opensoar, name) is getattr(home, name)
        assert name in dir(opensoar)


def test_no_submodule_bears_an_exported_name():
    submodules = {module.name for module in pkgutil.iter_modules(opensoar.__path__)}
    assert not submodules & set(opensoar.__all__)


def test_an_unknown_name_is_an_attribute_error():
    assert not hasattr(opensoar, "playbok")
    with pytest.raises(ImportError, match="playbok"):
        from opensoar import playbok  # noqa: F401


@pytest.mark.parametrize("name", opensoar.__all__)
def test_each_name_has_a_heading_in_the_docs(name):
    headings = [line for line in DOCS.read_text().splitlines() if line.startswith("#")]
    assert any(f"`{name}`" in line or f"`@{name}`" in line for line in headings)


def test_the_package_is_this_repository_s():
    assert Path(opensoar.__file__).resolve() == ROOT / "opensoar" / "__init__.py"


def bare(code: str) -> str:
    """Run code in a Python that knows the repository and no settings."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={"PATH": "", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_importing_opensoar_loads_neither_django_nor_an_app():
    loaded = "[m for m in sys.modules if m.split('.')[0] in %r]"
    apps = ("django", "alerts", "incidents", "playbooks_engine")
    assert bare(f"import sys, opensoar; print({loaded % (apps,)})") == "[]\n"


def test_using_every_name_loads_no_django():
    code = "import sys\nfrom opensoar import *\nplaybook; action\nprint('django' in sys.modules)"
    assert bare(code) == "False\n"


def test_a_playbook_registers_and_runs_with_no_settings():
    code = """
import asyncio
from opensoar import action, playbook

@action(timeout=30, retries=2)
async def double(n): return 2 * n

@playbook(trigger="webhook", conditions={"severity": ["critical"]}, order=10)
async def bare(alert): return await double(alert["n"])

print(asyncio.run(bare({"n": 21})))
"""
    assert bare(code) == "42\n"


PUBLIC = {
    "playbook": [
        ("trigger", None),
        ("conditions", None),
        ("description", ""),
        ("name", None),
        ("order", 1000),
        ("priority", "default"),
    ],
    "action": [
        ("name", None),
        ("timeout", 300),
        ("retries", 0),
        ("retry_backoff", 1.0),
        ("description", ""),
    ],
    "get_current_alert_id": [],
    "update_current_alert": [
        ("status", None),
        ("determination", None),
        ("reason", None),
        ("partner", None),
        ("activity_action", None),
        ("activity_detail", None),
        ("activity_metadata", None),
    ],
    "resolve_current_alert": [
        ("determination", inspect.Parameter.empty),
        ("reason", None),
        ("partner", None),
        ("activity_action", None),
        ("activity_detail", None),
        ("activity_metadata", None),
    ],
    "add_current_alert_comment": [("text", inspect.Parameter.empty), ("metadata", None)],
    "assign_current_alert": [("analyst_id", None), ("username", None)],
}
#: What ours adds; each works, the rest of the list in the design comes with its engine part.
OURS = {
    "playbook": {
        "on_failure": "continue", "enabled": True, "aliases": (), "when": None, "cron": None, "timeout": None,
        "lane": None, "lane_hold": False, "max_concurrent": None,
    },
    "action": {"idempotent": None, "verify": None},
}  # fmt: skip
POSITIONAL = {"playbook": ["trigger"], "action": ["name"], "add_current_alert_comment": ["text"]}


@pytest.mark.parametrize("name", sorted(PUBLIC))
def test_signatures_are_the_public_ones_plus_ours(name):
    parameters = inspect.signature(getattr(opensoar, name)).parameters
    own = OURS.get(name, {})
    public = [(p.name, p.default) for p in parameters.values() if p.name not in own]
    assert public == PUBLIC[name]
    assert {key: parameters[key].default for key in own} == own
    positional = [p.name for p in parameters.values() if p.kind is p.POSITIONAL_OR_KEYWORD]
    assert positional == POSITIONAL.get(name, [])


def test_helpers_are_coroutines():
    plain = {
        "Approval",
        "action",
        "current_incident",
        "get_current_alert_id",
        "idempotency_key",
        "log",
        "playbook",
        "secret",
    }
    for name in set(opensoar.__all__) - plain:
        assert inspect.iscoroutinefunction(getattr(opensoar, name))
