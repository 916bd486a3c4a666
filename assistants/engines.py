"""What a configuration may ask for that this server stores and does not carry out yet.

Such an assistant may be active; a run of it ends with an error that names what is missing, so that nothing an author
asked for is silently left out.
"""

from assistants.config import Config

Path = tuple[str | int, ...]


def unsupported(config: Config) -> dict[Path, str]:
    """The places of the configuration that no engine carries out, each with a sentence."""
    scope = config["memory"]["scope"]
    asked: dict[Path, tuple[bool, str]] = {
        ("type",): (config["type"] == "DocumentAssistant", "The type DocumentAssistant"),
        ("memory", "scope"): (scope in {"user", "group"}, f"The memory scope {scope!r}"),
        ("mcp_servers",): (bool(config["mcp_servers"]), "Calling the tools of MCP servers"),
        ("interrupt_on",): (any(config["interrupt_on"].values()), "Asking a person about tool calls (interrupt_on)"),
        ("output_schema",): (config["output_schema"] is not None, "Structured output (output_schema)"),
    }
    return {
        loc: f"{what} is not supported by this server yet: runs end with an error."
        for loc, (wanted, what) in asked.items()
        if wanted
    }
