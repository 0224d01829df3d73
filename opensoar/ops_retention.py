"""REST: what retention would archive, and to do it now."""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext as _
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from incidents import retention
from opensoar.api.base import ApiView
from opensoar.errors import Invalid


class PurgedSerializer(serializers.Serializer[Any]):
    """Counts of one kind of row; the last two only where it was done."""

    soft_delete_candidates = serializers.IntegerField()
    hard_delete_candidates = serializers.IntegerField(help_text="0: nothing is ever deleted for good")
    soft_deleted = serializers.IntegerField(required=False)
    hard_deleted = serializers.IntegerField(required=False)


class PurgeSerializer(serializers.Serializer[Any]):
    """What is, or was, due. Incidents and activities are kept as long as the installation."""

    dry_run = serializers.BooleanField()
    grace_days = serializers.IntegerField(allow_null=True, help_text="null: nothing is archived")
    alerts = PurgedSerializer()
    incidents = PurgedSerializer()
    activities = PurgedSerializer()


class PurgeView(ApiView):
    capability = "retention:manage"

    @extend_schema(
        operation_id="retention_purge", request=None, responses=PurgeSerializer, tags=["admin"],
        parameters=[OpenApiParameter("dry_run", bool, default=True, description="Only count")],
    )  # fmt: skip
    def post(self, request: Request) -> Response:
        """Archive resolved alerts that are past the days of the settings, and of no open incident.

        At most 2,000 in one request; workers archive the rest by themselves. Nothing else is deleted.
        """
        word = request.query_params.get("dry_run", "true").lower()
        if word not in {"true", "false", "1", "0"}:
            raise Invalid(_("dry_run is true or false"), field="dry_run")
        dry_run, days = word in {"true", "1"}, retention.archive_after()
        due = retention.candidates(self.actor, days).count()
        done = 0 if dry_run else retention.purge(actor=self.actor)
        answer = {"dry_run": dry_run, "grace_days": days, "alerts": _counts(dry_run, due, done)}
        return Response(answer | {name: _counts(dry_run, 0, 0) for name in ("incidents", "activities")})


def _counts(dry_run: bool, due: int, done: int) -> dict[str, int]:
    found = {"soft_delete_candidates": due, "hard_delete_candidates": 0}
    return found if dry_run else found | {"soft_deleted": done, "hard_deleted": 0}
