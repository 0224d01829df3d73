"""The statements that the journal stores, each in one place."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID, uuid5

from opensoar import clock
from opensoar.ids import uuid7
from playbooks_engine.codec import LARGE, digest
from playbooks_engine.journal import Claim
from playbooks_engine.journal import Statement as Statement

INSERT_CALL = """
INSERT INTO playbooks_engine_actionresult
    (id, run_id, key, kind, name, args_digest, input, large, error, state, attempts, repeated, ended_run, decision,
     idempotent, idempotency_key, wake_at, started_at)
VALUES (%s, %s, %s, %s, %s, %s, %s, false, '', 'started', 1, false, false, '', %s, %s, %s, %s)
ON CONFLICT (run_id, key) DO NOTHING"""
INSERT_DONE = """
INSERT INTO playbooks_engine_actionresult
    (id, run_id, key, kind, name, args_digest, input, state, output, large, error, attempts, repeated, ended_run, decision,
     idempotent, idempotency_key, wake_at, started_at, finished_at)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, '', 1, false, false, '', %s, %s, %s, %s, %s)"""
ATTEMPT_DONE = """
INSERT INTO playbooks_engine_actionattempt
    (id, call_id, run_id, number, worker_id, fence, state, error, started_at, finished_at)
VALUES (%s, %s, %s, %s, %s, %s, 'success', '', %s, %s)"""
CALL_AGAIN = """
UPDATE playbooks_engine_actionresult
SET state = 'started', attempts = %s, repeated = repeated OR %s, decision = '', wake_at = NULL WHERE id = %s"""
CALL_WAITS = "UPDATE playbooks_engine_actionresult SET wake_at = %s WHERE id = %s"
INSERT_ATTEMPT = """
INSERT INTO playbooks_engine_actionattempt (id, call_id, run_id, number, worker_id, fence, state, error, started_at)
VALUES (%s, %s, %s, %s, %s, %s, 'started', '', %s) ON CONFLICT (id) DO NOTHING"""
FINISH_ATTEMPT = """
UPDATE playbooks_engine_actionattempt SET state = %s, error = %s, finished_at = %s WHERE id = %s"""
FINISH_CALL = """
UPDATE playbooks_engine_actionresult
SET state = %s, output = %s, large = %s, error = %s, error_value = %s, finished_at = %s WHERE id = %s"""
INSERT_OUTPUT = (
    "INSERT INTO playbooks_engine_calloutput (id, data) VALUES (%s, %s) ON CONFLICT (id) DO NOTHING"
)
FINISH_RUN = """
UPDATE playbooks_engine_playbookrun
SET state = %s, result = %s, error = %s, traceback = %s, finished_at = %s
WHERE id = %s AND state IN ('pending', 'running')"""
SKIP_REST = """
UPDATE playbooks_engine_playbookrun
SET state = 'skipped', error = %s, finished_at = %s WHERE sequence_id = %s AND state = 'pending'"""
FINISH_SEQUENCE = """
UPDATE playbooks_engine_sequence SET state = %s, claimed_by = NULL, finished_at = %s WHERE id = %s"""
# What a run that ended left under way: it is never called again, and nobody knows what became of it.
LEFT_ATTEMPTS = """
UPDATE playbooks_engine_actionattempt SET state = 'unknown' WHERE state = 'started' AND call_id IN
    (SELECT id FROM playbooks_engine_actionresult WHERE run_id = %s AND state = 'started')"""
LEFT_CALLS = """
UPDATE playbooks_engine_actionresult SET state = 'unknown' WHERE run_id = %s AND state = 'started'"""
LEFT_APPROVALS = """
UPDATE playbooks_engine_approval SET state = 'cancelled' WHERE run_id = %s AND state = 'pending'"""
ENDED_RUN = """
UPDATE playbooks_engine_actionresult SET ended_run = true WHERE run_id = %s AND key = %s AND state = 'failed'"""
INSERT_APPROVAL = """
INSERT INTO playbooks_engine_approval (id, run_id, summary, of, policy, state, on_timeout, expires_at, decided_kind,
    decided_name, comment, created_at)
VALUES (%s, %s, %s, %s, %s, 'pending', %s, %s, '', '', '', %s) ON CONFLICT (id) DO NOTHING"""
INSERT_LOG = """
INSERT INTO playbooks_engine_runlog (id, run_id, key, level, text, at) VALUES (%s, %s, %s, %s, %s, %s)
ON CONFLICT (run_id, key) DO NOTHING"""
PARK_RUN = "UPDATE playbooks_engine_playbookrun SET state = 'waiting' WHERE id = %s AND state = 'running'"
# What a person did a moment ago, while the run was still here, must not wait for a timer.
PARK_SEQUENCE = """
UPDATE playbooks_engine_sequence SET state = 'waiting', claimed_by = NULL, waits_for = %s,
    wake_at = CASE WHEN EXISTS (
        SELECT 1 FROM playbooks_engine_playbookrun WHERE id = %s AND cancel_requested_at IS NOT NULL
    ) OR EXISTS (
        SELECT 1 FROM playbooks_engine_approval a JOIN playbooks_engine_actionresult c ON c.id = a.id
        WHERE a.run_id = %s AND a.state <> 'pending' AND c.state = 'started'
    ) THEN now() ELSE %s END
