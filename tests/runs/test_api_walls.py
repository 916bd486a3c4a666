"""No route of sessions, of runs, and of the assistants they concern looks over a wall or past a malformed id."""

from typing import Any
from uuid import uuid4

import pytest

from runs.urls import urlpatterns as run_patterns
from sessions.urls import urlpatterns as session_patterns
from tests.api import HELLO, Api, assert_refused

CASES: list[tuple[str, str, Any]] = [
    ("get", "assistants/{assistant_id}", None),
    ("patch", "assistants/{assistant_id}", {"max_steps": 3}),
    ("delete", "assistants/{assistant_id}", None),
    ("delete", "assistants/{assistant_id}?permanent=true", None),
    ("get", "assistants/{assistant_id}/metrics", None),
    ("get", "assistants/{assistant_id}/sessions", None),
    ("post", "assistants/{assistant_id}/sessions", {}),
    ("get", "sessions/{session_id}", None),
    ("patch", "sessions/{session_id}", {"title": "mine"}),
    ("delete", "sessions/{session_id}", None),
    ("post", "sessions/{session_id}/close", {}),
    ("post", "sessions/{session_id}/fork", {}),
    ("get", "sessions/{session_id}/state", None),
    ("get", "sessions/{session_id}/messages", None),
    ("get", "sessions/{session_id}/checkpoints", None),
    ("get", "sessions/{session_id}/checkpoints/{checkpoint_id}", None),
    ("get", "sessions/{session_id}/runs", None),
    ("post", "sessions/{session_id}/runs", HELLO),
    ("post", "sessions/{session_id}/runs/wait", HELLO),
    ("get", "runs/{run_id}", None),
    ("get", "runs/{run_id}/join", None),
    ("get", "runs/{run_id}/events", None),
    ("post", "runs/{run_id}/cancel", {}),
    ("post", "runs/{run_id}/resume", {"value": 1}),
]
# They look nothing up: here they only refuse. `runs.hot` serves what they stand for.
REFUSING = {("post", "sessions/{session_id}/runs/stream"), ("get", "runs/{run_id}/stream")}


def _ids(api: Api) -> dict[str, str]:
    assistant = api.assistant()
    session = api.session(assistant, initial_state={"messages": [{"role": "user", "content": "Secret"}]})
    checkpoint = api.items(f"/sessions/{session}/checkpoints")[0]["id"]
    return {
        "assistant_id": assistant,
        "session_id": session,
        "checkpoint_id": checkpoint,
        "run_id": api.run(session),
    }


def _ask(api: Api, method: str, path: str, body: Any) -> Any:
    ask = getattr(api, method)
    return ask(f"/{path}", body) if method in {"post", "patch"} else ask(f"/{path}")


def test_every_route_with_an_id_has_a_case() -> None:
    routes = set()
    for pattern in [*session_patterns, *run_patterns]:
        path = str(pattern.pattern).replace("<str:", "{").replace(">", "}")
        routes |= {(method, path) for method in pattern.callback.actions if "{" in path and method != "head"}
    assert routes - REFUSING == {(method, path.partition("?")[0]) for method, path, _ in CASES}


@pytest.mark.parametrize(("method", "path", "body"), CASES)
def test_a_strangers_is_as_unknown_as_one_that_never_was(
    api: Api, stranger: Api, method: str, path: str, body: Any
) -> None:
    ids = _ids(api)
    strange = _ask(stranger, method, path.format(**ids), body)
    unknown = _ask(stranger, method, path.format(**{name: uuid4() for name in ids}), body)
    assert_refused(strange, 404, "not_found")
    assert {**strange.json(), "request_id": ""} == {**unknown.json(), "request_id": ""}
    assert api.get(f"/sessions/{ids['session_id']}").json()["status"] == "active"
    assert [run["status"] for run in api.items("/runs")] == ["pending"]


@pytest.mark.parametrize(("method", "path", "body"), CASES)
@pytest.mark.parametrize("spelling", ["x", "{0}".upper, "urn:uuid:{0}"])
def test_a_malformed_id_is_unknown(api: Api, method: str, path: str, body: Any, spelling: Any) -> None:
    text = str(uuid4())
    spelled = text.upper() if callable(spelling) else spelling.format(text)
    names = ("assistant_id", "session_id", "checkpoint_id", "run_id")
    answer = _ask(api, method, path.format(**dict.fromkeys(names, spelled)), body)
    assert_refused(answer, 404, "not_found")


def test_lists_end_at_the_wall(api: Api, stranger: Api) -> None:
    _ids(api)
    assert stranger.items("/sessions") == []
    assert stranger.items("/runs") == []


@pytest.mark.parametrize("name", ["assistant_id", "session_id"])
def test_a_strangers_id_is_no_filter(api: Api, stranger: Api, name: str) -> None:
    assert_refused(stranger.get("/runs", **{name: _ids(api)[name]}), 422, "invalid", "query", name)


def test_a_strangers_assistant_runs_nothing(api: Api, stranger: Api) -> None:
    answer = stranger.post("/runs", {**HELLO, "assistant_id": api.assistant()})
    assert_refused(answer, 422, "invalid", "assistant_id")
    assert stranger.items("/sessions") == []


def test_a_user_bound_key_sees_that_users_runs_only(api: Api) -> None:
    anns, bobs = api.run(api.session(user_id="ann")), api.run(api.session(user_id="bob"))
    ann = Api(api.workspace, user_id="ann")
    assert [run["id"] for run in ann.items("/runs")] == [anns]
    for method, path, body in CASES:
        if "run_id" in path:
            assert_refused(_ask(ann, method, path.format(run_id=bobs), body), 404, "not_found")
    assert ann.post(f"/runs/{anns}/cancel").status_code == 202
