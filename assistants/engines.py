"""What a configuration may ask for that this server stores and does not carry out yet.

Such an assistant may be active; a run of it ends with an error that names what is missing, so that nothing an author
asked for is silently left out.
"""

from assistants.config import Config
from runtime.registry import agent_names, agent_type

Path = tuple[str | int, ...]


def unsupported(config: Config) -> dict[Path, str]:
    """The places of the configuration that no engine carries out, each with a sentence."""
    scope = config["memory"]["scope"]
    asked: dict[Path, tuple[bool, str]] = {
        ("type",): (config["type"] == "DocumentAssistant", "The type DocumentAssistant"),
        ("memory", "scope"): (scope in {"user", "group"}, f"The memory scope {scope!r}"),
        ("mcp_servers",): (bool(config["mcp_servers"]), "Calling the tools of MCP servers"),
        ("interrupt_on",): (
            any(config["interrupt_on"].values()) and not _asks_about_tools(config["type"]),
            f"Asking a person about tool calls (interrupt_on) with the type {config['type']}",
        ),
        ("middleware",): (
            bool(config["middleware"]) and not _takes_middleware(config["type"]),
            f"Middleware with the type {config['type']}",
        ),
        ("output_schema",): (
            config["output_schema"] is not None and not _takes_output_schema(config["type"]),
            f"Structured output (output_schema) with the type {config['type']}",
        ),
    }
    return {
        loc: f"{what} is not supported by this server yet: runs end with an error."
        for loc, (wanted, what) in asked.items()
        if wanted
    }


def _asks_about_tools(name: str) -> bool:
    """Whether agents of the type do; one that this server does not have is refused for that."""
    return name not in agent_names() or agent_type(name).takes_interrupt_on


def _takes_middleware(name: str) -> bool:
    return name not in agent_names() or agent_type(name).takes_middleware


def _takes_output_schema(name: str) -> bool:
    return name not in agent_names() or agent_type(name).takes_output_schema
