"""What a deployment's own authorization (LangGraph's `Auth` handlers) says of a request."""

from typing import Any

from core.hot import HotRequest

Filters = dict[str, Any]


async def allow(request: HotRequest, resource: str, action: str, value: dict[str, Any]) -> Filters:
    """Ask whether this may be done; gives what the metadata of the rows must hold, nothing for all rows.

    `resource` is "threads", "assistants", "crons" or "store", `action` as in `langgraph_sdk.Auth.on`. `value` is what
    was asked for; handlers may change it, and what is created takes its metadata from it. Raises Forbidden.
    """
    return {}


def holds(column: str, filters: Filters, name: str = "filters") -> tuple[str, dict[str, Any]]:
    """An SQL condition on a jsonb column for `filters`, and its parameters, whose names begin with `name`."""
    return "true", {}
