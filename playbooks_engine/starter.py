"""Starts and resumes runs, many in one transaction."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from uuid import UUID

from playbooks_engine.batches import Batcher
from playbooks_engine.journal import Claim, LostClaim
from playbooks_engine.preparation import Job, next_jobs


class Starter(Batcher[Claim, Job | None]):
    """What each claimed sequence does next: its next run, ready to be executed; ``None`` when it is done."""

    def __init__(self, versions: Callable[[], Mapping[str, UUID]]) -> None:
        """``versions``: the version of every playbook that this process has loaded."""

        def start(claims: list[Claim]) -> list[Job | Exception | None]:
            jobs = next_jobs(claims, versions())
            return [jobs[c] if c in jobs else LostClaim(str(c.sequence_id)) for c in claims]

        super().__init__("starter", start)
