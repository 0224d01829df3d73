from django.apps import AppConfig


class IncidentsConfig(AppConfig):
    name = "incidents"
    label = "incidents"

    def ready(self) -> None:
        from incidents import holder, timeline_kinds  # noqa: F401  register
        from incidents.pages import open_count
        from opensoar.web.menu import register_count

        register_count("incidents", "incidents:read", open_count)
