"""A run's config, for its graph and for whom it is shown to. Imports no langgraph: the door does without it.

Source: LangGraph's `RunnableConfig`, and what its server puts into it.
"""

from collections.abc import Mapping
from typing import Any

# Who asks, where the deployment's own `Auth` handlers say nothing of that.
_NOBODY: dict[str, Any] = {"langgraph_auth_user": None, "langgraph_auth_user_id": "", "langgraph_auth_permissions": []}


def run_config(
    asked: Mapping[str, Any], place: Mapping[str, Any], user_id: str | None, metadata: Mapping[str, Any], attempt: int
) -> dict[str, Any]:
    """The config that was asked for, and over it what this server says.

    `place`: the ids of thread, run, assistant and graph. `metadata` is the run's own; `attempt` is 0 for a run that
    has not begun.
    """
    attempted = {"run_attempt": attempt} if attempt else {}
    return {
        **asked,
        "configurable": {**_NOBODY, **(asked.get("configurable") or {}), **place, "user_id": user_id or ""},
        "metadata": {**(asked.get("metadata") or {}), **metadata, **attempted},
    }