WHERE id = %s"""
HOLD_RUN = """
UPDATE playbooks_engine_playbookrun SET state = 'needs_attention', question = %s::jsonb WHERE id = %s"""
HOLD_SEQUENCE = "UPDATE playbooks_engine_sequence SET state = 'held', claimed_by = NULL WHERE id = %s"
MARK_UNKNOWN = "UPDATE playbooks_engine_actionresult SET state = 'unknown' WHERE id = %s"
ATTEMPTS_UNKNOWN = """
UPDATE playbooks_engine_actionattempt SET state = 'unknown' WHERE call_id = %s AND state = 'started'"""
ATTEMPTS_GIVEN_UP = """
UPDATE playbooks_engine_actionattempt SET state = 'failed', error = 'given up by the playbook', finished_at = %s
WHERE call_id = %s AND state = 'started'"""
APPROVAL_GIVEN_UP = """
UPDATE playbooks_engine_approval SET state = 'cancelled' WHERE id = %s AND state = 'pending'"""
ATTEMPTS_VERIFIED = """
UPDATE playbooks_engine_actionattempt SET state = 'success', finished_at = %s
WHERE call_id = %s AND state IN ('started', 'unknown')"""


@dataclass(frozen=True, slots=True)
class NewCall:
    """A journal line about to be written."""

    id: UUID
    key: str
    idempotency_key: UUID
    insert: Statement

    @classmethod
    def make(
        cls, run_id: UUID, key: str, kind: str, name: str, encoded: str, *,
        idempotent: bool | None = None, wake_at: datetime | None = None,
    ) -> NewCall:  # fmt: skip
        """The row of a call of ``run_id`` that was not made before."""
        call_id, repeats = uuid7(), idempotency_key(run_id, key)
        row = (
            call_id, run_id, key, kind, name, digest(encoded), encoded, idempotent, repeats, wake_at, utcnow(),
        )  # fmt: skip
        return cls(call_id, key, repeats, (INSERT_CALL, row))


def idempotency_key(run_id: UUID, key: str) -> UUID:
    """What every repeat of a call carries, in whatever process."""
    return uuid5(run_id, key)


def utcnow() -> datetime:
    """Now, aware."""
    return clock.now()


def log_line(run_id: UUID, key: str, level: str, text: str) -> Statement:
    """A line that the playbook logged."""
    return (INSERT_LOG, (uuid7(), run_id, key, level[:10], text, utcnow()))


def left(run_id: UUID) -> list[Statement]:
    """What a run leaves under way when it ends: nothing calls it again."""
    return [(LEFT_ATTEMPTS, (run_id,)), (LEFT_CALLS, (run_id,)), (LEFT_APPROVALS, (run_id,))]


def done(claim: Claim, run_id: UUID, call: NewCall, output: str) -> list[Statement]:
    """A call that is recorded in the transaction of its own effect: the line, its outcome and its only attempt."""
    now = utcnow()
    large = len(output) > LARGE
    row = (*call.insert[1][:7], "success", None if large else output, large, *call.insert[1][7:], now)
    tried = (uuid7(), call.id, run_id, 1, claim.worker_id, claim.fence, now, now)
    statements: list[Statement] = [(INSERT_DONE, row), (ATTEMPT_DONE, tried)]
    if large:
        statements.append((INSERT_OUTPUT, (call.id, output)))
    return statements


def attempt(claim: Claim, run_id: UUID, call_id: UUID, number: int) -> tuple[UUID, Statement]:
    """A new attempt row and its id."""
    attempt_id = uuid7()
    row = (attempt_id, call_id, run_id, number, claim.worker_id, claim.fence, utcnow())
    return attempt_id, (INSERT_ATTEMPT, row)


def outcome(
    call_id: UUID, attempt_id: UUID | None, *, output: str | None, error: str, error_value: str | None
) -> list[Statement]:
    """A call's final outcome and its last attempt's (a wait has none)."""
    now = utcnow()
    state = "failed" if error_value else "success"
    large = output is not None and len(output) > LARGE
    statements: list[Statement] = [
        (FINISH_CALL, (state, None if large else output, large, error, error_value, now, call_id))
    ]
    if attempt_id is not None:
        statements.append((FINISH_ATTEMPT, (state, error, now, attempt_id)))
    if large and output is not None:
        statements.append((INSERT_OUTPUT, (call_id, output)))
    return statements
