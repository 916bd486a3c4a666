from django.apps import AppConfig


class GraphsConfig(AppConfig):
    """Hosting of LangGraph's graphs. Its rows are the sessions' (`sessions.models.GraphCheckpoint`)."""

    name = "graphs"
