"""Timelines: what happened to a subject (an alert, an incident), one append-only row each, by one actor.

A *kind* is the ``action`` word of the API plus a payload dataclass; it is registered once and shown by
``templates/timeline/<kind>.html``. Text that may hold personal data lies in a side table whose salted digest is part
of the entry: erasing the text leaves the proof whole.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field, fields
from datetime import datetime
from typing import Any, ClassVar
from uuid import UUID

import orjson
import pgtrigger
from django.db import models, transaction

from opensoar import clock
from opensoar.actors import Actor
from opensoar.ids import uuid7

APPEND_ONLY = [
    pgtrigger.Protect(name="append_only", operation=pgtrigger.Update | pgtrigger.Delete),
]


@dataclass(frozen=True, slots=True)
class Kind:
    """Base of every timeline kind's payload. ``action`` is the API's word, ``label`` what a filter shows."""

    action: ClassVar[str]
    label: ClassVar[str]
    group: ClassVar[str] = "changes"  # comments | handoffs | actions | alerts | changes
    icon: ClassVar[str] = "history"  # of the page's sprite
    personal: ClassVar[bool] = False  # whether the payload itself may hold personal data


_KINDS: dict[str, type[Kind]] = {}


def register[K: Kind](kind: type[K]) -> type[K]:
    """Class decorator: make a kind known. A second kind of one name is an error."""
    other = _KINDS.get(kind.action)
    if other is not None and other is not kind:
        raise ValueError(f"timeline kind {kind.action!r} is registered twice: {other!r} and {kind!r}")
    _KINDS[kind.action] = kind
    return kind


def kinds() -> dict[str, type[Kind]]:
    """Every registered kind by its action word."""
    return dict(_KINDS)


@dataclass(frozen=True, slots=True)
class Draft:
    """What is about to be recorded."""

    kind: Kind
    actor: Actor
    text: str | None = None
    occurred_at: datetime | None = None
    supersedes: UUID | None = None
    mentions: tuple[str, ...] = field(default=())
    tombstone: bool = False


class TimelineText(models.Model):
    """The text of one entry. It can be deleted (erasure), never changed."""

    objects: ClassVar[models.Manager[Any]]

    id = models.UUIDField(primary_key=True)  # the entry's id; no foreign key, entries may be partitioned
    salt = models.BinaryField()
    text = models.TextField()

    class Meta:
        abstract = True
        triggers = [pgtrigger.Protect(name="no_update", operation=pgtrigger.Update)]


class TimelineEntry(models.Model):
    """One thing that happened to a subject. Subclasses add ``subject_id`` and name their text table."""

    text_model: ClassVar[type[TimelineText]]
    objects: ClassVar[models.Manager[Any]]

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    subject_id = models.UUIDField()
    seq = models.PositiveIntegerField()
    action = models.CharField(max_length=40)
    actor_kind = models.CharField(max_length=10)
    actor_id = models.UUIDField(null=True)
    actor_name = models.CharField(max_length=150)
    user_id = models.UUIDField(null=True)
    occurred_at = models.DateTimeField()
    recorded_at = models.DateTimeField()
    payload = models.JSONField(default=dict)
    mentions = models.JSONField(default=list)
    supersedes = models.UUIDField(null=True)
    tombstone = models.BooleanField(default=False)
    text_digest = models.BinaryField(null=True)
    digest = models.BinaryField()

    class Meta:
        abstract = True
        ordering = ["seq"]
        triggers = APPEND_ONLY

    @property
    def kind(self) -> Kind:
        """The payload as its registered dataclass; fields of older versions that are gone are dropped."""
        cls = _KINDS[self.action]
        known = {f.name for f in fields(cls)}
        return cls(**{k: v for k, v in self.payload.items() if k in known})

    def compute_digest(self) -> bytes:
        """SHA-256 over every field that must not change, in one canonical JSON form."""
        return hashlib.sha256(
            orjson.dumps(
                [
                    str(self.id), str(self.subject_id), self.seq, self.action,
                    self.actor_kind, str(self.actor_id), self.actor_name, str(self.user_id),
                    self.occurred_at.timestamp(), self.recorded_at.timestamp(),
                    self.payload, self.mentions, str(self.supersedes), self.tombstone,
                    bytes(self.text_digest).hex() if self.text_digest else None,
                ],
                option=orjson.OPT_SORT_KEYS,
            )
        ).digest()  # fmt: skip


def record[E: TimelineEntry](model: type[E], subject: Any, *drafts: Draft) -> list[E]:
    """Append entries to ``subject``'s timeline, in order.

    The caller holds ``subject``'s row lock (every service locks it first) inside a transaction; the subject's
    ``timeline_seq`` counts entries and is written here. Raises ``KeyError`` for a kind nobody registered.
    """
    return record_many(model, [(subject, draft) for draft in drafts])


def record_many[E: TimelineEntry](
    model: type[E], drafts: list[tuple[Any, Draft]], *, also: tuple[str, ...] = ()
) -> list[E]:
    """:func:`record` for many subjects at once, in few statements; every subject's row is locked by the caller.

    ``also`` names fields of the subjects that changed and are written with their ``timeline_seq``.
    """
    if not drafts:
        return []
    entries = append(model, drafts)
    subjects = {subject.pk: subject for subject, _ in drafts}
    first = next(iter(subjects.values()))
    changed = ("timeline_seq", *also)
    if len(subjects) == 1:
        type(first).objects.filter(pk=first.pk).update(**{name: getattr(first, name) for name in changed})
    else:
        type(first).objects.bulk_update(subjects.values(), changed)
    return entries


def append[E: TimelineEntry](model: type[E], drafts: list[tuple[Any, Draft]]) -> list[E]:
    """:func:`record_many` for a caller who writes the subjects' ``timeline_seq``, raised here, itself."""
    if not transaction.get_connection().in_atomic_block:
        raise RuntimeError("timeline.record needs the transaction of the change it records")
    now = clock.now()
    entries: list[E] = []
    texts: list[TimelineText] = []
    for subject, draft in drafts:
        subject.timeline_seq += 1
        entry, text = _build(model, subject, draft, now)
        entries.append(entry)
        texts.extend(text)
    if texts:
        model.text_model.objects.bulk_create(texts)
    model.objects.bulk_create(entries)
    return entries


