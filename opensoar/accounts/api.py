"""Signing in, people, tokens and the audit trail by REST."""

from __future__ import annotations

from typing import Any, ClassVar

from django.conf import settings
from django.db.models import Q
from django.utils.translation import gettext as _
from django_filters import CharFilter, FilterSet, IsoDateTimeFilter
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response

from opensoar.accounts import services
from opensoar.accounts.access import audit_of, get_token_for, get_user_for, people_of, tokens_of
from opensoar.accounts.models import ApiToken, AuditEntry, Partner, Role, User
from opensoar.accounts.permissions import SCOPES
from opensoar.accounts.services.inbound import BOUNDS, MAX_SECRET, MIN_SECRET
from opensoar.actors import Actor
from opensoar.api.base import ApiView, Detail, query_parameters
from opensoar.api.fields import Flag, StrictSerializer, Text
from opensoar.api.pagination import PAGE_PARAMETERS, envelope, paginate, whole_number
from opensoar.client_ip import client_ip
from opensoar.errors import Invalid, NotAllowed, NotAuthenticated


class AnalystSerializer(serializers.ModelSerializer[User]):
    """A person."""

    email = serializers.CharField(allow_null=True)
    has_local_password = serializers.SerializerMethodField()
    role = serializers.CharField(source="role_id")
    capabilities = serializers.ListField(child=serializers.CharField(), source="role.capabilities")
    partners = serializers.SlugRelatedField[Partner](slug_field="slug", many=True, read_only=True)

    class Meta:
        model = User
        fields = (
            "id", "username", "display_name", "email", "is_active", "has_local_password", "role", "capabilities",
            "partners", "created_at",
        )  # fmt: skip

    def get_has_local_password(self, user: User) -> bool:
        return user.has_usable_password()


class MentionableSerializer(serializers.ModelSerializer[User]):
    """A person that a comment may mention."""

    class Meta:
        model = User
        fields = ("id", "username", "display_name")


class RoleSerializer(serializers.ModelSerializer[Role]):
    """A role."""

    class Meta:
        model = Role
        fields = ("id", "label")


class RegisterIn(StrictSerializer):
    username = Text(max_length=150)
    display_name = Text(max_length=150)
    email = Text(required=False, allow_null=True, allow_blank=True, max_length=254)
    password = Text(max_length=1000)


class AnalystIn(RegisterIn):
    role = Text(required=False, default="analyst", max_length=40)
    partners = serializers.ListField(child=Text(max_length=100), required=False, max_length=100)


class AnalystPatch(StrictSerializer):
    display_name = Text(required=False, max_length=150)
    email = Text(required=False, allow_null=True, allow_blank=True, max_length=254)
    is_active = Flag(required=False)
    role = Text(required=False, max_length=40)
    partners = serializers.ListField(child=Text(max_length=100), required=False, max_length=100)


class LoginIn(StrictSerializer):
    username = Text(max_length=150)
    password = Text(max_length=1000)


class ChangePasswordIn(StrictSerializer):
    current_password = Text(max_length=1000)
    new_password = Text(max_length=1000)


class ResetPasswordIn(StrictSerializer):
    new_password = Text(max_length=1000)


class SignedInSerializer(serializers.Serializer[Any]):
    """What signing in answers."""

    access_token = serializers.CharField()
    token_type = serializers.CharField()
    analyst = AnalystSerializer()


class ProviderSerializer(serializers.Serializer[Any]):
    id = serializers.CharField()
    name = serializers.CharField()
    type = serializers.CharField()
    login_url = serializers.CharField(required=False)


class CapabilitiesSerializer(serializers.Serializer[Any]):
    """How one may sign in here."""

    local_login_enabled = serializers.BooleanField()
    local_registration_enabled = serializers.BooleanField()
    providers = ProviderSerializer(many=True)


def _bounded(name: str) -> serializers.IntegerField:
    low, high = BOUNDS[name]
    return serializers.IntegerField(required=False, allow_null=True, min_value=low, max_value=high)


