"""What must hold in the end, whatever was killed: judged by the simulator's ledger, not by what the engine says."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg

POSITIONS = {"gathers": 1, "catches": 2, "waits": 3}
ONCE = ("once", "verified")
CLOCKS = 0.005  # seconds by which PostgreSQL's and the simulator's reading of one clock may differ
NO_CALL: dict[str, Any] = {"intents": []}


def in_order(first: str, then: str) -> bool:
    """Whether ``first`` may come before ``then``: False only where the playbook says otherwise.

    Labels are ``alert/position/path``; the first component that differs decides: numbers are steps in order, names
    are branches that run at once.
    """
    for a, b in zip(first.split("/"), then.split("/"), strict=False):
        if a != b:
            return not (a.isdigit() and b.isdigit()) or int(a) < int(b)
    return True


@dataclass
class Record:
    """What a finished run of the harness left behind."""

    root: Path
    ledger: list[dict[str, Any]]
    pauses: list[tuple[int, float, float]] = field(default_factory=list)  # pid, from, until
    polled: dict[str, list[str]] = field(default_factory=dict)  # what the poller saw
    faults: bool = True
    calls: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def effects(self) -> list[dict[str, Any]]:
        return [entry for entry in self.ledger if entry["kind"] == "effect"]

    def is_stale(self, effect: dict[str, Any]) -> bool:
        """Sent by a process that was held between its intent and the send: the one hole that is documented."""
        own = [
            at
            for at, pid in self.calls.get(effect["label"], NO_CALL)["intents"]
            if pid == effect["pid"] and at <= effect["arrived"] + CLOCKS
        ]
        allowed_at = max(own, default=effect["began"])
        return any(
            pid == effect["pid"] and since <= effect["arrived"] and until >= allowed_at - CLOCKS
            for pid, since, until in self.pauses
        )

    def lines(self, name: str) -> list[str]:
        path = self.root / name
        return path.read_text().splitlines() if path.exists() else []


def read_ledger(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def verdict(connection: psycopg.Connection[Any], record: Record) -> dict[str, list[str]]:
    """Violations by invariant; an empty list where it held."""
    calls = record.calls = _calls(connection)
    effects: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for effect in record.effects:
        effects[effect["label"]].append(effect)
    answers = [json.loads(line) for line in record.lines("answers")]
    found = {
        "acknowledged alerts lost": _lost(connection, record),
        "one run per matching playbook": _runs(connection),
        "(run, key) with two effects": [
            v for label in effects for v in _doubled(record, label, effects[label], calls.get(label))
        ],
        "success without effect": [
            label for label, call in calls.items() if call["state"] == "success" and label not in effects
        ],
        "effect without earlier intent": [v for label in effects for v in _unannounced(effects[label], calls.get(label))],
        "effects out of order": list(_disorder(record)),
        "branch taken twice": _both_sides(effects),
        "results swapped": list(_swapped(connection)),
        "helpers done twice": _comments(connection),
        "writes with a stale fence": [str(row) for row in connection.execute("SELECT * FROM chaos_stale")],
        "sequences not at rest": [
            str(row)
            for row in connection.execute(
                "SELECT id, state FROM playbooks_engine_sequence WHERE state NOT IN ('done', 'waiting', 'held')"
            )
        ],
        "runs in no final state": [
            str(row)
            for row in connection.execute(
                "SELECT id, state, question->>'reason' FROM playbooks_engine_playbookrun "
                "WHERE state NOT IN ('success', 'failed')"
            )
        ],
        "runs that failed for another reason than theirs": _failures(connection, record.faults),
        "questions nobody should be asked": [
            str(answer) for answer in answers if answer["reason"] not in ("unknown_outcome", "worker_died")
        ],
    }  # fmt: skip
    return found | record.polled


def replays(record: Record) -> int:
    """Lives beyond the first, without those that a run begins when it was parked and wakes (see roles.sender)."""
    starts = Counter((e["source_id"], e["playbook"]) for e in record.ledger if e["kind"] == "start")
    parked = {key for key in starts if key[1] == "waits" and int(key[0][1:]) % 8 == 0}
    return sum(max(0, n - 1 - (key in parked)) for key, n in starts.items())


def _calls(connection: psycopg.Connection[Any]) -> dict[str, dict[str, Any]]:
    """The journal's lines of actions by label, with the moments at which their intents became durable."""
    rows = connection.execute(
        "SELECT c.input::jsonb->>'label', c.state, c.repeated, c.name, c.idempotent, "
        "coalesce((SELECT json_agg(json_build_array(extract(epoch FROM pg_xact_commit_timestamp(i.xid)), i.pid)) "
        " FROM chaos_intent i WHERE i.call_id = c.id), '[]'), "
        "(SELECT count(*) FROM playbooks_engine_actionattempt a WHERE a.call_id = c.id AND a.state = 'failed'), "
        "c.idempotency_key::text FROM playbooks_engine_actionresult c WHERE c.kind = 'action'"
    )
    names = ("state", "repeated", "name", "idempotent", "intents", "failures", "key")
    return {row[0]: dict(zip(names, row[1:], strict=True)) for row in rows}


