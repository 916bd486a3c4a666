from django.apps import AppConfig

from runs.telling import told_document
from webhooks.bodies_of_events import register


class RunsConfig(AppConfig):
    name = "runs"

    def ready(self) -> None:
        register("run.", lambda snapshot, _: told_document(snapshot))