class ApiKeySerializer(serializers.ModelSerializer[ApiToken]):
    """A token, without its secret."""

    is_active = serializers.BooleanField(source="is_usable")
    partner = serializers.CharField(source="partner.public_slug", default=None, allow_null=True)

    class Meta:
        model = ApiToken
        fields = (
            "id", "name", "prefix", "is_active", "scopes", "partner", "source", "expires_at", *BOUNDS, "signature",
            "last_used_at", "created_at",
        )  # fmt: skip


class NewApiKeySerializer(ApiKeySerializer):
    """A token just made; ``key`` is told this once."""

    key = serializers.CharField()

    class Meta(ApiKeySerializer.Meta):
        fields = (*ApiKeySerializer.Meta.fields, "key")


class ApiKeyPatch(StrictSerializer):
    """How a token's alerts are taken in; null: the product's own limit. The secret is never told again."""

    alerts_per_minute = _bounded("alerts_per_minute")
    max_body_bytes = _bounded("max_body_bytes")
    max_depth = _bounded("max_depth")
    signature = serializers.ChoiceField(ApiToken.Signature.choices, required=False)
    signing_secret = Text(required=False, write_only=True, min_length=MIN_SECRET, max_length=MAX_SECRET)


class ApiKeyIn(ApiKeyPatch):
    """A new token."""

    name = Text(max_length=150)
    scopes = serializers.ListField(
        child=serializers.ChoiceField(choices=list(SCOPES)), default=["ingest"], min_length=1, max_length=10
    )
    partner = Text(required=False, allow_null=True, max_length=100)
    source = Text(required=False, allow_blank=True, default="", max_length=50)  # type: ignore[assignment]
    expires_at = serializers.DateTimeField(required=False, allow_null=True)


class AuditSerializer(serializers.ModelSerializer[AuditEntry]):
    """One administrative act."""

    class Meta:
        model = AuditEntry
        fields = (
            "id", "recorded_at", "actor_kind", "actor_id", "actor_name", "action", "object_kind", "object_id", "detail",
            "ip",
        )  # fmt: skip


class AuditFilter(FilterSet):  # type: ignore[misc]
    action = CharFilter()
    object_kind = CharFilter()
    object_id = CharFilter()
    actor_name = CharFilter(lookup_expr="iexact")
    recorded_at__gte = IsoDateTimeFilter("recorded_at", "gte")
    recorded_at__lte = IsoDateTimeFilter("recorded_at", "lte")


def _address(request: Request) -> str | None:
    return client_ip(request._request.META)


def _signed_in(user: User, token: str) -> Response:
    return Response({"access_token": token, "token_type": "bearer", "analyst": AnalystSerializer(user).data})


class CapabilitiesView(ApiView):
    authentication_classes = ()
    permission_classes = (AllowAny,)

    @extend_schema(responses=CapabilitiesSerializer, tags=["auth"], auth=[])
    def get(self, request: Request) -> Response:
        """How one may sign in here. Open."""
        registration = bool(settings.LOCAL_REGISTRATION)
        return Response(
            {"local_login_enabled": True, "local_registration_enabled": registration, "providers": []}
        )


class RegisterView(ApiView):
    authentication_classes = ()
    permission_classes = (AllowAny,)

    @extend_schema(
        request=RegisterIn,
        responses={200: SignedInSerializer, 403: Detail, 409: Detail},
        tags=["auth"],
        auth=[],
    )
    def post(self, request: Request) -> Response:
        """Make an account for oneself (a viewer), where the installation allows it."""
        if not settings.LOCAL_REGISTRATION:
            raise NotAllowed(_("Local registration is disabled"))
        body = self.body(RegisterIn)
        body["email"] = body.get("email") or ""
        services.create_user(actor=Actor.system("registration"), role="viewer", **body)
        return _signed_in(*services.login(body["username"], body["password"], _address(request)))


class LoginView(ApiView):
    authentication_classes = ()
    permission_classes = (AllowAny,)

    @extend_schema(
        request=LoginIn,
        responses={200: SignedInSerializer, 401: Detail, 403: Detail, 429: Detail},
        tags=["auth"],
        auth=[],
    )
    def post(self, request: Request) -> Response:
        """A token of eight hours for a name and a password."""
        body = self.body(LoginIn)
        return _signed_in(*services.login(body["username"], body["password"], _address(request)))


