"""Timeline entries as the public API's activities. An edited comment is one activity with its newest words."""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext as _
from rest_framework import serializers

from opensoar.api.fields import StrictSerializer, Text
from opensoar.timeline import Shown, fold


class ActivitySerializer(serializers.Serializer[Any]):
    """Schema of an activity."""

    id = serializers.UUIDField()
    alert_id = serializers.UUIDField(allow_null=True)
    incident_id = serializers.UUIDField(allow_null=True)
    analyst_id = serializers.UUIDField(allow_null=True)
    analyst_username = serializers.CharField(allow_null=True)
    actor_kind = serializers.ChoiceField(choices=["analyst", "token", "playbook", "system"])
    action = serializers.CharField()
    detail = serializers.CharField(allow_null=True)
    metadata_json = serializers.DictField(allow_null=True)
    mentions = serializers.ListField(child=serializers.CharField())
    edited = serializers.BooleanField()
    created_at = serializers.DateTimeField()
    updated_at = serializers.DateTimeField()


class TimelineEventSerializer(ActivitySerializer):
    """Schema of an event on an incident's shared timeline."""

    source = serializers.ChoiceField(choices=["alert", "incident"])  # type: ignore[assignment]


class CommentIn(StrictSerializer):
    """A comment that is sent."""

    text = Text()


def show_activities(rows: list[Any], subject: str) -> list[dict[str, Any]]:
    """Activities of entries of one model; ``subject`` is ``alert`` or ``incident``. Two queries, however many."""
    return [_activity(shown, subject) for shown in fold(rows)]


def _activity(shown: Shown[Any], subject: str) -> dict[str, Any]:
    first, newest = shown.entry, shown.newest
    payload = dict(newest.payload)
    extra = payload.pop("metadata", None) or {}
    return {
        "id": str(first.pk),
        "alert_id": str(first.subject_id) if subject == "alert" else None,
        "incident_id": str(first.subject_id) if subject == "incident" else None,
        "analyst_id": None if first.user_id is None else str(first.user_id),
        "analyst_username": first.actor_name,
        "actor_kind": first.actor_kind,
        "action": first.action,
        "detail": shown.text if shown.text is not None else _sentence(first.action, payload),
        "metadata_json": (payload | extra) or None,
        "mentions": newest.mentions,
        "edited": shown.edited,
        "created_at": first.occurred_at,
        "updated_at": newest.recorded_at,
    }


def _sentence(action: str, payload: dict[str, Any]) -> str | None:
    """What an entry without words of its own says."""
    if "before" in payload and "after" in payload:
        return _("%(before)s → %(after)s") % payload
    match action:
        case "assigned" | "claimed":
            return payload.get("username") or _("nobody")
        case "incident_linked" | "incident_unlinked":
            return f"INC-{payload.get('number')}"
        case "playbook_started":
            return str(payload.get("playbook"))
        case "playbook_finished":
            return f"{payload.get('playbook')}: {payload.get('state')}"
        case "tags_changed":
            signs = [f"+{tag}" for tag in payload.get("added", ())] + [
                f"-{tag}" for tag in payload.get("removed", ())
            ]
            return ", ".join(signs)
    return None
