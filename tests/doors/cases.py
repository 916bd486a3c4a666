"""What a generator cannot know of a route: a body that is right, and what its callers get. One line a route.

To add one: method, path with the names of `World.ids`, the scope that it asks for, a body; and what differs from the
rule, which `Case` says.
"""

from dataclasses import dataclass
from typing import Any

from tests.api import HELLO

# What in a path belongs to a user.
OF_USER = ("{session_id}", "{run_id}", "{schedule_id}", "{trigger_id}")


@dataclass(frozen=True)
class Case:
    """A request that is right, for the caller with `scope` (None: for any caller).

    `right`: the status that this caller gets. `stranger`: what another workspace's key gets, by rule 404 where an id is
    in the path. `other`: what a key gets that is bound to another user than the session's, by rule 404 where a session,
    a run or a schedule is in the path. `owner`: what a key of that user gets. `holds_all`: the right caller needs more
    than the scope, because it hands on others. Ids in braces are those of the prepared world.
    """

    method: str
    path: str
    scope: str | None
    body: Any = None
    right: int = 200
    stranger: int | None = None
    other: int | None = None
    owner: int | None = None
    holds_all: bool = False

    @property
    def route(self) -> tuple[str, str]:
        return self.method, self.path.partition("?")[0]

    @property
    def writes(self) -> bool:
        return self.method != "GET"

    @property
    def for_stranger(self) -> int:
        return self.stranger or (404 if "{" in self.path else self.right)

    @property
    def for_other(self) -> int:
        return self.other or (404 if any(of in self.path for of in OF_USER) else self.right)

    @property
    def for_owner(self) -> int:
        return self.owner or self.right

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


# Who is bound to a user, be it the one whose objects these are, does nothing that concerns everybody.
BOUND = (403, 403)
MEMBER, SECRET = "/members/{member_id}", "/secrets/{name}"
WEBHOOK, DELIVERY = "/webhooks/{webhook_id}", "/webhook-deliveries/{delivery_id}"
ONE, SESSION, RUN = "/assistants/{assistant_id}", "/sessions/{session_id}", "/runs/{run_id}"
HOOK = {"name": "k", "url": "https://example.com/hooks", "events": ["run.failed"]}
ECHO = {"name": "{new}", "llm": {"provider": "fake", "model": "echo"}}
STATELESS = {**HELLO, "assistant_id": "{assistant_id}"}
IN_SESSION = {**HELLO, "session_id": "{session_id}"}
SCHEDULE = "/schedules/{schedule_id}"
DAILY = {**HELLO, "name": "{new}", "cron": "0 9 * * *"}
TRIGGER = "/triggers/{trigger_id}"

