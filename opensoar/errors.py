"""What a service says no with. Every door (page, API, helper, command) turns these into its own kind of answer."""

from __future__ import annotations


class ServiceError(Exception):
    """A refusal with a sentence for people (``detail``) and the HTTP status that says the same."""

    status = 400

    def __init__(self, detail: str, *, status: int | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        if status is not None:
            self.status = status


class Invalid(ServiceError):
    """What was asked makes no sense; ``field`` names the argument at fault where there is one."""

    status = 422

    def __init__(self, detail: str, *, field: str | None = None, status: int | None = None) -> None:
        super().__init__(detail, status=status)
        self.field = field


class NotAuthenticated(ServiceError):
    """Credentials are missing or wrong."""

    status = 401


class NotAllowed(ServiceError):
    """The actor lacks the right."""

    status = 403


class NotFound(ServiceError):
    """There is no such thing, or none that the actor may know of."""

    status = 404


class Conflict(ServiceError):
    """The state of things forbids it: somebody was faster, or it is so already."""

    status = 409


class Stale(ServiceError):
    """The object changed since the caller read it. ``expected`` is what the caller had, ``current`` what is stored."""

    status = 412

    def __init__(self, detail: str, *, expected: int, current: int) -> None:
        super().__init__(detail)
        self.expected = expected
        self.current = current


class TooMany(ServiceError):
    """Asked too often; worth another try after ``retry_after`` seconds."""

    status = 429

    def __init__(self, detail: str, *, retry_after: int) -> None:
        super().__init__(detail)
        self.retry_after = retry_after


class NotNow(TooMany):
    """Nothing can be stored just now; worth another try likewise."""

    status = 503
