"""REST: integrations, which are connectors by their public name."""

from __future__ import annotations

from typing import Any, ClassVar

from django.utils.translation import gettext as _
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from opensoar.api.base import IF_MATCH, ApiView, Detail, tagged
from opensoar.api.fields import Flag, Object, StrictSerializer, Text
from playbooks_engine.access import get_connector_for
from playbooks_engine.connectors import known_types, services
from playbooks_engine.models import Connector, PollState
from playbooks_engine.pollers.services import poll_now

READ, MANAGE = "integrations:read", "integrations:manage"


class PollSerializer(serializers.Serializer[Any]):
    """How fetching an integration's alerts goes."""

    next_at = serializers.DateTimeField(help_text="when it is asked again")
    last_ok_at = serializers.DateTimeField(allow_null=True)
    last_error = serializers.CharField(allow_null=True, help_text="null once it worked again")
    last_error_at = serializers.DateTimeField(allow_null=True)
    failures = serializers.IntegerField(help_text="in a row")
    accepted = serializers.IntegerField(help_text="alerts stored since it was made")
    duplicates = serializers.IntegerField(help_text="alerts that came again, changed or not")
    quarantined = serializers.IntegerField()


class IntegrationSerializer(serializers.Serializer[Any]):
    """A connection to another system. Neither its configuration nor its secrets are ever returned."""

    id = serializers.UUIDField()
    integration_type = serializers.CharField()
    name = serializers.CharField()
    partner = serializers.CharField(allow_null=True, help_text="null: every partner's")
    tenant_id = serializers.CharField(allow_null=True, help_text="Always null: partners take its place.")
    enabled = serializers.BooleanField()
    has_secrets = serializers.BooleanField()
    health_status = serializers.ChoiceField(["healthy", "unhealthy"], allow_null=True)
    last_health_check = serializers.DateTimeField(allow_null=True)
    version = serializers.IntegerField()
    created_at = serializers.DateTimeField()
    poll = PollSerializer(allow_null=True, help_text="null: nothing is fetched from systems of this type")


class IntegrationTypeSerializer(serializers.Serializer[Any]):
    """A kind of system that OpenSOAR knows."""

    type = serializers.CharField()
    display_name = serializers.CharField()
    description = serializers.CharField()


class IntegrationHealthSerializer(serializers.Serializer[Any]):
    """What a look at the other system found."""

    healthy = serializers.BooleanField()
    message = serializers.CharField()
    details = serializers.DictField()


class IntegrationPatch(StrictSerializer):
    """Any of what can be edited. ``secrets`` replaces all that are stored; null forgets them."""

    name = Text(required=False, max_length=150)
    partner = Text(required=False, allow_null=True, allow_blank=True, max_length=100)
    config = Object(required=False)
    secrets = Object(required=False, allow_null=True)
    enabled = Flag(required=False)
    tenant_id = serializers.JSONField(required=False, allow_null=True, help_text="null; give partner instead")

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if attrs.pop("tenant_id", None) is not None:
            raise serializers.ValidationError(
                {"tenant_id": [_("Partners take the tenants' place: give partner")]}
            )
        return attrs


class IntegrationIn(IntegrationPatch):
    """A new one. What is named like a secret in ``config`` (``api_key``, ``token``, …) is sealed as well."""

    integration_type = Text(max_length=50)
    name = Text(max_length=150)


def show_integration(connector: Connector) -> dict[str, Any]:
    """The public Integration shape, and what is ours."""
    return {
        "id": str(connector.pk),
        "integration_type": connector.kind,
        "name": connector.name,
        "partner": connector.partner.slug if connector.partner else None,
        "tenant_id": None,
        "enabled": connector.enabled,
        "has_secrets": connector.secrets is not None,
        "health_status": connector.health_status,
        "last_health_check": connector.last_health_check,
        "version": connector.version,
        "created_at": connector.created_at,
        "poll": show_poll(getattr(connector, "poll", None)),
    }


