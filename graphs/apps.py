from django.apps import AppConfig

from runtime.registry import AgentType, add_agent

GRAPH = AgentType(
    "Graph", "Runs a LangGraph graph that this server hosts, with a config and a context.", takes_any_input=True
)


class GraphsConfig(AppConfig):
    """Hosting of LangGraph's graphs. Its rows are the sessions' (`sessions.models.GraphCheckpoint`)."""

    name = "graphs"

    def ready(self) -> None:
        # An entry and no class: langgraph takes more than a second to import, and few processes carry out graphs.
        add_agent("graphs.agent:GraphAgent", GRAPH)
