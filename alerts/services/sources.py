"""Making and changing sources: what admin and API call."""

from __future__ import annotations

import math
import re
from dataclasses import fields
from typing import Any

from django.db import transaction
from django.utils.translation import gettext as _

from alerts import source_settings, sources
from alerts.jsonwalk import walk
from alerts.models import AlertSource, Severity
from alerts.payloads import parse_body
from alerts.sources.base import NormalisedAlert
from alerts.sources.mapping import Mapping
from opensoar import clock
from opensoar.accounts.services import audit
from opensoar.actors import Actor
from opensoar.errors import Conflict, Invalid
from opensoar.text import choice, clean

MAX_SAMPLE = 262_144
MAX_SEVERITIES = 100
MAX_HOURS = 24 * 366
_SLUG = re.compile(r"[a-z0-9][a-z0-9_-]{0,49}", re.ASCII)
_PATHS = re.compile(r"[^\s\x00-\x1f]{1,200}(?: [^\s\x00-\x1f]{1,200}){0,19}")
CHANGEABLE = (
    "slug", "mapping", "severities", "dedupe_fields", "dedupe_hours", "on_recurrence", "on_resolved", "sample", "updated_at",
)  # fmt: skip
FIELDS = tuple(field.name for field in fields(Mapping))
"""Fields of an alert that a mapping fills."""


@transaction.atomic
def save_source(
    *,
    actor: Actor,
    slug: str,
    mapping: dict[str, str] | None = None,
    severities: dict[str, str] | None = None,
    dedupe_fields: list[str] | None = None,
    dedupe_hours: int | None = None,
    on_recurrence: str = AlertSource.OnRecurrence.LEAVE,
    on_resolved: str = AlertSource.OnResolved.RESOLVE,
    sample: str = "",
    source: AlertSource | None = None,
) -> AlertSource:
    """Make a source, or give one other settings; web processes follow within seconds.

    Raises:
        Invalid: a name, path, severity or number that cannot be; a mapping for a source that has code.
        Conflict: there is a source of that name.
    """
    row = source or AlertSource()
    is_new = row._state.adding
    row.slug = _slug(slug)
    row.mapping = _mapping(row.slug, mapping or {})
    row.severities = check_severities(severities or {})
    row.dedupe_fields = [_path(path, "dedupe_fields") for path in dedupe_fields or []]
    row.dedupe_hours = _hours(dedupe_hours)
    row.on_recurrence = choice(on_recurrence, AlertSource.OnRecurrence.values, field="on_recurrence")
    row.on_resolved = choice(on_resolved, AlertSource.OnResolved.values, field="on_resolved")
    row.sample = clean(sample)
    if len(row.sample) > MAX_SAMPLE:
        raise Invalid(_("A sample has at most %d characters") % MAX_SAMPLE, field="sample")
    if AlertSource.objects.filter(slug=row.slug).exclude(pk=row.pk).exists():
        raise Conflict(_("There is a source of that name"))
    row.updated_at = clock.now()
    row.save(force_insert=is_new, update_fields=None if is_new else CHANGEABLE)
    _audit(actor, "source_created" if is_new else "source_changed", row)
    return row


@transaction.atomic
def delete_source(*, actor: Actor, source: AlertSource) -> None:
    """Back to the product's defaults. Alerts that it read stay as they are."""
    _audit(actor, "source_deleted", source)
    source.delete()


def preview(
    sample: str,
    *,
    slug: str = "",
    mapping: dict[str, str] | None = None,
    severities: dict[str, str] | None = None,
) -> NormalisedAlert:
    """The alert that the first alert of ``sample`` would become. Raises :class:`Invalid`, also for a sample that is none."""
    payload = sample_payload(sample)
    if not mapping and slug not in sources.SLUGS:
        slug = sources.detect(payload).slug
    checked = _mapping(slug, mapping or {})
    normalise = source_settings.normaliser_from(slug, checked, check_severities(severities or {}))
    return normalise(payload)


def sample_payload(sample: str) -> dict[str, Any]:
    """The first alert in a pasted sample. Raises :class:`Invalid` with what is wrong with it."""
    item = parse_body(sample.encode("utf-8", "replace")).items[0]
    if item.payload is None:
        raise Invalid(_("The sample is not understood: %s") % item.reason, field="sample")
    return item.payload


def check_severities(severities: dict[str, str]) -> dict[str, str]:
    """A table of what the product says → severity, checked. Raises :class:`Invalid`."""
    if not isinstance(severities, dict) or len(severities) > MAX_SEVERITIES:
        raise Invalid(_("At most %d severities") % MAX_SEVERITIES, field="severities")
    found = {}
    for key, word in severities.items():
        says = str(key).strip()
        number = source_settings.number_or_word(says)
        if not 0 < len(says) <= 100 or (isinstance(number, float) and not math.isfinite(number)):
            raise Invalid(_("“%s” is neither a word nor a number") % says[:100], field="severities")
        found[clean(says).lower()] = choice(word, Severity.values, field="severities")
    return found


def _slug(slug: str) -> str:
    slug = str(slug).strip().lower()
    if not _SLUG.fullmatch(slug):
        raise Invalid(
            _("A name is 1 to 50 small letters, digits, - and _, and begins with a letter or digit"),
            field="slug",
        )
    return slug


def _mapping(slug: str, mapping: dict[str, str]) -> dict[str, str]:
    if not isinstance(mapping, dict) or not mapping.keys() <= set(FIELDS):
        raise Invalid(_("A mapping knows these fields: %s") % ", ".join(FIELDS), field="mapping")
    found = {name: _path(paths, name) for name, paths in mapping.items() if str(paths).strip()}
    if found and slug in sources.SLUGS:
        raise Invalid(_("%s is read by code of its own; give your source another name") % slug, field="slug")
    return found


def _path(paths: Any, field: str) -> str:
    text = " ".join(str(paths).split())
    if not _PATHS.fullmatch(text):
        raise Invalid(
            _("Up to 20 paths such as alert.rule.name, separated by blanks, of at most 200 characters each"),
            field=field,
        )
    return clean(text)


def _hours(hours: int | None) -> int | None:
    if hours is not None and not 1 <= hours <= MAX_HOURS:
        raise Invalid(_("1 to %d hours, or nothing") % MAX_HOURS, field="dedupe_hours")
    return hours


def _audit(actor: Actor, action: str, row: AlertSource) -> None:
    detail = {
        name: getattr(row, name)
        for name in (
            "slug",
            "mapping",
            "severities",
            "dedupe_fields",
            "dedupe_hours",
            "on_recurrence",
            "on_resolved",
        )
    }
    audit(actor=actor, action=action, object_kind="source", object_id=row.pk, detail=detail)
    transaction.on_commit(source_settings.forget)


def paths_of(payload: dict[str, Any]) -> list[tuple[str, str]]:
    """The paths of a sample with their first values as text, for whoever maps them."""
    found: dict[str, str] = {}
    for leaf in walk(payload).leaves:
        path = ".".join(part for part in leaf.path.split(".") if not part.isdigit())
        if leaf.value is not None and " " not in path:
            found.setdefault(path, str(leaf.value)[:120])
    return list(found.items())[:500]
