"""Django admin: the switch and the partner of a playbook, connectors, secrets. A playbook's rest follows its file."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils import timezone
from django.utils.formats import localize
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext
from django_dramatiq.models import Task

from opensoar.accounts.admin_base import Served, ServedForm, actor_of
from opensoar.actors import Actor
from opensoar.edits import UNSET
from opensoar.errors import ServiceError
from playbooks_engine.connectors import known_types
from playbooks_engine.connectors import services as connectors
from playbooks_engine.models import Connector, Playbook, Secret
from playbooks_engine.pollers.services import poll_now
from playbooks_engine.secrets import delete_secret, describe_secret, set_secret
from playbooks_engine.services import update_playbook

admin.site.unregister(Task)  # the broker's messages are only nudges; runs are on their own pages


class PlaybookForm(ServedForm):
    """The switch, and whose alerts it runs for."""

    def serve(self, actor: Actor, data: dict[str, Any]) -> Playbook:
        return update_playbook(
            actor=actor, playbook=self.instance, enabled=data["enabled"], partner=data["partner"]
        )


@admin.register(Playbook)
class PlaybookAdmin(Served):
    """Whether it runs, and for whom."""

    capability, reading = "playbooks:manage", "playbooks:read"
    form = PlaybookForm
    list_display = ("name", "order", "trigger", "enabled", "partner", "missing_since")
    list_select_related = ("partner",)
    fields = ("enabled", "partner")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class ConnectorForm(ServedForm):
    """A connector. Its secrets go in and never come out again: not to the page, not to the audit trail."""

    field_names = {"integration_type": "kind", "secrets": "new_secrets"}
    new_secrets = forms.JSONField(
        label=_("Secrets"), required=False, widget=forms.PasswordInput(render_value=False, attrs={"size": 80}),
        help_text=_('JSON such as {"api_key": "…"}. Kept encrypted and never shown; empty: stays as it is.'),
    )  # fmt: skip
    forget_secrets = forms.BooleanField(label=_("Forget the stored secrets"), required=False)

    class Meta:
        model = Connector
        fields = ("kind", "name", "partner", "enabled", "config")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if not self.is_new and "kind" in self.fields:
            self.fields["kind"].disabled = True  # its configuration would mean something else

    def clean_config(self) -> dict[str, Any]:
        """An object, as the API takes it; an empty field is an empty one."""
        return self._object("config") or {}

    def clean_new_secrets(self) -> dict[str, Any] | None:
        """What was typed goes no further than the service, which seals it."""
        return self._object("new_secrets")

    def _object(self, field: str) -> dict[str, Any] | None:
        typed = self.cleaned_data[field]
        if typed in (None, "", {}):
            return None
        if not isinstance(typed, dict):
            raise forms.ValidationError(_("This must be a JSON object."))
        return typed

    def serve(self, actor: Actor, data: dict[str, Any]) -> Connector:
        values = {name: data[name] for name in ("name", "partner", "enabled", "config")}
        secrets = data["new_secrets"]
        if self.is_new:
            return connectors.create_connector(actor=actor, kind=data["kind"], secrets=secrets, **values)
        kept = secrets is None and not data["forget_secrets"]
        return connectors.update_connector(
            actor=actor, connector=self.instance, secrets=UNSET if kept else secrets, **values
        )


@admin.register(Connector)
class ConnectorAdmin(Served):
    """Connections to other systems."""

    capability, reading = "integrations:manage", "integrations:read"
    form = ConnectorForm
    list_display = ("name", "kind", "partner", "enabled", "has_secrets", "health_status", "polled")
    list_filter = ("kind", "enabled")
    list_select_related = ("partner", "poll")
    actions = ("poll_now",)
    change_form_template = "admin/playbooks_engine/connector/change_form.html"

    def render_change_form(
        self, request: HttpRequest, context: Any, *args: Any, **kwargs: Any
    ) -> HttpResponse:
        obj: Connector | None = kwargs.get("obj")
        kinds = [one for one in known_types() if obj is None or one.kind == obj.kind]
        context.update(poll=getattr(obj, "poll", None), kinds=kinds)
        return super().render_change_form(request, context, *args, **kwargs)

    @admin.action(description=_("Fetch alerts now"), permissions=["change"])
    def poll_now(self, request: HttpRequest, queryset: Any) -> None:
        """Of each chosen connector; what cannot be polled says why."""
        for connector in queryset:
            self._poll_now(request, connector)

    def _poll_now(self, request: HttpRequest, connector: Connector) -> None:
        try:
            poll_now(actor=actor_of(request), connector=connector)
        except ServiceError as error:
            self.message_user(request, f"{connector}: {error.detail}", messages.ERROR)
        else:
            self.message_user(request, _("%s: alerts are fetched within seconds.") % connector)

    def response_change(self, request: HttpRequest, obj: Connector) -> HttpResponse:
        """The page again for who saved and wants to see whether it works."""
        if "_poll_now" not in request.POST:
            return super().response_change(request, obj)
        self._poll_now(request, obj)
        return HttpResponseRedirect(request.path)

    @admin.display(description=_("polled"))
    def polled(self, connector: Connector) -> str:
        """When it last worked, or how often it failed since; its page says why."""
        poll = getattr(connector, "poll", None)
        if poll is None:
            return ""
        if poll.failures:
            return ngettext("%d failure", "%d failures", poll.failures) % poll.failures
        return localize(timezone.localtime(poll.last_ok_at)) if poll.last_ok_at else str(_("not yet"))

    @admin.display(description=_("secrets stored"), boolean=True)
    def has_secrets(self, connector: Connector) -> bool:
        """Whether there are any; never which."""
        return connector.secrets is not None

    def delete_model(self, request: HttpRequest, obj: Connector) -> None:
        connectors.delete_connector(actor=actor_of(request), connector=obj)

    def delete_queryset(self, request: HttpRequest, queryset: Any) -> None:
        for connector in queryset:
            self.delete_model(request, connector)


class SecretForm(ServedForm):
    """A secret. Its value goes in and never comes out again; its name and partner are what runs know it by."""

    field_names = {"value": "new_value"}
    new_value = forms.CharField(
        label=_("Value"), required=False, strip=False, widget=forms.PasswordInput(render_value=False, attrs={"size": 80}),
        help_text=_("Kept encrypted and never shown; empty: stays as it is. What has several lines: manage.py set_secret."),
    )  # fmt: skip

    class Meta:
        model = Secret
        fields = ("name", "partner", "description")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name in ("name", "partner"):
            if name in self.fields:
                self.fields[name].disabled = not self.is_new

    def serve(self, actor: Actor, data: dict[str, Any]) -> Secret:
        value, description = data["new_value"], data["description"]
        if not self.is_new and not value:
            return describe_secret(actor=actor, secret=self.instance, description=description)
        return set_secret(
            actor=actor, name=data["name"], value=value, partner=data["partner"], description=description
        )


@admin.register(Secret)
class SecretAdmin(Served):
    """What secret() gives playbooks."""

    capability, reading = "integrations:manage", "integrations:read"
    form = SecretForm
    list_display = ("name", "partner", "description", "updated_at")
    list_select_related = ("partner",)

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest) -> bool:
        return not lookup.startswith("value") and super().lookup_allowed(lookup, value, request)

    def delete_model(self, request: HttpRequest, obj: Secret) -> None:
        delete_secret(actor=actor_of(request), secret=obj)

    def delete_queryset(self, request: HttpRequest, queryset: Any) -> None:
        for secret in queryset:
            self.delete_model(request, secret)
