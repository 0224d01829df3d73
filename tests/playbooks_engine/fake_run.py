"""A run context for tests: keeps what a playbook asked of the engine, answers from a script."""

import uuid
from contextlib import contextmanager

from playbooks_engine.context import current_run

EMPTY_HISTORY = {
    "window_days": 90,
    "alerts": 0,
    "by_determination": {"unknown": 0, "malicious": 0, "suspicious": 0, "benign": 0},
    "by_severity": {},
    "first_seen": None,
    "last_seen": None,
    "incidents": 0,
    "recent_incidents": [],
    "users": [],
    "addresses": [],
}


class FakeRun:
    def __init__(self, alert_id="0198f000-0000-7000-8000-000000000001", answers=None):
        self.alert_id = alert_id
        self.incident = None
        self.answers = answers or {}
        self.actions = []
        self.helpers = []

    async def call_action(self, spec, args, kwargs):
        self.actions.append((spec.name, args, kwargs))
        if spec.is_async:
            return await spec.func(*args, **kwargs)
        return spec.func(*args, **kwargs)

    async def call_helper(self, name, arguments):
        self.helpers.append((name, arguments))
        if name in self.answers:
            return self.answers[name]
        if name in ("ip_history", "host_history"):
            return {**EMPTY_HISTORY, "subject": next(iter(arguments.values()))}
        if name == "add_current_alert_comment":
            comment_id = str(uuid.uuid4())
            return {
                "alert_id": self.alert_id,
                "comment_id": comment_id,
                "action": "comment",
                "detail": arguments["text"],
            }
        return {"alert_id": self.alert_id, **arguments}

    def hidden(self, text):
        return text

    @property
    def comments(self):
        return [a["text"] for name, a in self.helpers if name == "add_current_alert_comment"]

    @contextmanager
    def current(self):
        token = current_run.set(self)
        try:
            yield self
        finally:
            current_run.reset(token)
