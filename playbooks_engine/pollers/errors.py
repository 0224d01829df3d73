"""What goes wrong with other people's servers."""

from __future__ import annotations


class VendorError(OSError):
    """The other side cannot be asked, or answers what cannot be used. The message is for people and has no secrets.

    ``status`` is that of its HTTP answer, ``retry_after`` the seconds it wants to be left alone.
    """

    def __init__(self, message: str, *, status: int = 0, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.retry_after = retry_after
