import os

from django.apps import AppConfig

from config import checks  # noqa: F401 - Django finds its checks by their import
from config.env import ENV, BadEnvironment
from config.own_secrets import learn_settings
from core.garbage import collect_from_here
from runtime.configuration import RuntimeSettings, configure
from runtime.registry import ENTRY_POINTS, agent_names, load_agents, load_installed_agents
from webhooks.bodies_of_events import register_format
from webhooks.langgraph import LANGGRAPH


class ConfigConfig(AppConfig):
    """Hands the environment to the runtime, and holds the roles' commands; it has no models."""

    name = "config"

    def ready(self) -> None:
        # Before the rest: among them are keys, which are secrets from now on.
        for name, value in ENV.langgraph.env.items():
            os.environ.setdefault(name, value)
        configure(
            RuntimeSettings(
                url_allowlist=tuple(ENV.url_allowlist),
                secret_env_prefixes=tuple(ENV.secret_env_prefixes),
                secret_hosts=tuple(ENV.secret_hosts),
                mcp_commands=tuple(ENV.mcp_commands),
                file_read_roots=tuple(ENV.file_read_roots),
                prices=ENV.prices,
                langgraph=ENV.langgraph,
            )
        )
        learn_settings()
        try:
            load_agents(ENV.agent_modules)
        except ImportError as error:
            raise BadEnvironment(f"AGENT_SERVER_AGENTS: {error}") from error
        try:
            load_installed_agents()
        except (ImportError, AttributeError, ValueError) as error:
            raise BadEnvironment(f"An installed package's entry point {ENTRY_POINTS}: {error}") from error
        if taken := sorted(ENV.langgraph.graphs.keys() & set(agent_names())):
            raise BadEnvironment(f"The graph {taken[0]!r} has the name of an agent type; give it another.")
        # Models are ready only now.
        from config.auth import install_authentication  # noqa: PLC0415
        from protocols.langgraph.webhooks import webhook_body  # noqa: PLC0415

        install_authentication(ENV)
        register_format(LANGGRAPH, webhook_body)
        collect_from_here()
