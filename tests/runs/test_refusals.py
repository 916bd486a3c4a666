"""What is refused: quickly, in the one error body, and with no row left behind."""

from typing import Any
from uuid import uuid4

import httpx
import pytest

from tests.api import UNKNOWN
from tests.runs.conftest import make_assistant
from tests.servers import Server

pytestmark = pytest.mark.servers
LLM = {"provider": "fake", "model": "echo"}
GOOD = {"input": {"message": "hi"}}


def check(response: httpx.Response, status: int, code: str) -> dict[str, Any]:
    body: dict[str, Any] = response.json()
    assert (response.status_code, body["code"]) == (status, code), response.text
    assert set(body) == {"detail", "code", "request_id", "errors"}
    assert isinstance(body["detail"], str)
    assert response.headers["x-request-id"] == body["request_id"]
    assert bool(body["errors"]) == (status == 422) or status == 422
    return body


def runs_of(server: Server, session: str) -> list[Any]:
    return list(server.client.get(f"/sessions/{session}/runs").json()["items"])


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/assistants"),
        ("POST", "/assistants"),
        ("GET", "/sessions"),
        ("POST", f"/assistants/{UNKNOWN}/sessions"),
        ("POST", f"/sessions/{UNKNOWN}/runs"),
        ("POST", f"/sessions/{UNKNOWN}/runs/wait"),
        ("POST", f"/sessions/{UNKNOWN}/runs/stream"),
        ("GET", f"/runs/{UNKNOWN}"),
        ("GET", f"/runs/{UNKNOWN}/join"),
        ("GET", f"/runs/{UNKNOWN}/stream"),
        ("GET", "/metrics"),
        ("GET", "/openapi.json"),
    ],
)
def test_without_a_key_nothing_is_answered(server: Server, method: str, path: str) -> None:
    check(httpx.request(method, server.url + path), 401, "unauthenticated")
    check(httpx.request(method, server.url + path, headers={"X-Api-Key": "k" * 40}), 401, "unauthenticated")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/assistants/{id}"),
        ("PATCH", "/assistants/{id}"),
        ("POST", "/assistants/{id}/sessions"),
        ("GET", "/sessions/{id}"),
        ("POST", "/sessions/{id}/runs"),
        ("POST", "/sessions/{id}/runs/wait"),
        ("POST", "/sessions/{id}/runs/stream"),
        ("GET", "/sessions/{id}/messages"),
        ("GET", "/runs/{id}"),
        ("GET", "/runs/{id}/join"),
        ("GET", "/runs/{id}/stream"),
        ("POST", "/runs/{id}/cancel"),
        ("GET", "/nowhere/{id}"),
    ],
)
@pytest.mark.parametrize("identifier", [UNKNOWN, "nonsense", UNKNOWN.upper()])
def test_an_unknown_id_is_not_found(server: Server, method: str, path: str, identifier: str) -> None:
    body = GOOD if path.endswith(("runs", "wait", "stream")) and method == "POST" else {}
    content = None if method == "GET" else body
    check(server.client.request(method, path.format(id=identifier), json=content), 404, "not_found")


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (b"{not json", 400),
        (b'{"input": {"message": "a"}, "input": {"message": "b"}}', 400),
        (b'{"input": {"message": NaN}}', 400),
        (b'{"input": {"message": "a\\u0000b"}}', 400),
        (b'{"input": {"message": "\\ud800"}}', 400),
        (b'{"input": ' + b"[" * 100 + b"]" * 100 + b"}", 400),
        (b'{"input": {"message": "x"}, "priority": 123456789012345678901234567890}', 400),
        (b"[1, 2]", 422),
        (b'"text"', 422),
        (b"{}", 422),
        (b'{"input": {"message": "x"}, "surprise": 1}', 422),
        (b'{"input": {"message": 5}}', 422),
        (b'{"input": {"message": "x", "messages": []}}', 422),
        (b'{"input": {"messages": [{"role": "system", "content": "obey"}]}}', 422),
        (b'{"input": {"message": "x"}, "priority": 1001}', 422),
        (b'{"input": {"message": "x"}, "priority": "1"}', 422),
        (b'{"input": {"message": "x"}, "timeout_s": -1}', 422),
        (b'{"input": {"message": "x"}, "multitask_strategy": "replace"}', 422),
        (b'{"input": {"message": "x"}, "webhook": "http://10.0.0.1/"}', 422),
        (b'{"input": {"message": "x"}, "wait": true, "stream": true}', 422),
    ],
)
def test_a_bad_body_leaves_no_run(server: Server, echo_session: str, raw: bytes, status: int) -> None:
    response = server.client.post(
        f"/sessions/{echo_session}/runs", content=raw, headers={"Content-Type": "application/json"}
    )
    check(response, status, "bad_request" if status == 400 else "invalid")
    assert runs_of(server, echo_session) == []


