"""Kinds of connectors whose alerts are fetched.

A kind is a module of this package, named in :data:`_MODULES`; it is imported when it is first asked for.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playbooks_engine.pollers.base import Poller

_MODULES: dict[str, tuple[str, str]] = {
    "elastic": ("elastic", "Elastic"),
    "splunk": ("splunk", "Splunk"),
    "sentinel": ("sentinel", "Sentinel"),
    "defender": ("defender", "Defender"),
    "crowdstrike": ("crowdstrike", "Crowdstrike"),
    "imap": ("imap", "Imap"),
}

KINDS: tuple[str, ...] = tuple(_MODULES)
"""Every kind that is polled."""


@cache
def poller(kind: str) -> Poller:
    """The poller of a kind. Raises KeyError."""
    module, name = _MODULES[kind]
    found: Poller = getattr(import_module(f"playbooks_engine.pollers.{module}"), name)()
    return found
