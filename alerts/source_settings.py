"""How the sources of this installation are read: the code's tables with what an admin changed, remembered for a moment."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any

import orjson

from alerts import sources
from alerts.models import AlertSource
from alerts.sources.base import Reader
from alerts.sources.mapping import Mapping, read
from alerts.sources.registry import Normaliser
from alerts.sources.severity import WORDS, Severities
from opensoar.remembered import Remembered


@dataclass(frozen=True)
class SourceSettings:
    """One source: its normaliser, what tells its alerts apart, and what becomes of one that is over or comes again."""

    normalise: Normaliser
    dedupe_fields: tuple[str, ...] = ()
    window: timedelta | None = None
    """Since the last delivery; later ones open a new alert."""
    on_recurrence: str = AlertSource.OnRecurrence.LEAVE
    on_resolved: str = AlertSource.OnResolved.RESOLVE

    def fingerprint(self, payload: dict[str, Any]) -> str | None:
        """The chosen fields of ``payload`` as one text; None where no field is chosen, or none of them is there."""
        if not self.dedupe_fields:
            return None
        reader = Reader(payload)
        values = [reader.raw(path) for path in self.dedupe_fields]
        if all(value is None for value in values):
            return None
        return orjson.dumps(values, default=str, option=orjson.OPT_SORT_KEYS).decode()


def settings_of(slug: str) -> SourceSettings:
    """The settings of a source; the defaults for one that nobody changed."""
    return changed().get(slug) or SourceSettings(sources.get(slug))


def is_source(slug: str) -> bool:
    """Whether alerts of ``slug`` are read by more than the generic normaliser: it is in the code, or was made here."""
    return slug in sources.SLUGS or slug in changed()


def settings_from(row: AlertSource) -> SourceSettings:
    """What a row means."""
    return SourceSettings(
        normalise=normaliser_from(row.slug, row.mapping, row.severities),
        dedupe_fields=tuple(row.dedupe_fields),
        window=timedelta(hours=row.dedupe_hours) if row.dedupe_hours else None,
        on_recurrence=row.on_recurrence,
        on_resolved=row.on_resolved,
    )


def normaliser_from(slug: str, mapping: dict[str, str], severities: dict[str, str]) -> Normaliser:
    """The normaliser of a source with these tables, which :mod:`alerts.services.sources` has checked."""
    if not mapping:
        normalise = sources.get(slug)
        if not severities:
            return normalise
        own = sources.source(slug).severities if slug in sources.SLUGS else Severities({})
        return partial(normalise, severities=_changed(own, severities))
    words: dict[str | float, str] = dict(WORDS.items())
    table = _changed(Severities(words), severities)
    paths = Mapping(**mapping)

    def mapped(payload: dict[str, Any]) -> Any:
        return read(Reader(payload), paths, table)

    return mapped


def _changed(table: Severities, severities: dict[str, str]) -> Severities:
    own: dict[str | float, str] = {number_or_word(key): word for key, word in severities.items()}
    if all(isinstance(key, str) for key in own):
        return Severities({**table.entries, **own}, table.top)
    # A scale of one's own, not one mixed of two.
    words: dict[str | float, str] = {k: word for k, word in table.entries.items() if isinstance(k, str)}
    return Severities({**words, **own})


def number_or_word(key: str) -> str | float:
    """``"7"`` → 7.0, ``"High"`` → ``"high"``."""
    try:
        return float(key)
    except ValueError:
        return key.strip().lower()


changed = Remembered(lambda: {row.slug: settings_from(row) for row in AlertSource.objects.all()})
"""The sources that an admin changed, by slug, at most two seconds old."""
forget = changed.forget
