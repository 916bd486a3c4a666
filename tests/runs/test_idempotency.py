"""A request that is sent again with its Idempotency-Key creates nothing again."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import httpx
import pytest
from django.db import connection

from accounts.idempotency import forget_old_keys
from accounts.models import ApiKey, IdempotencyKey
from assistants.models import Assistant
from runs.models import Run
from sessions.models import Session
from tests.api import HELLO, Api, assert_refused
from tests.runs.conftest import make_assistant, make_session
from tests.servers import Server
from tests.sse import Event, events

ECHO = {"provider": "fake", "model": "echo"}


def post(api: Api, path: str, body: Any, key: str = "once") -> Any:
    return api.client.post(path, body, format="json", headers={"Idempotency-Key": key})


def creations(api: Api) -> list[tuple[str, Any, type]]:
    """Every route that creates, with a body and what it makes."""
    assistant = api.assistant()
    session = api.session(assistant)
    return [
        ("/assistants", {"name": "once", "llm": ECHO}, Assistant),
        (f"/assistants/{assistant}/sessions", {"title": "once"}, Session),
        (f"/assistants/{assistant}/sessions", {"initial_state": {"messages": []}}, Session),
        (f"/sessions/{session}/fork", {}, Session),
        (f"/sessions/{session}/runs", HELLO, Run),
        (f"/sessions/{session}/runs/wait?wait_s=0", HELLO, Run),
        ("/runs", {**HELLO, "assistant_id": assistant}, Run),
        ("/runs/wait?wait_s=0", {**HELLO, "assistant_id": assistant}, Run),
        ("/api-keys", {"name": "once", "scopes": ["runs:read"]}, ApiKey),
    ]


def test_the_same_request_again_makes_nothing_again(api: Api) -> None:
    for number, (path, body, model) in enumerate(creations(api)):
        first = post(api, path, body, f"key {number}")
        made = set(model.objects.values_list("id", flat=True))
        again = post(api, path, body, f"key {number}")
        assert again.status_code == first.status_code, path
        assert again.json()["id"] == first.json()["id"], path
        assert (first.headers.get("Idempotency-Replayed"), again.headers["Idempotency-Replayed"]) == (None, "true")
        assert set(model.objects.values_list("id", flat=True)) == made


def test_another_body_under_the_key_is_a_conflict(api: Api) -> None:
    for number, (path, body, model) in enumerate(creations(api)):
        post(api, path, body, f"key {number}")
        count = model.objects.count()
        assert_refused(post(api, path, {**body, "metadata": {"a": 1}}, f"key {number}"), *REFUSED[model])
        assert model.objects.count() == count


REFUSED = {
    **dict.fromkeys([Assistant, Session, Run], (409, "idempotency_mismatch")),
    # A key has no metadata.
    ApiKey: (422, "invalid"),
}


def test_a_repeated_request_gets_the_resource_as_it_is_now(api: Api) -> None:
    made = post(api, "/assistants", {"name": "once", "llm": ECHO}).json()
    api.patch(f"/assistants/{made['id']}", {"max_steps": 3})
    assert post(api, "/assistants", {"name": "once", "llm": ECHO}).json()["version"] == 2


def test_the_order_of_keys_in_the_body_does_not_matter(api: Api) -> None:
    first = post(api, "/assistants", {"name": "once", "llm": ECHO})
    assert post(api, "/assistants", {"llm": ECHO, "name": "once"}).json()["id"] == first.json()["id"]


def test_a_rollback_is_carried_out_once(api: Api) -> None:
    path = f"/assistants/{api.assistant()}"
    api.patch(path, {"max_steps": 3})
    for _ in range(2):
        assert post(api, f"{path}/versions/1/rollback", {}).json()["version"] == 3


def test_a_batch_is_accepted_once(api: Api) -> None:
    assistant = api.assistant()
    session = api.session(assistant)
    body = {"runs": [{"session_id": session, **HELLO}, {"assistant_id": assistant, **HELLO}] * 2}
    first = post(api, "/runs/batch", body)
    api.post(f"/runs/{first.json()['items'][2]['id']}/cancel")
    again = post(api, "/runs/batch", body)
    assert (first.status_code, again.status_code, Run.objects.count()) == (202, 202, 4)
    assert (first.headers.get("Idempotency-Replayed"), again.headers["Idempotency-Replayed"]) == (None, "true")
    assert [run["id"] for run in again.json()["items"]] == [run["id"] for run in first.json()["items"]]
    assert [run["status"] for run in again.json()["items"]] == ["pending", "pending", "cancelled", "pending"]
    body["runs"].pop()
    assert_refused(post(api, "/runs/batch", body), 409, "idempotency_mismatch")


def test_a_batch_that_is_refused_leaves_no_key(api: Api) -> None:
    body = {"runs": [{"session_id": api.session(), **HELLO}, {"session_id": str(uuid4()), **HELLO}]}
    assert_refused(post(api, "/runs/batch", body), 422, "invalid", "runs", 1, "session_id")
    assert not IdempotencyKey.objects.exists()


def test_a_creation_that_failed_leaves_no_key(api: Api) -> None:
    session = api.session()
    assert_refused(post(api, f"/sessions/{session}/runs", {"input": {}}), 422, "invalid", "input")
    api.post(f"/sessions/{session}/close")
    assert_refused(post(api, f"/sessions/{session}/runs", HELLO), 409, "session_closed")
    assert not IdempotencyKey.objects.exists()


def test_an_accepted_run_is_found_again_though_its_session_is_closed(api: Api) -> None:
    session = api.session()
    run = post(api, f"/sessions/{session}/runs", HELLO).json()
    api.post(f"/sessions/{session}/close")
    again = post(api, f"/sessions/{session}/runs", HELLO)
    assert (again.status_code, again.json()["id"], again.json()["status"]) == (202, run["id"], "cancelled")


def test_a_key_means_something_else_elsewhere(api: Api, stranger: Api) -> None:
    one, other = api.session(), api.session()
    runs = [post(api, f"/sessions/{session}/runs", HELLO).json()["id"] for session in (one, other)]
    runs.append(post(stranger, f"/sessions/{stranger.session()}/runs", HELLO).json()["id"])
    assistant = api.assistant()
    for user in ("ann", "bob"):
        bound = Api(api.workspace, user_id=user)
        runs.append(post(bound, "/runs", {**HELLO, "assistant_id": assistant}).json()["id"])
    assert len(set(runs)) == 5


@pytest.mark.parametrize("key", ["", " ", "x" * 256, "caf\u00e9", "a\tb"])
def test_a_key_has_a_form(api: Api, key: str) -> None:
    assert_refused(post(api, "/assistants", {"name": "once", "llm": ECHO}, key), 400, "bad_request")
    assert not Assistant.objects.exists()


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("patch", "/assistants/{assistant}"),
        ("delete", "/assistants/{assistant}"),
        ("post", "/assistants/{assistant}/archive"),
        ("put", "/assistants/{assistant}/versions/1/tags/stable"),
        ("post", "/sessions/{session}/close"),
        ("post", "/runs/{run}/cancel"),
        ("post", "/ws-tickets"),
    ],
)
def test_a_write_that_creates_nothing_refuses_it(api: Api, method: str, path: str) -> None:
    assistant = api.assistant()
    session = api.session(assistant)
    where = path.format(assistant=assistant, session=session, run=api.run(session))
    answer = getattr(api.client, method)(where, {}, format="json", headers={"Idempotency-Key": "x"})
    assert_refused(answer, 400, "bad_request")


def test_keys_are_forgotten_after_a_day(api: Api) -> None:
    first = post(api, "/assistants", {"name": "once", "llm": ECHO}).json()
    with connection.cursor() as cursor:
        cursor.execute("UPDATE idempotency_keys SET created_at = created_at - interval '25 h'")
    renamed = post(api, "/assistants", {"name": "another", "llm": ECHO})
    assert (renamed.status_code, renamed.json()["id"] == first["id"]) == (201, False)
    forget_old_keys().run()
    assert IdempotencyKey.objects.count() == 1
    with connection.cursor() as cursor:
        cursor.execute("UPDATE idempotency_keys SET created_at = created_at - interval '25 h'")
    forget_old_keys().run()
    assert not IdempotencyKey.objects.exists()


def test_the_documentation_names_it_where_it_is_taken(api: Api) -> None:
    paths = api.get("/openapi.json").json()["paths"]
    taken = {
        path
        for path, operations in paths.items()
        if any(one["name"] == "Idempotency-Key" for one in operations.get("post", {}).get("parameters", []))
    }
    assert taken == {
        "/assistants",
        "/assistants/{assistant_id}/versions/{number}/rollback",
        "/assistants/{assistant_id}/sessions",
        "/assistants/{assistant_id}/schedules",
        "/schedules/{schedule_id}/trigger",
        "/assistants/{assistant_id}/triggers",
        "/triggers/{trigger_id}/rotate",
        "/webhooks",
        "/webhooks/{webhook_id}/rotate",
        "/api-keys",
        "/api-keys/{api_key_id}/rotate",
        "/members",
        "/runs/batch",
        "/sessions/{session_id}/fork",
        *(f"{prefix}/runs{form}" for prefix in ("", "/sessions/{session_id}") for form in ("", "/wait", "/stream")),
    }


# -- on a real server: the async routes ------------------------------------------------------------------------------


@pytest.mark.parametrize("route", ["/sessions/{session}/runs", "/sessions/{session}/runs/wait", "/runs", "/runs/wait"])
def test_of_fifty_equal_requests_at_once_one_is_carried_out(server: Server, route: str) -> None:
    assistant = make_assistant(server)
    session = server.client.post(f"/assistants/{assistant}/sessions").json()["id"]
    path = route.format(session=session)
    body = HELLO if "sessions" in path else {**HELLO, "assistant_id": assistant}
    headers = {**server.client.headers, "Idempotency-Key": str(uuid4())}

    def ask(_: int) -> httpx.Response:
        return httpx.post(f"{server.url}{path}", json=body, headers=headers, timeout=60)

    with ThreadPoolExecutor(50) as pool:
        answers = list(pool.map(ask, range(50)))
    assert {answer.status_code for answer in answers} == {200 if "wait" in path else 202}
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert sum("idempotency-replayed" not in answer.headers for answer in answers) == 1
    assert server.sql("SELECT count(*) FROM runs WHERE assistant_id = %s", assistant) == [(1,)]


def test_a_stream_that_is_asked_for_again_is_the_same_runs(server: Server) -> None:
    path = f"/sessions/{make_session(server)}/runs/stream"
    headers = {"Idempotency-Key": str(uuid4())}

    def read() -> list[Event]:
        with server.client.stream("POST", path, json=HELLO, headers=headers) as response:
            return list(events(response))

    first, again = read(), read()
    assert first == again
    assert first[-1].event == "end"


def test_an_opened_session_is_opened_once(server: Server) -> None:
    path = f"/assistants/{make_assistant(server)}/sessions"
    headers = {"Idempotency-Key": str(uuid4())}
    first, again = (server.client.post(path, json={"title": "x"}, headers=headers) for _ in range(2))
    assert (first.status_code, again.status_code, again.json()) == (201, 201, first.json())
    assert server.client.post(path, json={"title": "y"}, headers=headers).status_code == 409
