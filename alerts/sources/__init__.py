"""Which normaliser reads which source, and how a payload is told to be a source's.

A source is a module here, named by its slug, with ``SOURCE`` and ``normalise``; :data:`SLUGS` lists them.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import Any, NamedTuple

from alerts.sources.registry import Normaliser, Source

GENERIC = "generic"
SLUGS: tuple[str, ...] = (
    "elastic",
    "splunk",
    "wazuh",
    "sentinel",
    "defender",
    "defender_endpoint",
    "crowdstrike",
    "sentinelone",
    "guardduty",
    "securityhub",
    "google_scc",
    "suricata",
    "zeek",
    "falco",
    "alertmanager",
    "ocsf",
    "ecs",
    "thehive",
    "iris",
    "cef",
    "leef",
    "phishing_mail",
    GENERIC,
)


class Detected(NamedTuple):
    """Which source a payload is of, and how sure that is (0 to 1)."""

    slug: str
    confidence: float


@cache
def source(slug: str) -> Source:
    """The source called ``slug``. Raises KeyError."""
    if slug not in SLUGS:
        raise KeyError(slug)
    found: Source = import_module(f"alerts.sources.{slug}").SOURCE
    return found


@cache
def get(slug: str) -> Normaliser:
    """The normaliser of ``slug``, a pure function of a payload and, if they are not its own, its severities.

    The generic one for a slug nobody registered: a webhook is never refused for the word in its path.
    """
    name = slug.strip().lower()
    normalise: Normaliser = import_module(f"alerts.sources.{name if name in SLUGS else GENERIC}").normalise
    return normalise


def detect(payload: dict[str, Any]) -> Detected:
    """The source whose payloads look like this one; the generic one, with confidence 0, when none does."""
    best = Detected(GENERIC, 0.0)
    for slug, sign in _signs():
        if sign.confidence > best.confidence and sign.is_in(payload):
            best = Detected(slug, sign.confidence)
            if best.confidence >= 0.99:
                break
    return best


@cache
def _signs() -> tuple[tuple[str, Any], ...]:
    """All signs, surest first."""
    every = [(slug, sign) for slug in SLUGS for sign in source(slug).signs]
    return tuple(sorted(every, key=lambda one: -one[1].confidence))
