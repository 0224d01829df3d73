from dramatiq import Middleware


class EngineMiddleware(Middleware):  # type: ignore[misc]
    """Boots and stops the playbook engine inside a worker process."""