def show_poll(poll: PollState | None) -> dict[str, Any] | None:
    """What :class:`PollSerializer` says; the position is nobody's business but the poller's."""
    if poll is None:
        return None
    return {
        "next_at": poll.next_at,
        "last_ok_at": poll.last_ok_at,
        "last_error": poll.last_error or None,
        "last_error_at": poll.last_error_at,
        "failures": poll.failures,
        "accepted": poll.accepted,
        "duplicates": poll.duplicates,
        "quarantined": poll.quarantined,
    }


class IntegrationTypesView(ApiView):
    capability = READ

    @extend_schema(
        operation_id="integration_types",
        responses=IntegrationTypeSerializer(many=True),
        tags=["integrations"],
    )
    def get(self, request: Request) -> Response:
        """The kinds that are known here: their health can be looked at; all but docker are polled for alerts."""
        return Response(
            [
                {"type": t.kind, "display_name": str(t.display_name), "description": str(t.description)}
                for t in known_types()
            ]
        )


class IntegrationsView(ApiView):
    capabilities: ClassVar[dict[str, str]] = {"GET": READ, "POST": MANAGE}

    @extend_schema(
        operation_id="integrations_list", responses=IntegrationSerializer(many=True), tags=["integrations"]
    )
    def get(self, request: Request) -> Response:
        """Every integration of the caller's partners, and those that are everybody's."""
        rows = Connector.objects.visible_to(self.actor).select_related("partner", "poll")
        return Response([show_integration(row) for row in rows])

    @extend_schema(
        operation_id="integration_create", request=IntegrationIn,
        responses={201: IntegrationSerializer, 409: Detail}, tags=["integrations"],
    )  # fmt: skip
    def post(self, request: Request) -> Response:
        """A new integration, of whatever type."""
        body = self.body(IntegrationIn)
        made = services.create_connector(actor=self.actor, kind=body.pop("integration_type"), **body)
        return tagged(show_integration(made), made.version, status=201)


class IntegrationView(ApiView):
    capabilities: ClassVar[dict[str, str]] = {"GET": READ, "PATCH": MANAGE, "DELETE": MANAGE}

    @extend_schema(operation_id="integration_get", responses=IntegrationSerializer, tags=["integrations"])
    def get(self, request: Request, pk: str) -> Response:
        """One integration."""
        connector = get_connector_for(self.actor, pk, READ)
        return tagged(show_integration(connector), connector.version)

    @extend_schema(
        operation_id="integration_patch", request=IntegrationPatch, parameters=[IF_MATCH],
        responses={200: IntegrationSerializer, 409: Detail, 412: Detail}, tags=["integrations"],
    )  # fmt: skip
    def patch(self, request: Request, pk: str) -> Response:
        """Change what is sent."""
        connector = get_connector_for(self.actor, pk, MANAGE)
        version = self.expected_version()
        changed = services.update_connector(
            actor=self.actor, connector=connector, expected_version=version, **self.body(IntegrationPatch)
        )
        return tagged(show_integration(changed), changed.version)

    @extend_schema(operation_id="integration_delete", responses={200: Detail}, tags=["integrations"])
    def delete(self, request: Request, pk: str) -> Response:
        """Remove it and its secrets."""
        services.delete_connector(actor=self.actor, connector=get_connector_for(self.actor, pk, MANAGE))
        return Response({"detail": _("Integration deleted")})


class IntegrationHealthView(ApiView):
    capability = MANAGE

    @extend_schema(
        operation_id="integration_health",
        request=None,
        responses=IntegrationHealthSerializer,
        tags=["integrations"],
    )
    def post(self, request: Request, pk: str) -> Response:
        """Look at the other system now."""
        connector = get_connector_for(self.actor, pk, MANAGE)
        found = services.check_connector(actor=self.actor, connector=connector)
        return Response({"healthy": found.healthy, "message": found.message, "details": found.details})


class IntegrationPollView(ApiView):
    capability = MANAGE

    @extend_schema(
        operation_id="integration_poll",
        request=None,
        responses={202: IntegrationSerializer, 409: Detail},
        tags=["integrations"],
    )
    def post(self, request: Request, pk: str) -> Response:
        """Fetch its alerts now instead of at the next due time; a worker begins within seconds."""
        connector = get_connector_for(self.actor, pk, MANAGE)
        poll_now(actor=self.actor, connector=connector)
        return Response(show_integration(get_connector_for(self.actor, pk, MANAGE)), status=202)
