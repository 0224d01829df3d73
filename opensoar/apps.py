from django.apps import AppConfig


class OpensoarConfig(AppConfig):
    """Owns system checks and template builtins; it has no models."""

    name = "opensoar"
    label = "opensoar"
    default = True

    def ready(self) -> None:
        from opensoar import checks, timeline_kinds  # noqa: F401  both register


class SupervisorConfig(AppConfig):
    """The same for ``manage.py up``, which needs its commands and nothing else."""

    name = "opensoar"
    label = "opensoar"
