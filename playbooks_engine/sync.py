"""Brings the Playbook table in line with the files. Workers do it at boot and on every change; web never imports them."""

from __future__ import annotations

import hashlib
import os
import uuid
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from django.db import DataError, connection, transaction
from django.db.models import F
from django.db.models.functions import Now
from django.utils import timezone

from playbooks_engine import loader
from playbooks_engine.codec import storable
from playbooks_engine.models import Playbook, PlaybookFile, PlaybookVersion, Priority, RegistryGeneration
from playbooks_engine.registry import PlaybookSpec
from playbooks_engine.sources import module_name, walk

SYNC_LOCK = 7_041_001  # pg_advisory_xact_lock: two workers that boot together sync one after the other

# Schedules count from ``updated_at``, so only what decides when a playbook is due moves it: an edit of its description
# in the second when it is due must not lose that firing. It is the database's time, as due times are.
SCHEDULING = frozenset({"trigger", "cron", "missing_since"})


@dataclass(frozen=True, slots=True)
class Synced:
    """What a sync found: the version of every loaded playbook, the files with errors, the registry generation."""

    versions: dict[str, uuid.UUID]
    files: list[loader.FileResult]
    generation: int

    @property
    def errors(self) -> list[loader.FileResult]:
        """Files that failed to import."""
        return [file for file in self.files if file.error]


def signature(directories: Iterable[str]) -> str:
    """Changes when a playbook file changes, appears or goes; cheap enough to compute every second."""
    seen = hashlib.sha256()
    for directory in directories:
        for folder, names in walk(Path(directory)):
            for path in (folder / name for name in names):
                try:
                    stat = path.stat()
                except OSError:
                    continue
                seen.update(os.fsencode(path) + f"\0{stat.st_mtime_ns}\0{stat.st_size}\n".encode())
    return seen.hexdigest()


def current_generation() -> int:
    """The generation that every worker should have loaded."""
    return RegistryGeneration.objects.values_list("generation", flat=True).get(pk=1)


def raise_generation() -> int:
    """Ask every worker to load its files anew; returns the generation to wait for."""
    with transaction.atomic():
        RegistryGeneration.objects.filter(pk=1).update(generation=F("generation") + 1)
        return current_generation()


def sync_playbooks(directories: Iterable[str]) -> Synced:
    """Load the files and upsert what they declare.

    A file that fails keeps its last good version's playbooks; a playbook that no file declares any more is marked
    missing. ``enabled`` follows the file only when the playbook is first seen: afterwards the switch wins.
    """
    loaded = loader.load(directories)
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", (SYNC_LOCK,))
        generation = current_generation()
        versions: dict[str, uuid.UUID] = {}
        for number, file in enumerate(loaded.files):
            try:
                with transaction.atomic():
                    versions |= _sync_file(file)
            except (
                DataError,
                ValueError,
            ) as error:  # a NUL in a docstring, say: the others load all the same
                refused = replace(file, error=storable(f"cannot be stored: {error}"), playbooks=())
                loaded.files[number] = refused
                _sync_file(refused)
        versions |= _last_good(loaded, versions)
        _mark_missing(loaded, versions)
    return Synced(versions, loaded.files, generation)


def _sync_file(file: loader.FileResult) -> dict[str, uuid.UUID]:
    """What became of the file; the version of each playbook that it declares."""
    values = {"source_hash": file.source_hash, "error": file.error or "", "error_line": file.error_line}
    row, created = PlaybookFile.objects.get_or_create(path=storable(file.path), defaults=values)
    if not created and any(getattr(row, name) != value for name, value in values.items()):
        PlaybookFile.objects.filter(pk=row.pk).update(**values, loaded_at=timezone.now())
    if file.error is not None or not file.playbooks:
        return {}
    version = _version(file)
    for spec in file.playbooks:
        _sync_playbook(spec, version)
    return {spec.name: version.pk for spec in file.playbooks}


def _version(file: loader.FileResult) -> PlaybookVersion:
    return PlaybookVersion.objects.get_or_create(
        source_hash=file.source_hash, defaults={"entry": file.entry, "sources": dict(file.sources)}
    )[0]


def _sync_playbook(spec: PlaybookSpec, version: PlaybookVersion) -> None:
    values: dict[str, Any] = {
        "name": spec.name,
        "description": spec.description,
        "module_path": spec.module_path,
        "function_name": spec.function_name,
        "trigger": spec.trigger,
        "conditions": spec.conditions.to_json(),
        "order": spec.order,
        "priority": Priority[spec.priority.upper()],
        "on_failure": spec.on_failure,
        "cron": spec.cron or "",
        "lane": spec.lane or "",
        "current_id": version.pk,
        "missing_since": None,
    }
    row = (
        Playbook.objects.filter(name__in=spec.names)
        .order_by(F("missing_since").asc(nulls_first=True))
        .first()
    )
    if row is None:
        Playbook.objects.create(enabled=spec.enabled, updated_at=Now(), **values)
        return
    # A renamed playbook (aliases=) keeps its row: its runs, its switch.
    changed = {name for name, value in values.items() if getattr(row, name) != value}
    if "current_id" in changed:
        values["isolated_since"] = None  # other source: it may run among the others again
    if changed & SCHEDULING:
        values["updated_at"] = Now()
    if changed:
        Playbook.objects.filter(pk=row.pk).update(**values)


def _last_good(loaded: loader.LoadResult, versions: dict[str, uuid.UUID]) -> dict[str, uuid.UUID]:
    """Playbooks of files that fail to import now: their last good version goes on running."""
    broken = {_module_path(file) for file in loaded.errors if file.entry}
    rows = Playbook.objects.filter(module_path__in=broken, missing_since__isnull=True, current__isnull=False)
    return {row.name: row.current_id for row in rows if row.name not in versions and row.current_id}


def _module_path(file: loader.FileResult) -> str:
    """How the registry names the file's module (see loader.load)."""
    return storable(f"{Path(file.root).resolve().name}.{module_name(file.entry)}")


def _mark_missing(loaded: loader.LoadResult, versions: dict[str, uuid.UUID]) -> None:
    Playbook.objects.exclude(name__in=versions).filter(missing_since__isnull=True).update(
        missing_since=timezone.now()
    )
    PlaybookFile.objects.exclude(path__in=[storable(file.path) for file in loaded.files]).delete()
