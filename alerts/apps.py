from django.apps import AppConfig


class AlertsConfig(AppConfig):
    name = "alerts"
    label = "alerts"

    def ready(self) -> None:
        from alerts import timeline_kinds  # noqa: F401  registers
        from alerts.pages import open_count
        from opensoar.web.menu import register_count

        register_count("alerts", "alerts:read", open_count)
