"""System checks: what must be right before OpenSOAR serves."""

from __future__ import annotations

import pkgutil
from collections.abc import Sequence
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, register

import opensoar


@register(Tags.compatibility)
def broker_is_first(app_configs: Sequence[Any] | None, **kwargs: Any) -> list[CheckMessage]:
    """django_dramatiq sets the broker when it is loaded; an actor declared before that binds the wrong one."""
    if settings.INSTALLED_APPS[0] == "django_dramatiq":
        return []
    return [Error("django_dramatiq must be first in INSTALLED_APPS", id="opensoar.E001")]


@register(Tags.compatibility)
def exports_are_not_submodules(app_configs: Sequence[Any] | None, **kwargs: Any) -> list[CheckMessage]:
    """A submodule with an exported name would hide it from playbooks."""
    clash = set(opensoar.__all__) & {module.name for module in pkgutil.iter_modules(opensoar.__path__)}
    return [
        Error(f"opensoar/{name}.py hides the public name {name}", id="opensoar.E002")
        for name in sorted(clash)
    ]


@register(Tags.security, deploy=True)
def keys_are_set(app_configs: Sequence[Any] | None, **kwargs: Any) -> list[CheckMessage]:
    """Keys come from the environment or a file; there is no default."""
    problems: list[CheckMessage] = []
    if not settings.SECRET_KEY_IS_SET:
        problems.append(Error("set OPENSOAR_SECRET_KEY or OPENSOAR_SECRET_KEY_FILE", id="opensoar.E003"))
    if not settings.SECRETS_KEY:
        problems.append(Error("set OPENSOAR_SECRETS_KEY or OPENSOAR_SECRETS_KEY_FILE", id="opensoar.E004"))
    if "*" in settings.ALLOWED_HOSTS:
        problems.append(Error("OPENSOAR_ALLOWED_HOSTS must name hosts, not *", id="opensoar.E005"))
    return problems
