"""Headers that langgraph.json has sent with webhooks (`webhooks.headers`), in bodies that are LangGraph's."""

import os
import re

from runtime.configuration import current

# How a run's webhook, and an event, says that it is told in LangGraph's words.
LANGGRAPH = "langgraph"
# Other variables are the server's own, and none of a webhook's business.
PREFIX = "LG_WEBHOOK_"
_VARIABLE = re.compile(r"\$\{\{\s*env\.(\w+)\s*\}\}")


def deployments_headers() -> dict[str, str]:
    """The headers with the values of the variables that they name; what is not set is empty.

    Raises `ValueError` for a header that cannot be sent.
    """
    given = current().langgraph.webhooks.get("headers") or {}
    if not isinstance(given, dict):
        raise ValueError("webhooks.headers: an object of names and texts.")
    return {name: _filled(name, value) for name, value in given.items()}


def _filled(name: str, value: object) -> str:
    if not isinstance(value, str) or not re.fullmatch(r"[A-Za-z0-9!#$%&'*+.^_|~-]+", name):
        raise ValueError(f"webhooks.headers: {name!r} is no header with a text.")

    def variable(match: re.Match[str]) -> str:
        if not match[1].startswith(PREFIX):
            raise ValueError(f"webhooks.headers: the variable {match[1]} does not begin with {PREFIX}.")
        return os.environ.get(match[1], "")

    filled = _VARIABLE.sub(variable, value)
    if "${{" in filled or not filled.isprintable():
        raise ValueError(f"webhooks.headers: {name!r} has a value that cannot be sent.")
    return filled
