"""Every route that writes, taken from the tables, and for each a request that is taken as it stands."""

from typing import Any

from tests.doors import routes

WRITES = ("POST", "PUT", "PATCH", "DELETE")
Route = tuple[str, str]

_LLM = {
    "provider": "fake",
    "model": "echo",
    "temperature": 1,
    "max_tokens": 100,
    "top_p": 0.5,
    "stop_sequences": ["stop"],
    "settings": {},
    "fallbacks": [{"provider": "fake", "model": "echo"}],
}
_CONFIG: dict[str, Any] = {
    "name": "{unique}",
    "llm": _LLM,
    "type": "ReactAgent",
    "description": "What it is for.",
    "system_prompt": "Be brief.",
    "tools": [{"name": "calculator", "enabled": True, "parameters": {}, "timeout_s": 5}],
    "memory": {"scope": "session", "settings": {"max_memories": None}},
    "interrupt_on": {"calculator": {"allowed_decisions": ["approve", "reject"]}},
    "input_schema": {"type": "object"},
    "retry_policy": {"max_attempts": 2, "backoff": "fixed", "initial_interval_s": 1, "retry_on": ["timeout"]},
    "max_steps": 5,
    "run_timeout_s": 60,
    "step_timeout_s": 60,
    "queue_timeout_s": 60,
    "interrupt_timeout_s": 60,
    "durability": "sync",
    "priority": 1,
    "max_concurrent_runs": 5,
    "rate_limit": {"requests_per_minute": 1_000},
    "quota": {"runs_per_day": 1_000, "tokens_per_day": 1_000},
    "resources": {"labels": ["gpu"]},
    "session_ttl_seconds": 600,
    "metadata": {"a": 1},
}
_RUN: dict[str, Any] = {
    "input": {"message": "Hello"},
    "metadata": {"a": 1},
    "priority": 1,
    "multitask_strategy": "enqueue",
    "durability": "sync",
    "retry_policy": {"max_attempts": 2, "backoff": "fixed", "initial_interval_s": 1, "retry_on": ["timeout"]},
    "timeout_s": 60,
    "queue_timeout_s": 60,
    "after_seconds": 0,
}
_STATELESS = {**_RUN, "assistant_id": "{assistant_id}", "version": 1, "user_id": "ann", "keep_session": True}
_SESSION = {
    "user_id": "ann",
    "metadata": {"a": 1},
    "ttl_seconds": 600,
    "agent_id": "{unique}",
    "title": "A talk",
    "initial_state": {"messages": [{"role": "user", "content": "Hello"}], "metadata": {}},
}
_SCHEDULE = {
    "name": "Every morning",
    "cron": "0 9 * * MON-FRI",
    "timezone": "Europe/Berlin",
    "input": {"message": "Hello"},
    "version": 1,
    "user_id": "ann",
    "enabled": True,
    "skip_if_running": False,
    "max_active_runs": 5,
    "end_time": "9000-01-01T00:00:00Z",
    "misfire": "all",
    "jitter_s": 60,
    "alert_after": 3,
    "webhook": {"url": "https://example.com/hook", "events": ["run.failed"]},
    "metadata": {"a": 1},
}
_IN_SESSION = {name: value for name, value in _SCHEDULE.items() if name not in {"version", "user_id"}}

_HOOK = {
    "name": "ops",
    "url": "https://example.com/hooks",
    "events": ["run.failed", "schedule.failed"],
    "headers": {"x-environment": "test"},
    "retry_delays_s": [5, 60],
    "enabled": True,
}

_TRIGGER = {
    "name": "ci",
    "version": 1,
    "user_id": "ann",
    "enabled": True,
    "metadata": {"a": 1},
    "verification": "sha256",
    "signature_header": "x-signature",
    "secret": "0123456789abcdef",
}

