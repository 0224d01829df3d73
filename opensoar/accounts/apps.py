from typing import Any

from django.apps import AppConfig
from django.apps import apps as installed
from django.apps.registry import Apps
from django.db.models.signals import post_migrate


class AccountsConfig(AppConfig):
    name = "opensoar.accounts"
    label = "accounts"

    def ready(self) -> None:
        post_migrate.connect(sync_roles, sender=self)


def sync_roles(apps: Apps = installed, **kwargs: Any) -> None:
    """Built-in roles follow ``permissions.ROLES``; roles that an admin made are left alone."""
    from opensoar.accounts.permissions import ROLES

    try:
        role = apps.get_model("accounts", "Role")
    except LookupError:
        return  # the migrations were taken back to nothing
    for role_id, (label, capabilities) in ROLES.items():
        role.objects.update_or_create(
            id=role_id, defaults={"label": label, "capabilities": sorted(capabilities), "built_in": True}
        )
