from django.apps import AppConfig


class PlaybooksEngineConfig(AppConfig):
    name = "playbooks_engine"
    label = "playbooks_engine"