def test_another_content_type_is_refused(server: Server, echo_session: str) -> None:
    for path in (f"/sessions/{echo_session}/runs", "/assistants"):
        answer = server.client.post(path, content=b"input=x", headers={"Content-Type": "text/plain"})
        check(answer, 415, "unsupported_media_type")
    assert runs_of(server, echo_session) == []


def test_an_unknown_field_names_its_place(server: Server) -> None:
    body = {"name": "x", "llm": {**LLM, "temprature": 1}}
    errors = check(server.client.post("/assistants", json=body), 422, "invalid")["errors"]
    assert [error["loc"] for error in errors] == [["llm", "temprature"]]


def test_an_assistant_without_llm_is_refused_and_not_stored(server: Server) -> None:
    name = f"nameless {uuid4()}"
    errors = check(server.client.post("/assistants", json={"name": name}), 422, "invalid")["errors"]
    assert errors[0]["loc"] == ["llm"]
    assert server.client.get("/assistants", params={"name": name}).json()["items"] == []


def test_a_body_over_the_limit_is_refused(server: Server, echo_session: str) -> None:
    body = {"input": {"message": "x" * 11_000_000}}
    check(server.client.post(f"/sessions/{echo_session}/runs", json=body), 413, "too_large")
    assert runs_of(server, echo_session) == []


def test_an_unknown_query_key_is_refused(server: Server, echo_session: str) -> None:
    for path in ("/runs", "/assistants", "/sessions", f"/sessions/{echo_session}/messages"):
        errors = check(server.client.get(path, params={"surprise": "1"}), 422, "invalid")["errors"]
        assert errors[0]["loc"] == ["query", "surprise"]
    errors = check(
        server.client.post(f"/sessions/{echo_session}/runs/wait", params={"wait_s": "soon"}, json=GOOD), 422, "invalid"
    )["errors"]
    assert errors[0]["loc"] == ["query", "wait_s"]
    assert runs_of(server, echo_session) == []


def test_a_malformed_event_id_is_refused(server: Server, echo_session: str) -> None:
    run = server.client.post(f"/sessions/{echo_session}/runs/wait", json=GOOD).json()
    for bad in ("x", "1", "1-", "-1", "1-x", "9-1", "99999999999999999999-1"):
        check(server.client.get(f"/runs/{run['id']}/stream", headers={"Last-Event-ID": bad}), 422, "invalid")


def test_a_closed_session_takes_no_runs_and_keeps_its_history(server: Server, echo_session: str) -> None:
    server.client.post(f"/sessions/{echo_session}/runs/wait", json=GOOD)
    closed = server.client.post(f"/sessions/{echo_session}/close")
    assert (closed.status_code, closed.json()["status"]) == (200, "closed")
    check(server.client.post(f"/sessions/{echo_session}/runs", json=GOOD), 409, "session_closed")
    assert len(server.client.get(f"/sessions/{echo_session}/messages").json()["items"]) == 2


def test_an_assistant_that_is_not_active_opens_no_session(server: Server) -> None:
    assistant = make_assistant(server)
    server.client.delete(f"/assistants/{assistant}")
    check(server.client.post(f"/assistants/{assistant}/sessions"), 409, "assistant_not_active")


def test_an_idempotency_key_is_refused_where_nothing_is_created(server: Server, echo_session: str) -> None:
    headers = {"Idempotency-Key": "abc"}
    check(server.client.post(f"/sessions/{echo_session}/close", headers=headers), 400, "bad_request")
    check(server.client.patch(f"/sessions/{echo_session}", json={"title": "x"}, headers=headers), 400, "bad_request")
    assert server.client.get(f"/sessions/{echo_session}", headers=headers).json()["status"] == "active"


def test_input_is_checked_against_the_assistants_schema(server: Server) -> None:
    schema = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
    assistant = make_assistant(server, input_schema=schema)
    session = server.client.post(f"/assistants/{assistant}/sessions").json()["id"]
    answer = server.client.post(f"/sessions/{session}/runs", json={"input": {"town": "x"}})
    assert check(answer, 422, "invalid")["errors"][0]["loc"][0] == "input"
    assert runs_of(server, session) == []
    run = server.client.post(f"/sessions/{session}/runs/wait", json={"input": {"city": "Oslo"}}).json()
    assert run["output"]["text"] == '{"city":"Oslo"}'
