"""What machines that watch ask: does it live, is it ready, and the API's own health and name."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.db import Error, connection
from django.http import HttpRequest, HttpResponse
from drf_spectacular.utils import extend_schema
from psycopg_pool import PoolTimeout
from rest_framework import serializers
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response

from opensoar.api.base import ApiView


def database_answers() -> bool:
    """Whether PostgreSQL answers a query now."""
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except (Error, PoolTimeout):
        return False
    return True


def live(request: HttpRequest) -> HttpResponse:
    """This process answers."""
    return HttpResponse("ok\n", content_type="text/plain")


def ready(request: HttpRequest) -> HttpResponse:
    """The database answers too: 200, else 503."""
    fine = database_answers()
    return HttpResponse("ok\n" if fine else "no\n", status=200 if fine else 503, content_type="text/plain")


class InstallationSerializer(serializers.Serializer[Any]):
    """How the installation is."""

    status = serializers.ChoiceField(["ok", "degraded"])
    database = serializers.ChoiceField(["ok", "unavailable"])
    version = serializers.CharField()


class AboutSerializer(serializers.Serializer[Any]):
    """What answers here."""

    name = serializers.CharField()
    version = serializers.CharField()
    description = serializers.CharField()
    docs = serializers.CharField()


class HealthView(ApiView):
    authentication_classes = ()
    permission_classes = (AllowAny,)

    @extend_schema(operation_id="health", responses=InstallationSerializer, tags=["health"], auth=[])
    def get(self, request: Request) -> Response:
        """Status, database and version; always 200."""
        fine = database_answers()
        state = {"status": "ok" if fine else "degraded", "database": "ok" if fine else "unavailable"}
        return Response({**state, "version": settings.VERSION})


class RootView(ApiView):
    signed_in_is_enough = True

    @extend_schema(operation_id="about", responses=AboutSerializer, tags=["health"])
    def get(self, request: Request) -> Response:
        """What this is."""
        about = settings.SPECTACULAR_SETTINGS["DESCRIPTION"]
        return Response(
            {"name": "OpenSOAR", "version": settings.VERSION, "description": about, "docs": "/api/v1/docs"}
        )
