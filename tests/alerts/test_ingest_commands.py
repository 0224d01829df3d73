"""manage.py ingest and replay_deliveries."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from alerts.models import Alert, Delivery
from tests import databases
from tests.factories import make_partner

pytestmark = pytest.mark.usefixtures("fresh_database")


def run(*args: Any, **options: Any) -> str:
    out = io.StringIO()
    call_command(*args, stdout=out, stderr=io.StringIO(), **options)
    return out.getvalue().strip()


def test_ndjson(tmp_path: Path) -> None:
    file = tmp_path / "alerts.ndjson"
    lines = [json.dumps({"id": n, "title": f"t{n}"}) for n in range(600)]
    file.write_text("\n".join([*lines, "", "nonsense", lines[0]]) + "\n")
    assert run("ingest", file) == "600 accepted, 1 duplicate, 1 quarantined"
    assert json.loads(run("ingest", file, json=True)) == {"duplicate": 601, "quarantined": 1}
    assert bytes(Delivery.objects.order_by("id")[0].body) == lines[0].encode()


@pytest.mark.parametrize(
    ("content", "titles"),
    [
        ('{\n  "title": "pretty",\n  "id": 1\n}', ["pretty"]),
        ('[{"title": "a"},\n {"title": "b"}]', ["a", "b"]),
        ('{"title": "one line"}', ["one line"]),
        ("CEF:0|v|p|1|7|worm|9|src=1.2.3.4\nCEF:0|v|p|1|8|virus|9|src=1.2.3.4\n", ["virus", "worm"]),
        ('{"alerts": [{"title": "a"}, {"title": "b"}]}', ["a", "b"]),
    ],
)
def test_other_forms(tmp_path: Path, content: str, titles: list[str]) -> None:
    file = tmp_path / "alerts"
    file.write_text(content)
    run("ingest", file)
    assert sorted(Alert.objects.values_list("title", flat=True)) == titles


def test_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b'{"title": "t"}\n{"title": "u"}\n')))
    assert run("ingest", "-") == "2 accepted"


def test_source_and_partner_are_fixed(tmp_path: Path) -> None:
    make_partner("acme")
    file = tmp_path / "alerts"
    file.write_text('{"title": "t", "source": "edr", "tenant": "globex"}')
    run("ingest", file, source="siem", partner="acme")
    alert = Alert.objects.get()
    assert (alert.source, alert.partner.slug) == ("siem", "acme")


def test_what_cannot_be_done_is_said(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="No such file"):
        run("ingest", tmp_path / "missing")
    file = tmp_path / "alerts"
    file.write_text('{"title": "t"}')
    with (
        databases.switched_to(HOST="127.0.0.1", PORT="1"),
        pytest.raises(CommandError, match="send it again"),
    ):
        run("ingest", file)


def test_replay(tmp_path: Path) -> None:
    file = tmp_path / "alerts"
    file.write_text('nonsense\n{"title": "t"}\n')
    assert run("ingest", file) == "1 quarantined"
    assert run("replay_deliveries", dry_run=True) == "1 quarantined"
    assert json.loads(run("replay_deliveries", json=True)) == {"quarantined": 1}
    assert run("replay_deliveries", source="other") == "nothing"
    assert run("replay_deliveries", str(Delivery.objects.get().pk)) == "1 quarantined"