class LogoutView(ApiView):
    signed_in_is_enough = True

    @extend_schema(request=None, responses=Detail, tags=["auth"])
    def post(self, request: Request) -> Response:
        """End the session token that this request carries. API tokens are revoked, not signed out."""
        token = request.auth
        if not isinstance(token, ApiToken) or token.kind != ApiToken.Kind.SESSION:
            raise Invalid(_("Only a token from /auth/login can be signed out"), status=400)
        services.revoke_token(actor=self.actor, token=token)
        return Response({"detail": _("Signed out")})


class PersonView(ApiView):
    """A view that only a person can use: machines have neither profile nor password."""

    signed_in_is_enough = True

    @property
    def person(self) -> User:
        """Who is signed in."""
        if self.actor.user_id is None:
            raise NotAllowed(_("This token belongs to no person"))
        return User.objects.select_related("role").get(pk=self.actor.user_id)


class MeView(PersonView):
    @extend_schema(responses=AnalystSerializer, tags=["auth"])
    def get(self, request: Request) -> Response:
        """Who I am."""
        return Response(AnalystSerializer(self.person).data)


class ChangePasswordView(PersonView):
    @extend_schema(request=ChangePasswordIn, responses={200: Detail, 401: Detail, 400: Detail}, tags=["auth"])
    def post(self, request: Request) -> Response:
        """Change my password. Every session of mine ends."""
        body = self.body(ChangePasswordIn)
        name, ip = self.person.username, _address(request)
        services.reserve_attempt(name, ip)  # a stolen session must not try passwords at will
        try:
            services.change_password(
                actor=self.actor, user=self.person, current=body["current_password"], new=body["new_password"]
            )
        except NotAuthenticated:
            services.login_failed(name, ip)
            raise
        return Response({"detail": _("Password updated")})


class RolesView(ApiView):
    capability = "analysts:manage"

    @extend_schema(responses=RoleSerializer(many=True), tags=["auth"])
    def get(self, request: Request) -> Response:
        """The roles that people may have."""
        return Response(RoleSerializer(Role.objects.all(), many=True).data)


class MentionableView(ApiView):
    signed_in_is_enough = True

    @extend_schema(
        parameters=[OpenApiParameter("q", str), OpenApiParameter("limit", int)],
        responses=MentionableSerializer(many=True), tags=["auth"],
    )  # fmt: skip
    def get(self, request: Request) -> Response:
        """People that a comment may mention: active, and of a partner that the caller sees."""
        limit = whole_number(request, "limit", 10, 1, 50)
        prefix = request.query_params.get("q", "")
        if len(prefix) > 100:
            raise Invalid(_("q is longer than 100 characters"), field="q")
        people = User.objects.filter(is_active=True)
        if prefix:
            people = people.filter(Q(username__istartswith=prefix) | Q(display_name__istartswith=prefix))
        if not self.actor.capabilities:  # a token that may only deliver alerts learns no names
            people = people.none()
        if self.actor.partner_ids is not None:
            people = people.filter(
                Q(partners__isnull=True) | Q(partners__in=self.actor.partner_ids)
            ).distinct()
        return Response(MentionableSerializer(people[:limit], many=True).data)


class AnalystsView(ApiView):
    capability = "analysts:manage"

    @extend_schema(responses=AnalystSerializer(many=True), tags=["auth"])
    def get(self, request: Request) -> Response:
        """Everybody whom the caller manages, by username: bound to partners, those of these partners only."""
        people = people_of(self.actor).select_related("role").prefetch_related("partners")
        return Response(AnalystSerializer(people, many=True).data)

    @extend_schema(request=AnalystIn, responses={201: AnalystSerializer, 409: Detail}, tags=["auth"])
    def post(self, request: Request) -> Response:
        """A new account."""
        body = self.body(AnalystIn)
        body["email"] = body.get("email") or ""
        body["partners"] = _partners(body.get("partners", ()), self.actor)
        return Response(AnalystSerializer(services.create_user(actor=self.actor, **body)).data, status=201)