API = [
    # -- accounts
    Case("GET", "/api-keys", "keys:read"),
    Case("POST", "/api-keys", "keys:write", {"name": "k", "scopes": ["keys:read"]}, 201, other=403, owner=403),
    Case("GET", "/api-keys/{api_key_id}", "keys:read", other=404),
    Case("DELETE", "/api-keys/{api_key_id}", "keys:write", right=204, other=404),
    Case("POST", "/api-keys/{api_key_id}/rotate", "keys:write", {}, 201, other=404),
    Case("GET", "/members", "keys:read"),
    Case("POST", "/members", "keys:write", {"username": "{new}", "role": "member"}, 201, None, *BOUND, holds_all=True),
    Case("GET", MEMBER, "keys:read", other=404, owner=404),
    Case("PATCH", MEMBER, "keys:write", {"role": "editor"}, 200, None, *BOUND, holds_all=True),
    Case("DELETE", MEMBER, "keys:write", None, 204, None, *BOUND, holds_all=True),
    Case("POST", f"{MEMBER}/invitation", "keys:write", {}, 201, None, *BOUND, holds_all=True),
    Case("GET", "/me", None),
    Case("GET", "/workspaces", None),
    Case("GET", "/audit", "keys:read"),
    Case("GET", "/secrets", "keys:read"),
    Case("GET", SECRET, "keys:read"),
    # Its name is the caller's own: in another workspace it makes another secret.
    Case("PUT", SECRET, "keys:write", {"value": "x", "hosts": ["a.example"]}, 200, 201, *BOUND),
    Case("DELETE", SECRET, "keys:write", None, 204, None, *BOUND),
    Case("POST", "/ws-tickets", None, {"path": "/ws/sessions/x"}, 201),
    # -- assistants
    Case("GET", "/assistants", "assistants:read"),
    Case("POST", "/assistants", "assistants:write", ECHO, 201),
    Case("GET", ONE, "assistants:read"),
    Case("PATCH", ONE, "assistants:write", {"max_steps": 3}),
    Case("DELETE", ONE, "assistants:write"),
    Case("DELETE", f"{ONE}?permanent=true", "assistants:write", right=409, other=403, owner=403),
    Case("POST", f"{ONE}/activate", "assistants:write", {}, 409),
    Case("POST", f"{ONE}/archive", "assistants:write", {}),
    Case("POST", f"{ONE}/restore", "assistants:write", {}, 409),
    Case("GET", f"{ONE}/versions", "assistants:read"),
    Case("GET", f"{ONE}/versions/diff?from=1&to=1", "assistants:read"),
    Case("GET", f"{ONE}/versions/{{number}}", "assistants:read"),
    Case("POST", f"{ONE}/versions/{{number}}/rollback", "assistants:write", {}, 201),
    Case("PUT", f"{ONE}/versions/{{number}}/tags/{{tag}}", "assistants:write"),
    Case("DELETE", f"{ONE}/versions/{{number}}/tags/{{tag}}", "assistants:write", right=204),
    Case("GET", f"{ONE}/audit", "assistants:read"),
    Case("GET", f"{ONE}/metrics", "assistants:read"),
    Case("GET", "/assistant-types", "assistants:read"),
    Case("GET", "/middleware-types", "assistants:read"),
    Case("GET", "/tools", "assistants:read"),
    # -- sessions
    Case("GET", f"{ONE}/sessions", "sessions:read"),
    Case("POST", f"{ONE}/sessions", "sessions:write", {}, 201),
    Case("GET", "/sessions", "sessions:read"),
    Case("GET", "/sessions?assistant_id={assistant_id}", "sessions:read", stranger=422),
    Case("GET", "/sessions?user_id=ann", "sessions:read"),
    Case("GET", SESSION, "sessions:read"),
    Case("PATCH", SESSION, "sessions:write", {"title": "Mine"}),
    Case("DELETE", SESSION, "sessions:write"),
    Case("POST", f"{SESSION}/close", "sessions:write", {}),
    Case("POST", f"{SESSION}/fork", "sessions:write", {}, 201),
    Case("GET", f"{SESSION}/state", "sessions:read"),
    Case("GET", f"{SESSION}/messages", "sessions:read"),
    Case("GET", f"{SESSION}/checkpoints", "sessions:read"),
    Case("GET", f"{SESSION}/checkpoints/{{checkpoint_id}}", "sessions:read"),
    Case("GET", f"{SESSION}/files", "sessions:read"),
    Case("GET", f"{SESSION}/files/{{path}}", "sessions:read"),
    Case("PUT", f"{SESSION}/files/{{path}}", "sessions:write", {"content": "Mine"}),
    Case("DELETE", f"{SESSION}/files/{{path}}", "sessions:write", right=204),
    Case("POST", f"{SESSION}/files/move", "sessions:write", {"from": "/{path}", "to": "/{new}"}),
    # -- runs
    Case("POST", f"{SESSION}/middleware/{{middleware_id}}/notify", "runs:write", {"message": {"name": "Ann"}}, 202),
    Case("GET", f"{SESSION}/runs", "runs:read"),
    Case("POST", f"{SESSION}/runs", "runs:write", HELLO, 202),
    Case("POST", f"{SESSION}/runs/wait?wait_s=0", "runs:write", HELLO, 202),
    Case("POST", f"{SESSION}/runs/stream", "runs:write", HELLO),
    Case("GET", "/runs", "runs:read"),
    Case("GET", "/runs?user_id=ann", "runs:read"),
    Case("GET", "/runs?assistant_id={assistant_id}", "runs:read", stranger=422),
    Case("GET", "/runs?session_id={session_id}", "runs:read", stranger=422, other=422),
    Case("POST", "/runs", "runs:write", STATELESS, 202, stranger=422),
    Case("POST", "/runs/wait?wait_s=0", "runs:write", STATELESS, 202, stranger=422),
    Case("POST", "/runs/stream", "runs:write", STATELESS, stranger=422),
    Case("POST", "/runs/batch", "runs:write", {"runs": [STATELESS]}, 202, stranger=422),
    Case("POST", "/runs/batch", "runs:write", {"runs": [IN_SESSION]}, 202, stranger=422, other=422),
    Case("POST", "/runs/cancel", "runs:write", {"status": "all"}, 202),
    Case("POST", "/runs/cancel", "runs:write", {"ids": ["{run_id}"]}, 202, stranger=422, other=422),
    Case("GET", RUN, "runs:read"),
    Case("GET", f"{RUN}/join?wait_s=0", "runs:read", right=202),
    Case("GET", f"{RUN}/stream", "runs:read"),
    Case("GET", f"{RUN}/events", "runs:read"),
    Case("GET", f"{RUN}/artifacts", "runs:read"),
    Case("GET", f"{RUN}/artifacts/{{artifact_id}}", "runs:read"),
    Case("POST", f"{RUN}/cancel", "runs:write", {}, 202),
    Case("POST", f"{RUN}/resume", "runs:write", {"value": 1}, 409),
    # -- webhooks
    Case("GET", "/webhooks", "webhooks:read", None, 200, None, *BOUND),
    Case("POST", "/webhooks", "webhooks:write", HOOK, 201, None, *BOUND),
    Case("GET", WEBHOOK, "webhooks:read", None, 200, None, *BOUND),
    Case("PATCH", WEBHOOK, "webhooks:write", {"name": "new"}, 200, None, *BOUND),
    Case("DELETE", WEBHOOK, "webhooks:write", None, 204, None, *BOUND),
    Case("POST", f"{WEBHOOK}/rotate", "webhooks:write", {}, 201, None, *BOUND),
    Case("POST", f"{WEBHOOK}/test", "webhooks:write", {}, 202, None, *BOUND),
    Case("GET", "/webhook-deliveries", "webhooks:read", None, 200, None, *BOUND),
    Case("GET", DELIVERY, "webhooks:read", None, 200, None, *BOUND),
    Case("POST", f"{DELIVERY}/redeliver", "webhooks:write", {}, 202, None, *BOUND),
    Case("GET", "/alerts", "webhooks:read", None, 200, None, *BOUND),
    Case("POST", "/alerts/{alert_id}/resolve", "webhooks:write", {}, 200, None, *BOUND),
    # -- schedules: who has runs made must be able to make them
    Case("GET", f"{ONE}/schedules", "schedules:read"),
    Case("POST", f"{ONE}/schedules", "schedules:write", DAILY, 201, holds_all=True),
    Case("GET", "/schedules", "schedules:read"),
    Case("GET", "/schedules?assistant_id={assistant_id}", "schedules:read", stranger=422),
    Case("GET", SCHEDULE, "schedules:read"),
    Case("PATCH", SCHEDULE, "schedules:write", {"name": "Mine"}, holds_all=True),
    Case("DELETE", SCHEDULE, "schedules:write", right=204),
    Case("POST", f"{SCHEDULE}/pause", "schedules:write", {}),
    Case("POST", f"{SCHEDULE}/resume", "schedules:write", {}, holds_all=True),
    Case("POST", f"{SCHEDULE}/trigger", "schedules:write", {}, 202, holds_all=True),
    Case("GET", f"{SCHEDULE}/preview", "schedules:read"),
    Case("GET", f"{SCHEDULE}/runs", "schedules:read"),
    Case("GET", f"{ONE}/triggers", "schedules:read"),
    Case("POST", f"{ONE}/triggers", "schedules:write", {"name": "{new}"}, 201, holds_all=True),
    Case("GET", "/triggers", "schedules:read"),
    Case("GET", "/triggers?assistant_id={assistant_id}", "schedules:read", stranger=422),
    Case("GET", TRIGGER, "schedules:read"),
    Case("PATCH", TRIGGER, "schedules:write", {"name": "Mine"}, holds_all=True),
    Case("DELETE", TRIGGER, "schedules:write", right=204),
    Case("POST", f"{TRIGGER}/rotate", "schedules:write", {}, 201),
    Case("GET", f"{TRIGGER}/calls", "schedules:read"),
    # A schedule may be gone and its runs be there: any id is taken, and no other's runs are found.
    Case("GET", "/runs?schedule_id={schedule_id}", "runs:read", stranger=200, other=200),
    # -- the server
    Case("GET", "/workers", "runs:read", None, 200, None, *BOUND),
    Case("GET", "/metrics", None, None, 200, None, *BOUND),
    Case("GET", "/openapi.json", None),
    Case("GET", "/docs/", None),
]
# They answer whoever asks.
OPEN = {("GET", "/healthz"), ("GET", "/readyz")}
# The signature of what is posted is the credential: `tests/scheduling/test_trigger_calls.py` knocks there.
SIGNED = {("POST", "/triggers/trg_{token}")}
# What only the async routes can do: with a key they take these addresses before DRF is asked.
STREAMS = {case.route for case in API if case.path.endswith("/stream")}
