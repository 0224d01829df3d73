"""What a Dramatiq worker process imports: the actors. A composition root; nothing imports it."""

import playbooks_engine.tasks  # noqa: F401