# `{name}` in an address or as a value of a body is an id of the world's; None is no body.
GOOD: dict[Route, Any] = {
    ("POST", "/api-keys"): {"name": "a key", "scopes": ["runs:read"], "user_id": "ann", "expires_at": None},
    ("DELETE", "/api-keys/{api_key_id}"): None,
    ("POST", "/api-keys/{api_key_id}/rotate"): {"overlap_s": 60, "expires_at": None},
    ("POST", "/members"): {"username": "{unique}", "role": "member", "email": "ann@example.com"},
    ("PATCH", "/members/{member_id}"): {"role": "editor"},
    ("DELETE", "/members/{member_id}"): None,
    ("POST", "/members/{member_id}/invitation"): None,
    ("PUT", "/secrets/NEW"): {"value": "a secret text", "hosts": ["example.com"]},
    ("DELETE", "/secrets/KEPT"): None,
    ("POST", "/webhooks"): {**_HOOK, "secret": "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3"},
    ("PATCH", "/webhooks/{webhook_id}"): _HOOK,
    ("DELETE", "/webhooks/{webhook_id}"): None,
    ("POST", "/webhooks/{webhook_id}/rotate"): {"overlap_s": 60},
    ("POST", "/webhooks/{webhook_id}/test"): None,
    ("POST", "/webhook-deliveries/{delivery_id}/redeliver"): None,
    ("POST", "/alerts/{alert_id}/resolve"): None,
    ("POST", "/ws-tickets"): {"path": "/ws/sessions/{session_id}"},
    ("POST", "/assistants"): {**_CONFIG, "change_note": "", "status": "created"},
    ("PATCH", "/assistants/{assistant_id}"): {**_CONFIG, "change_note": "", "expected_version": 1},
    ("DELETE", "/assistants/{assistant_id}"): None,
    ("POST", "/assistants/{created_id}/activate"): None,
    ("POST", "/assistants/{assistant_id}/archive"): None,
    ("POST", "/assistants/{archived_id}/restore"): None,
    ("POST", "/assistants/{assistant_id}/versions/1/rollback"): {"change_note": "Back", "expected_version": 1},
    ("PUT", "/assistants/{assistant_id}/versions/1/tags/stable"): None,
    ("DELETE", "/assistants/{assistant_id}/versions/1/tags/tagged"): None,
    ("POST", "/assistants/{assistant_id}/sessions"): _SESSION,
    ("PATCH", "/sessions/{session_id}"): {"metadata": {"a": 1}, "title": "New", "assistant_version": 1},
    ("DELETE", "/sessions/{session_id}"): None,
    ("POST", "/sessions/{session_id}/close"): None,
    ("POST", "/sessions/{session_id}/fork"): {"checkpoint_id": "{checkpoint_id}", "metadata": {"a": 1}},
    ("PUT", "/sessions/{session_id}/files/new.txt"): {"content": "Hello"},
    ("DELETE", "/sessions/{session_id}/files/kept.txt"): None,
    ("POST", "/sessions/{session_id}/files/move"): {"from": "/kept.txt", "to": "/moved.txt"},
    ("POST", "/sessions/{session_id}/middleware/user_context/notify"): {"message": {"name": "Ann"}},
    ("POST", "/sessions/{session_id}/runs"): _RUN,
    ("POST", "/sessions/{session_id}/runs/wait"): _RUN,
    ("POST", "/sessions/{session_id}/runs/stream"): _RUN,
    ("POST", "/runs"): _STATELESS,
    ("POST", "/runs/wait"): _STATELESS,
    ("POST", "/runs/stream"): _STATELESS,
    ("POST", "/runs/batch"): {
        "runs": [{**_RUN, "session_id": "{session_id}"}, {**_STATELESS, "wait": False, "stream": False}]
    },
    ("POST", "/runs/cancel"): {"ids": ["{run_id}"]},
    ("POST", "/runs/{run_id}/cancel"): {"action": "cancel", "wait": False},
    ("POST", "/runs/{interrupted_id}/resume"): {"value": "Yes"},
    ("POST", "/assistants/{assistant_id}/schedules"): _SCHEDULE,
    ("PATCH", "/schedules/{schedule_id}"): {**_IN_SESSION, "session_id": "{session_id}"},
    ("DELETE", "/schedules/{schedule_id}"): None,
    ("POST", "/schedules/{schedule_id}/pause"): None,
    ("POST", "/schedules/{schedule_id}/resume"): None,
    ("POST", "/assistants/{assistant_id}/triggers"): _TRIGGER,
    ("PATCH", "/triggers/{trigger_id}"): {"name": "new", "enabled": False, "metadata": {"a": 1}, "version": 1},
    ("DELETE", "/triggers/{trigger_id}"): None,
    ("POST", "/triggers/{trigger_id}/rotate"): {"overlap_s": 60},
    ("POST", "/schedules/{schedule_id}/trigger"): None,
}

