"""Comments. Nothing on a timeline is overwritten: an edit is a new entry that supersedes the comment's first one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from django.db import transaction
from django.utils.translation import gettext as _

from alerts.models import Alert, AlertEntry
from alerts.services.locks import lock_alert
from opensoar import clock, timeline
from opensoar.access import parse_id
from opensoar.accounts.services import mentioned_in
from opensoar.actors import Actor
from opensoar.errors import NotAllowed, NotFound
from opensoar.text import clean_json, required_text
from opensoar.timeline import Draft, TimelineEntry
from opensoar.timeline_kinds import Comment


@transaction.atomic
def comment_alert(
    *, actor: Actor, alert: Alert, text: str, metadata: dict[str, Any] | None = None
) -> AlertEntry:
    """Write a comment (Markdown, at most 20,000 characters). ``@name`` mentions people who may see the alert."""
    return record_comment(AlertEntry, lock_alert(actor, alert), actor, text, metadata)


@transaction.atomic
def edit_comment(*, actor: Actor, alert: Alert, entry_id: UUID | str, text: str) -> AlertEntry:
    """Change one's own comment; ``entry_id`` is its first entry or any edit of it. The same text again changes nothing."""
    return supersede_comment(AlertEntry, lock_alert(actor, alert), actor, entry_id, text)


def record_comment[E: TimelineEntry](
    entries: type[E], subject: Any, actor: Actor, text: str, metadata: dict[str, Any] | None = None
) -> E:
    """Put a comment on the timeline of a ``subject`` that the caller has locked."""
    return record_comments(entries, [(subject, actor, text, metadata)])[0]


def record_comments[E: TimelineEntry](
    entries: type[E], comments: Sequence[tuple[Any, Actor, str, dict[str, Any] | None]]
) -> list[E]:
    """:func:`record_comment` for many at once: subject, actor, text and metadata of each."""
    drafts: list[tuple[Any, Draft]] = []
    for subject, actor, text, metadata in comments:
        text = required_text(text, field="text")
        kind = Comment(metadata=clean_json(metadata) if metadata else None)
        mentions = mentioned_in(text, partner_id=subject.partner_id)
        drafts.append((subject, Draft(kind=kind, actor=actor, text=text, mentions=mentions)))
    return _record(entries, drafts)


def supersede_comment[E: TimelineEntry](
    entries: type[E], subject: Any, actor: Actor, entry_id: UUID | str, text: str
) -> E:
    """Edit a comment of a ``subject`` that the caller has locked. :class:`NotFound`, or :class:`NotAllowed` if foreign."""
    text = required_text(text, field="text")
    first = _first_entry(entries, subject, entry_id)
    same_person = first.user_id is not None and first.user_id == actor.user_id
    if not same_person and (first.actor_kind, first.actor_id) != (actor.kind, actor.id):
        raise NotAllowed(_("Can only edit your own comments"))
    newest = (
        entries._default_manager.filter(subject_id=subject.pk, supersedes=first.pk).order_by("-seq").first()
        or first
    )
    stored = entries.text_model._default_manager.filter(pk=newest.pk).first()
    if stored is not None and stored.text == text:
        return newest
    draft = Draft(
        kind=first.kind,
        actor=actor,
        text=text,
        occurred_at=first.occurred_at,
        supersedes=first.pk,
        mentions=mentioned_in(text, partner_id=subject.partner_id),
    )
    return _record(entries, [(subject, draft)])[0]


def _record[E: TimelineEntry](entries: type[E], drafts: list[tuple[Any, Draft]]) -> list[E]:
    now = clock.now()
    for subject, _draft in drafts:
        subject.updated_at = now  # no new version: nobody's edit can collide with a comment
    return timeline.record_many(entries, drafts, also=("updated_at",))


def _first_entry[E: TimelineEntry](entries: type[E], subject: Any, entry_id: UUID | str) -> E:
    missing = _("Comment not found")
    comments = entries._default_manager.filter(subject_id=subject.pk, action=Comment.action, tombstone=False)
    entry = comments.filter(pk=parse_id(entry_id, missing=missing)).first()
    if entry is not None and entry.supersedes is not None:
        entry = comments.filter(pk=entry.supersedes).first()
    if entry is None:
        raise NotFound(missing)
    return entry
