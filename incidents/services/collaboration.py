"""People talking on an incident: comments, and notes that hand it over."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from uuid import UUID

from django.db import transaction
from django.utils.translation import gettext as _

from alerts.services.comments import record_comment, supersede_comment
from incidents.models import Handoff, HandoffAcknowledgement, Incident, IncidentEntry
from incidents.services.common import begin, finish, lock_incident
from incidents.timeline_kinds import HandoffAcknowledged, HandoffNote
from opensoar import clock
from opensoar.accounts.models import User
from opensoar.accounts.services import assignable_user, mentioned_in
from opensoar.actors import Actor
from opensoar.errors import Invalid, NotAllowed
from opensoar.ids import uuid7
from opensoar.text import limited_text, required_text

MAX_QUESTIONS = 50


@transaction.atomic
def comment_incident(
    *, actor: Actor, incident: Incident, text: str, metadata: dict[str, Any] | None = None
) -> IncidentEntry:
    """Write a comment (Markdown, at most 20,000 characters). ``@name`` mentions people who may see the incident."""
    return record_comment(IncidentEntry, lock_incident(actor, incident), actor, text, metadata)


@transaction.atomic
def edit_comment(*, actor: Actor, incident: Incident, entry_id: UUID | str, text: str) -> IncidentEntry:
    """Change one's own comment; ``entry_id`` is its first entry or any edit of it. The same text again changes nothing."""
    return supersede_comment(IncidentEntry, lock_incident(actor, incident), actor, entry_id, text)


@transaction.atomic
def hand_off(
    *,
    actor: Actor,
    incident: Incident,
    to_user: User | UUID | str,
    text: str,
    open_questions: Iterable[str] = (),
    shift: str = "",
) -> Handoff:
    """Leave a note for who goes on. It stays unacknowledged until that person says that they have taken over."""
    edit = begin(actor, incident)
    receiver = assignable_user(to_user, partner_id=edit.subject.partner_id, field="to_user")
    if receiver is None:
        raise Invalid(_("Say who takes over"), field="to_user")
    if receiver.pk == actor.user_id:
        raise Invalid(_("A handoff is to somebody else"), field="to_user")
    text = required_text(text, field="text")
    questions = tuple(
        required_text(q, field="open_questions", limit=2000) for q in open_questions if q.strip()
    )
    if len(questions) > MAX_QUESTIONS:
        raise Invalid(
            _("At most %(limit)d open questions") % {"limit": MAX_QUESTIONS}, field="open_questions"
        )
    shift = limited_text(shift, field="shift", limit=100)
    handoff = Handoff(
        id=uuid7(), incident=edit.subject, from_user_id=actor.user_id, to_user=receiver, shift=shift,
        open_questions=list(questions), created_at=clock.now(),
    )  # fmt: skip
    kind = HandoffNote(
        handoff_id=str(handoff.pk), to_user_id=str(receiver.pk), to_username=receiver.username, shift=shift,
        open_questions=questions,
    )  # fmt: skip
    mentions = dict.fromkeys([receiver.username, *mentioned_in(text, partner_id=edit.subject.partner_id)])
    edit.note(kind, text=text, mentions=tuple(mentions))
    handoff.entry_id = edit.save(versioned=False)[0].pk
    handoff.save(force_insert=True)
    return handoff


@transaction.atomic
def acknowledge_handoff(*, actor: Actor, handoff: Handoff) -> Handoff:
    """The receiver, and nobody else, says that they have taken over. A repeat changes nothing."""
    if actor.user_id is None or actor.user_id != handoff.to_user_id:
        raise NotAllowed(_("Only %(name)s can acknowledge this handoff") % {"name": handoff.to_user.username})
    edit = begin(actor, handoff.incident)
    done, created = HandoffAcknowledgement.objects.get_or_create(
        handoff=handoff, defaults={"by_id": actor.user_id, "at": clock.now()}
    )
    if created:
        edit.note(HandoffAcknowledged(handoff_id=str(handoff.pk), entry_id=str(handoff.entry_id)))
        finish(edit, was=edit.subject.status, versioned=False)
    handoff.acknowledgement = done
    return handoff
