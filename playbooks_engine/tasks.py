"""The one actor. Its message is a hint and carries no state: lost, doubled or late it is harmless."""

from __future__ import annotations

import dramatiq

from playbooks_engine.middleware import running_engine


@dramatiq.actor(queue_name="dispatch", time_limit=60_000)
def dispatch(hint: str) -> None:
    """Have this process's engine claim whatever is ready, most urgent first."""
    engine = running_engine()
    if engine is not None:
        engine.wake()