def _lost(connection: psycopg.Connection[Any], record: Record) -> list[str]:
    stored = {
        source_id: str(alert_id)
        for alert_id, source_id in connection.execute("SELECT id, source_id FROM alerts_alert")
    }
    return [line for line in record.lines("acknowledged") if stored.get(line.split()[0]) != line.split()[1]]


def _runs(connection: psycopg.Connection[Any]) -> list[str]:
    rows = connection.execute(
        "SELECT a.source_id, array_remove(array_agg(p.name ORDER BY r.position), NULL) FROM alerts_alert a "
        "LEFT JOIN playbooks_engine_sequence s ON s.alert_id = a.id "
        "LEFT JOIN playbooks_engine_playbookrun r ON r.sequence_id = s.id "
        "LEFT JOIN playbooks_engine_playbook p ON p.id = r.playbook_id GROUP BY a.id"
    )
    return [f"{source_id}: {names}" for source_id, names in rows if names != list(POSITIONS)]


def _doubled(
    record: Record, label: str, effects: list[dict[str, Any]], call: dict[str, Any] | None
) -> Iterator[str]:
    """One key for all. More than one effect only of what may be repeated: by the author's retries, else marked."""
    if call is None:
        yield f"{label}: {len(effects)} effects without a call"
        return
    if {effect["key"] for effect in effects} != {call["key"]}:
        yield f"{label}: called with {[effect['key'] for effect in effects]} and not with {call['key']}"
    certain = [effect for effect in effects if not record.is_stale(effect)]
    if len(certain) > 1 and certain[0]["action"] in ONCE:
        yield f"{label}: {len(certain)} effects by {[effect['pid'] for effect in certain]}, {call}"
    elif len(certain) > len(call["intents"]) or (
        len(certain) - 1 > call["failures"] and not call["repeated"]
    ):
        yield f"{label}: {len(certain)} effects unmarked, {call}"


def _unannounced(effects: list[dict[str, Any]], call: dict[str, Any] | None) -> Iterator[str]:
    """Only what is declared idempotent=True may reach the target while its intent is still being stored."""
    for number, effect in enumerate(effects, 1):
        if effect["action"] == "idem":
            continue
        earlier = [at for at, _ in (call or NO_CALL)["intents"] if at <= effect["arrived"] + CLOCKS]
        if len(earlier) < number:
            yield f"{effect['label']}: effect {number} with {len(earlier)} intents before it"


def _disorder(record: Record) -> Iterator[str]:
    by_alert: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for effect in record.effects:
        if not record.is_stale(effect):
            by_alert[effect["label"].split("/")[0]].append(effect)
    for effects in by_alert.values():
        seen: list[str] = []
        for effect in effects:
            for earlier in seen:
                if not in_order(earlier, effect["label"]):
                    yield f"{effect['label']} after {earlier}"
            seen.append(effect["label"])


def _both_sides(effects: Iterable[str]) -> list[str]:
    sides: dict[str, set[str]] = defaultdict(set)
    for label in effects:
        parts = label.split("/")
        if "even" in parts or "odd" in parts:
            sides["/".join(parts[:2])].add(parts[3])
    return [alert for alert, taken in sides.items() if len(taken) > 1]


def _swapped(connection: psycopg.Connection[Any]) -> Iterator[str]:
    """Every gathered branch must have got its own results, in whichever life they were made."""
    rows = connection.execute(
        "SELECT a.source_id, r.result::jsonb FROM playbooks_engine_playbookrun r "
        "JOIN playbooks_engine_sequence s ON s.id = r.sequence_id JOIN alerts_alert a ON a.id = s.alert_id "
        "WHERE r.position = 1 AND r.state = 'success'"
    )
    for source_id, result in rows:
        at = f"{source_id}/1/2"
        nested = [[f"{at}/n/1/{name}/{n}" for n in (1, 2)] for name in "xyz"] + [
            [f"{at}/n/2/{n}/1"] for n in "pq"
        ]
        flat = [*([f"{at}/b{n}/1"] for n in range(6)), nested, [f"{at}/c/1", f"{at}/c/2"]]
        if result != [f"{source_id}/1/1", flat]:
            yield f"{source_id}: {result}"


def _comments(connection: psycopg.Connection[Any]) -> list[str]:
    rows = connection.execute(
        "SELECT a.source_id, count(*) FROM alerts_alertentry e JOIN alerts_alert a ON a.id = e.subject_id "
        "WHERE e.action = 'comment' GROUP BY a.id HAVING count(*) > 1"
    )
    return [str(row) for row in rows]


def _failures(connection: psycopg.Connection[Any], faults: bool) -> list[str]:
    """What the playbooks raise themselves, and targets that refused to the last; nothing of the engine's."""
    expected = ["ValueError: a third of them fails here"]
    if faults:
        expected += ["Refused: refused", "ConnectionResetError: the answer was lost", "TimeoutError: action "]
        expected += [
            "ConnectionResetError: [Errno 104]",
            "BrokenPipeError:",
            "ExceptionGroup: unhandled errors in a TaskGroup",
        ]
    rows = connection.execute("SELECT id, error FROM playbooks_engine_playbookrun WHERE state = 'failed'")
    return [f"{run_id}: {error}" for run_id, error in rows if not error.startswith(tuple(expected))]
