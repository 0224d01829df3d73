from django.apps import AppConfig


class OpensoarConfig(AppConfig):
    """Owns system checks and template builtins; it has no models."""

    name = "opensoar"
    label = "opensoar"

    def ready(self) -> None:
        from opensoar import checks, timeline_kinds  # noqa: F401  both register