def _build[E: TimelineEntry](
    model: type[E], subject: Any, draft: Draft, now: datetime
) -> tuple[E, list[TimelineText]]:
    if _KINDS.get(draft.kind.action) is not type(draft.kind):
        raise KeyError(f"timeline kind {draft.kind.action!r} is not registered")
    entry = model(
        subject_id=subject.pk,
        seq=subject.timeline_seq,
        action=draft.kind.action,
        actor_kind=draft.actor.kind,
        actor_id=draft.actor.id,
        actor_name=draft.actor.name,
        user_id=draft.actor.user_id,
        occurred_at=draft.occurred_at or now,
        recorded_at=now,
        payload=orjson.loads(orjson.dumps(asdict(draft.kind))),
        mentions=list(draft.mentions),
        supersedes=draft.supersedes,
        tombstone=draft.tombstone,
    )
    texts: list[TimelineText] = []
    if draft.text is not None:
        salt = os.urandom(16)
        entry.text_digest = hashlib.sha256(salt + draft.text.encode()).digest()
        texts.append(model.text_model(id=entry.id, salt=salt, text=draft.text))
    entry.digest = entry.compute_digest()
    return entry, texts


@dataclass(frozen=True, slots=True)
class Shown[E: TimelineEntry]:
    """An entry as it is read: its newest edit's words, ``None`` where they were erased or there are none."""

    entry: E
    newest: E
    text: str | None

    @property
    def kind(self) -> Kind:
        """What happened, as of the newest edit."""
        return self.newest.kind

    @property
    def edited(self) -> bool:
        """Whether an edit stands in its place."""
        return self.newest is not self.entry

    @property
    def erased(self) -> bool:
        """Whether it had words once."""
        return self.text is None and self.newest.text_digest is not None


def first_entries[E: TimelineEntry](model: type[E], subject_ids: Iterable[UUID]) -> models.QuerySet[E]:
    """The entries that are shown, newest first: an edit shows in place of what it supersedes (:func:`fold`)."""
    found: models.QuerySet[E] = model.objects.filter(subject_id__in=subject_ids, supersedes__isnull=True)
    return found.order_by("-id")


def fold[E: TimelineEntry](firsts: Sequence[E]) -> list[Shown[E]]:
    """Entries of one model with their newest edits, however much later these were made. Two queries, however many."""
    if not firsts:
        return []
    model = type(firsts[0])
    # The subjects are named for the index; an entry and its edits have the same one.
    edits = model.objects.filter(
        subject_id__in={entry.subject_id for entry in firsts}, supersedes__in=[entry.pk for entry in firsts]
    )
    newest = {edit.supersedes: edit for edit in edits.order_by("seq")}
    shown = [newest.get(entry.pk, entry) for entry in firsts]
    words = model.text_model.objects.filter(pk__in=[entry.pk for entry in shown])
    texts = dict(words.values_list("pk", "text"))
    return [Shown(first, last, texts.get(last.pk)) for first, last in zip(firsts, shown, strict=True)]
