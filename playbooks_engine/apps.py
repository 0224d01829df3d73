from django.apps import AppConfig


class PlaybooksEngineConfig(AppConfig):
    name = "playbooks_engine"
    label = "playbooks_engine"

    def ready(self) -> None:
        from opensoar.web.menu import register_count
        from playbooks_engine import subscribers, timeline_kinds  # noqa: F401  both register
        from playbooks_engine.pages import waiting_count

        register_count("runs", "playbooks:read", waiting_count)
