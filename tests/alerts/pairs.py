"""The captured payloads under ``sources/<slug>/`` and what each is expected to become."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path
from typing import Any

from alerts.sources.base import NormalisedAlert

ROOT = Path(__file__).parent / "sources"
# Where a payload comes from. In ORIGINS.json each says ``from`` where, and what was ``changed`` of a public one.
PUBLIC = frozenset({"vendor documentation", "public sample"})
OURS = "written by us"  # no page or repository is its model, or which one is not known any more
ORIGINS = PUBLIC | {"written by us from the documented fields", OURS}


def pairs(slug: str) -> list[tuple[Path, Path]]:
    """Each ``<name>.in.json`` of a source with its ``<name>.out.json``, whether or not that exists."""
    return [
        (path, path.with_name(path.name.replace(".in.json", ".out.json")))
        for path in sorted((ROOT / slug).glob("*.in.json"))
    ]


def name_of(given: Path) -> str:
    """A pair's name, without the endings of its files."""
    return given.name.removesuffix(".in.json")


def origins() -> dict[str, dict[str, dict[str, str]]]:
    """What ``ORIGINS.json`` says of each pair of each source."""
    found: dict[str, dict[str, dict[str, str]]] = json.loads((ROOT / "ORIGINS.json").read_text())
    return found


def as_json(alert: NormalisedAlert) -> dict[str, Any]:
    """An alert as an ``.out.json`` writes it. ``normalized`` repeats the other fields and is left out."""
    plain: dict[str, Any] = {field.name: getattr(alert, field.name) for field in fields(alert)}
    del plain["normalized"]
    for rare in ("resolved", "only_closes", "rule_id"):
        if not plain[rare]:
            del plain[rare]
    plain["event_at"] = alert.event_at.isoformat() if alert.event_at else None
    plain["observables"] = [
        f"{o.type} {o.value}{' (internal)' if o.internal else ''} @ {o.field}" for o in alert.observables
    ]
    return json.loads(json.dumps(plain))
