"""Who asks, as graphs are told in `configurable`."""

from typing import Any

# Where the deployment's own `Auth` handlers say nothing of that.
NOBODY: dict[str, Any] = {"langgraph_auth_user": None, "langgraph_auth_user_id": "", "langgraph_auth_permissions": []}