class AnalystView(ApiView):
    capability = "analysts:manage"

    @extend_schema(responses=AnalystSerializer, tags=["auth"])
    def get(self, request: Request, pk: str) -> Response:
        """One person."""
        return Response(AnalystSerializer(get_user_for(self.actor, pk)).data)

    @extend_schema(request=AnalystPatch, responses={200: AnalystSerializer, 400: Detail}, tags=["auth"])
    def patch(self, request: Request, pk: str) -> Response:
        """Change name, address, role, partners, or whether the account is active."""
        user, body = get_user_for(self.actor, pk), self.body(AnalystPatch)
        if body.get("email", "") is None:
            body["email"] = ""
        if "partners" in body:
            body["partners"] = _partners(body["partners"], self.actor)
        return Response(AnalystSerializer(services.update_user(actor=self.actor, user=user, **body)).data)


class ResetPasswordView(ApiView):
    capability = "analysts:manage"

    @extend_schema(request=ResetPasswordIn, responses=Detail, tags=["auth"])
    def post(self, request: Request, pk: str) -> Response:
        """Give somebody a new password. Every session of theirs ends."""
        user, body = get_user_for(self.actor, pk), self.body(ResetPasswordIn)
        services.set_password(actor=self.actor, user=user, password=body["new_password"])
        return Response({"detail": _("Password reset")})


def _partners(slugs: Any, actor: Actor) -> list[Partner]:
    known = {partner.slug: partner for partner in Partner.objects.filter(slug__in=list(slugs))}
    if any(slug not in known or not actor.sees_partner(known[slug].pk) for slug in slugs):
        raise Invalid(_("Unknown partner"), field="partners")
    return list(known.values())


class ApiKeysView(ApiView):
    capability = "api_keys:manage"

    @extend_schema(responses=ApiKeySerializer(many=True), tags=["api-keys"])
    def get(self, request: Request) -> Response:
        """API tokens, newest first, without their secrets."""
        tokens = tokens_of(self.actor).select_related("partner")
        return Response(ApiKeySerializer(tokens, many=True).data)

    @extend_schema(request=ApiKeyIn, responses={201: NewApiKeySerializer}, tags=["api-keys"])
    def post(self, request: Request) -> Response:
        """A new token. Its ``key`` is in this answer and nowhere else. Without ``scopes`` it delivers alerts only."""
        body = self.body(ApiKeyIn)
        if slug := body.pop("partner", None):
            body["partner"] = _partners([slug], self.actor)[0]
        token, plaintext = services.issue_token(actor=self.actor, **body)
        return Response({**ApiKeySerializer(token).data, "key": plaintext}, status=201)


class ApiKeyView(ApiView):
    capability = "api_keys:manage"
    http_method_names: ClassVar[list[str]] = ["patch", "delete", "options"]  # type: ignore[misc]

    @extend_schema(request=ApiKeyPatch, responses=ApiKeySerializer, tags=["api-keys"])
    def patch(self, request: Request, pk: str) -> Response:
        """Change how many and how large alerts it may deliver, and whether these are signed."""
        token, body = get_token_for(self.actor, pk), self.body(ApiKeyPatch)
        return Response(
            ApiKeySerializer(services.configure_token(actor=self.actor, token=token, **body)).data
        )

    @extend_schema(responses={200: Detail}, tags=["api-keys"])
    def delete(self, request: Request, pk: str) -> Response:
        """End a token now."""
        services.revoke_token(actor=self.actor, token=get_token_for(self.actor, pk))
        return Response({"detail": _("API key revoked")})


class AuditView(ApiView):
    capability = "audit:read"

    @extend_schema(
        parameters=[*PAGE_PARAMETERS, *query_parameters(AuditFilter)],
        operation_id="audit_list", responses=envelope("entries", AuditSerializer), tags=["audit"],
    )  # fmt: skip
    def get(self, request: Request) -> Response:
        """Who changed what in the administration, newest first.

        Bound to partners one reads one's own acts and those of the people and tokens of these partners.
        """
        rows = self.filtered(AuditFilter, audit_of(self.actor))
        return paginate(request, rows, "entries", lambda page: AuditSerializer(page, many=True).data)
