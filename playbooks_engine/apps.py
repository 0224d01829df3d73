from django.apps import AppConfig


class PlaybooksEngineConfig(AppConfig):
    name = "playbooks_engine"
    label = "playbooks_engine"

    def ready(self) -> None:
        from playbooks_engine import subscribers, timeline_kinds  # noqa: F401  both register
