"""PostgreSQL and Valkey from their wheels, run beside the product: the same engines as in production."""

from __future__ import annotations

from opensoar.embedded.process import ProcessFailed
from opensoar.embedded.stack import Embedded, Urls

__all__ = ["Embedded", "ProcessFailed", "Urls"]
