"""The runs of one claimed sequence, one after the other, on the event loop."""

from __future__ import annotations

import asyncio
import functools
import logging
import random
import uuid
from collections.abc import Callable
from contextvars import copy_context
from datetime import datetime
from typing import TYPE_CHECKING, Any

import orjson

from opensoar.timeline import Draft
from playbooks_engine import rows, turns
from playbooks_engine.alert import Alert
from playbooks_engine.codec import encode_result, format_traceback, said, storable, storable_json
from playbooks_engine.context import current_run
from playbooks_engine.failpoints import reached
from playbooks_engine.incident import Incident, Observable
from playbooks_engine.journal import CONNECTION_ERRORS, Claim, LostClaim, Write
from playbooks_engine.preparation import MAX_SLOT_SECONDS, SLOT_SECONDS, Job, cancelled_text
from playbooks_engine.run_parts import Detached, Question, calls_behind
from playbooks_engine.runner import LiveRun
from playbooks_engine.timeline_kinds import PlaybookFinished

if TYPE_CHECKING:
    from playbooks_engine.worker import Engine

logger = logging.getLogger(__name__)
SUBJECTS: dict[str, Any] = {"alert": Alert, "incident": Incident, "observable": Observable}


class Execution:
    """One claim of one sequence."""

    def __init__(self, engine: Engine, claim: Claim) -> None:
        self.engine = engine
        self.claim = claim

    async def run(self) -> None:
        """Until the sequence is done, waits, is held, is somebody else's, or this process drains."""
        engine = self.engine
        try:
            while not engine.is_draining:
                job = await asyncio.wrap_future(engine.starter.submit(self.claim))
                if job is None or not await self._job(job) or job.is_last:
                    return
        except LostClaim:
            logger.info("sequence %s is somebody else's now", self.claim.sequence_id)
        except CONNECTION_ERRORS as error:
            logger.warning("sequence %s let go, the database is away: %s", self.claim.sequence_id, error)
            await engine.give_back(self.claim)
        except Exception:
            logger.exception("sequence %s let go", self.claim.sequence_id)
            await engine.give_back(self.claim, failed=True)

    async def _job(self, job: Job) -> bool:
        """Execute one run to its end; False when the sequence must not go on here (parked, held, let go, lost)."""
        if job.no_slot:
            pause = min(SLOT_SECONDS * 1.3 ** min(job.claims, 50), MAX_SLOT_SECONDS)
            await self._park(
                job, self.engine.in_seconds(pause * random.uniform(0.8, 1.2)), turns.NO_SLOT, keep=True
            )
            return False
        if job.question is not None or job.refusal_state == "needs_attention":
            question = job.question or Question(reason="source_gone", text=job.refusal, choices=("cancel",))
            await self._hold(job, question)
            return False
        if job.refusal or job.spec is None:
            await self._end(job, job.refusal_state, error=job.refusal, left=True)
            return True
        live = LiveRun(
            services=self.engine, claim=job.claim, run_id=job.run_id, alert_id=job.alert_id, actor=job.actor,
            journal=job.journal, namespace=getattr(job.spec.func, "__globals__", {}),
            incident=job.subject if job.subject_kind == "incident" else None, incident_id=job.incident_id,
            secrets=job.secrets, name=job.name,
        )  # fmt: skip
        self.engine.live[job.run_id] = live
        limit = self._limit(job, live)
        try:
            return await self._execute(job, live)
        finally:
            if limit is not None:
                limit.cancel()
            self.engine.live.pop(job.run_id, None)

    def _limit(self, job: Job, live: LiveRun) -> asyncio.TimerHandle | None:
        """The playbook's own timeout; it counts from the run's first start."""
        if job.deadline is None:
            return None
        seconds = max(self.engine.seconds_until(job.deadline), 0)
        return self.engine.loop.call_later(seconds, live.end_as, "timed_out")

    async def _execute(self, job: Job, live: LiveRun) -> bool:
        spec = job.spec
        assert spec is not None
        kind = SUBJECTS.get(job.subject_kind)
        subject = kind(job.subject) if kind and job.subject else job.subject
        try:
            if spec.when is not None and not job.resumed and not _decides(live, spec.when, subject):
                await self._end(job, "skipped", error="The playbook's when= condition is not met.")
                return True
            named = {job.subject_kind: subject, "input": job.input}
            single = subject if subject is not None else job.input if job.input is not None else {}
            body = functools.partial(spec.func, **spec.bind(single, named))
            value = await live.execute(body)
            result = live.mask.json(encode_result(f"playbook {job.name!r}", value))
        except Detached:
            return await self._let_go(job, live)
        except LostClaim:
            raise
        except BaseException as error:
            if self.engine.is_draining and live.lost:
                return False
            message = said(error)
            text = f"{type(error).__name__}: {message}" if message else type(error).__name__
            await self._end(
                job, "failed", error=live.mask.text(text), traceback=live.mask.text(format_traceback(error)),
                behind=calls_behind(live.failures, error), left=bool(live.open_calls),
            )  # fmt: skip
            return True
        await self._end(job, "success", result=result, left=bool(live.open_calls))
        return True

    async def _let_go(self, job: Job, live: LiveRun) -> bool:
        """The run was detached: why, and what becomes of it."""
        if live.lost:
            return False
        if live.question is not None:
            await self._hold(job, live.question)
            return False
        if live.ended_as == "parked":
            assert job.spec is not None
            until = live.parked_until if job.deadline is None else min(live.parked_until, job.deadline)
            await self._park(job, until, live.parked_for, keep=job.spec.lane_hold)
            return False
        if live.ended_as in ("disconnected", "broken"):
            await self.engine.give_back(self.claim, failed=live.ended_as == "broken")
            return False
        if live.ended_as == "cancelled":
            await self._end(job, "cancelled", error=cancelled_text(live.cancelled_by), left=True)
            return True
        assert job.spec is not None
        error = f"The run took longer than its timeout of {job.spec.timeout:g} s."
        await self._end(job, "failed", error=error, left=True)
        return True

    # --- what is stored ----------------------------------------------------------------------------------------

    async def _end(
        self, job: Job, state: str, *, result: str | None = None, error: str = "", traceback: str = "",
        behind: list[str] | None = None, left: bool = False,
    ) -> None:  # fmt: skip
        """The run's final state; with it, in one transaction, the sequence's end when nothing is left to run."""
        now = rows.utcnow()
        statements: list[rows.Statement] = [
            (rows.FINISH_RUN, (state, result, storable(error), storable(traceback), now, job.run_id))
        ]
        statements += [(rows.ENDED_RUN, (job.run_id, key)) for key in behind or ()]
        if left:
            statements += rows.left(job.run_id)
        stops = state == "failed" and job.spec is not None and job.spec.on_failure == "stop"
        if stops and not job.is_last:
            reason = f"{job.name!r} failed and is declared on_failure='stop'."
            statements.append((rows.SKIP_REST, (reason, now, job.claim.sequence_id)))
            job.is_last = True
        if job.is_last:
            ended = "cancelled" if state == "cancelled" and job.total == 1 else "done"
            statements.append((rows.FINISH_SEQUENCE, (ended, now, job.claim.sequence_id)))
        await self._write(job, statements, state, error, leaves=job.lanes if job.is_last else ())

    async def _park(self, job: Job, until: datetime, why: str, *, keep: bool) -> None:
        """The sequence waits and leaves no trace in this process; unless it keeps its lanes, others have their turn."""
        reached("park.before", job.name)
        statements: list[rows.Statement] = [
            (rows.PARK_RUN, (job.run_id,)),
            (rows.PARK_SEQUENCE, (why, job.run_id, job.run_id, until, job.claim.sequence_id)),
        ]
        await self._store(job, Write(job.claim, statements, leaves=() if keep else job.lanes))
        self.engine.parked_until(until)

    async def _hold(self, job: Job, question: Question) -> None:
        """The run waits for a person, the sequence is held, nothing of it stays in this process."""
        asked = orjson.dumps(
            {
                "reason": question.reason, "text": storable(question.text), "choices": question.choices,
                "call_id": question.call_id, "detail": question.detail,
            }
        ).decode()  # fmt: skip
        statements: list[rows.Statement] = [
            (rows.HOLD_RUN, (storable_json(asked), job.run_id)),
            (rows.HOLD_SEQUENCE, (job.claim.sequence_id,)),
        ]
        if question.call_id and question.reason == "unknown_outcome":
            statements.append((rows.MARK_UNKNOWN, (uuid.UUID(question.call_id),)))
            statements.append((rows.ATTEMPTS_UNKNOWN, (uuid.UUID(question.call_id),)))
        await self._write(job, statements, "needs_attention", question.text)

    async def _write(
        self, job: Job, statements: list[rows.Statement], state: str, error: str,
        *, leaves: tuple[str, ...] = (),
    ) -> None:  # fmt: skip
        kind = PlaybookFinished(
            playbook=job.name, run_id=str(job.run_id), state=state, position=job.position, total=job.total,
            error=storable(error)[:500] or None,
        )  # fmt: skip
        entry = (job.alert_id, Draft(kind=kind, actor=job.actor)) if job.alert_id else None
        reached("finish.before", job.name)
        await self._store(job, Write(job.claim, statements, entry, leaves))
        reached("finish.after", job.name)

    async def _store(self, job: Job, write: Write) -> None:
        await asyncio.wrap_future(self.engine.submit(write))
        # Whoever gives a slot up and whoever waits for one looks once its own state is committed: one of the two sees
        # the other, whichever came first.
        if job.spec is not None and job.spec.max_concurrent is not None:
            give = functools.partial(turns.give_slots, job.playbook_id, job.spec.max_concurrent)
            if await self.engine.in_helper_thread(give):
                self.engine.parked_until(self.engine.in_seconds(0))


def _decides(live: LiveRun, when: Callable[[Any], object], subject: Any) -> bool:
    """What ``when=`` says, under the run's name: should it block the loop, the watchdog knows whose it is."""

    def ask() -> bool:
        current_run.set(live)
        return bool(when(subject))

    return copy_context().run(ask)
