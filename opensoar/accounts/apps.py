from typing import Any

from django.apps import AppConfig
from django.db.models.signals import post_migrate


class AccountsConfig(AppConfig):
    name = "opensoar.accounts"
    label = "accounts"

    def ready(self) -> None:
        post_migrate.connect(sync_roles, sender=self)


def sync_roles(**kwargs: Any) -> None:
    """Built-in roles follow ``permissions.ROLES``; roles that an admin made are left alone."""
    from opensoar.accounts.models import Role
    from opensoar.accounts.permissions import ROLES

    for role_id, (label, capabilities) in ROLES.items():
        Role.objects.update_or_create(
            id=role_id, defaults={"label": label, "capabilities": sorted(capabilities), "built_in": True}
        )