# What people send from pages: forms with a CSRF token, by their fields. The admin's are Django's own, and `test_forms`
# knows them.
FORMS: dict[str, dict[str, str]] = {
    "/login": {"username": "root", "password": "wrong", "next": "/console/"},
    "/logout": {},
    "/sign-in/{token}": {"next": "/console/"},
    "/invitations/{token}": {"username": "new", "password": "a long password"},
    "/console/workspace": {"workspace": "{workspace_id}", "next": "/console/chat"},
    "/console/chat": {"message": "Hello", "assistant": "{assistant_id}", "run": "{unknown}"},
    "/console/chat/{session_id}/title": {"title": "A talk"},
    "/console/settings/keys/new": {
        "name": "x",
        "user_id": "ann",
        "scopes": "runs:read",
        "life": "",
        "once": "{unknown}",
    },
    "/console/settings/keys/{key_id}/rotate": {"hours": "1", "once": "{unknown}"},
    "/console/settings/keys/{key_id}/revoke": {"name": "other"},
    "/console/settings/members/new": {"username": "ann", "email": "", "role": "member", "once": "{unknown}"},
    "/console/settings/members/{member_id}/role": {"role": "editor"},
    "/console/settings/members/{member_id}/remove": {"name": "other"},
    "/console/settings/members/{member_id}/invite": {"once": "{unknown}"},
    "/console/settings/new-secret": {"name": "NEW", "value": "a secret text", "hosts": "example.com"},
    "/console/settings/secrets/{name}": {"value": "another secret text", "hosts": "example.com"},
    "/console/settings/secrets/{name}/delete": {"name": "OTHER"},
}
PAGES = {
    "/",
    "/favicon.ico",
    "/console/",
    "/console/status",
    "/console/chat/conversations",
    "/console/chat/{session_id}",
    "/console/chat/{session_id}/asked",
    "/console/chat/{session_id}/todos",
    "/console/chat/{session_id}/earlier",
    "/console/chat/{session_id}/events",
    "/console/chat/{session_id}/runs/{run_id}/calls/{call_id}",
    "/console/settings/keys",
    "/console/settings/members",
    "/console/settings/secrets",
    "/console/settings/audit",
}


def api_routes() -> set[Route]:
    """The writing routes of the API by method and address, as Django has them: `{}` where an id stands."""
    return {(method, _blank(path)) for method, path in routes.api_routes() if method in WRITES}


def pages() -> set[str]:
    """The addresses of what is no API, without the admin's."""
    return {_blank(path) for path in routes.pages()}


def _blank(path: str) -> str:
    return "/".join("{}" if part.startswith(("<", "{")) else part for part in path.split("/"))


def blank(route: Route) -> Route:
    """A route of `GOOD` as the tables have it."""
    method, path = route
    parts = path.split("/")
    for before in ("versions", "tags", "secrets", "middleware", "files"):
        if before in parts[:-1] and parts[parts.index(before) + 1] not in {"diff", "move"}:
            parts[parts.index(before) + 1] = "{}"
    return method, _blank("/".join(parts))


def filled(value: Any, ids: dict[str, str]) -> Any:
    """A body or an address with the world's ids."""
    if isinstance(value, str):
        for name, identifier in ids.items():
            value = value.replace(f"{{{name}}}", identifier)
        return value
    if isinstance(value, list):
        return [filled(item, ids) for item in value]
    if isinstance(value, dict):
        return {key: filled(item, ids) for key, item in value.items()}
    return value
