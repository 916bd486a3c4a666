"""Forking: a new session that begins where another one stands, or stood."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID

import pytest
from django.db import connection, transaction
from pytest_django import DjangoAssertNumQueries

from assistants.services import archive_assistant, update_assistant
from core.ids import new_id
from sessions.models import Checkpoint, Message, Session
from sessions.queries import values_at
from tests.api import UNKNOWN, Api, assert_refused
from tests.runs.conftest import scripted
from tests.servers import Server

COPIED = ("seq", "role", "content", "tool_calls", "tool_call_id", "name", "metadata", "created_at")
KNOWN = {"lang": "de"}
CALLS = [{"id": "call-1", "name": "lookup", "args": {"q": "x"}}, {"id": "call-2", "name": "lookup", "args": {"q": "y"}}]


def steps_in(session: str) -> list[str]:
    """A question, two tool calls, their results, an answer: four checkpoints, whose ids it gives."""
    said: list[dict[str, Any]] = [
        {"role": "user", "content": [{"type": "text", "text": "Look"}], "metadata": {"a": 1}},
        {"role": "assistant", "content": "", "tool_calls": CALLS},
        {"role": "tool", "content": "one", "tool_call_id": "call-1", "name": "lookup"},
        {"role": "tool", "content": "two", "tool_call_id": "call-2", "name": "lookup"},
        {"role": "assistant", "content": "Done"},
    ]
    run = new_id()
    Message.objects.bulk_create(
        Message(session_id=session, run_id=run, seq=seq, **message) for seq, message in enumerate(said, start=1)
    )
    ids: list[str] = []
    changes: list[dict[str, Any]] = [
        {"draft": "a", "metadata": KNOWN},
        {"todos": ["look"]},
        {"todos": []},
        {"mood": "good"},
    ]
    for step, (count, changed) in enumerate(zip([1, 2, 4, 5], changes, strict=True), start=1):
        made = Checkpoint.objects.create(
            session_id=session,
            run_id=run,
            parent_id=ids[-1] if ids else None,
            step=step,
            source="model",
            message_count=count,
            changes=changed,
            removed=["draft"] if step == 4 else [],
        )
        ids.append(str(made.id))
    state = {"metadata": KNOWN, "todos": [], "mood": "good"}
    Session.objects.filter(id=session).update(
        message_count=5, step=4, checkpoint_id=ids[-1], state=state, context=KNOWN
    )
    return ids


@pytest.fixture
def session(api: Api) -> str:
    opened = api.session(title="Trip", user_id="ann", metadata={"a": 1, "b": 1}, agent_id="bot-1", ttl_seconds=600)
    Session.objects.filter(id=opened).update(context=KNOWN)
    return opened


def fork(api: Api, session: str, **body: Any) -> dict[str, Any]:
    answer = api.post(f"/sessions/{session}/fork", body)
    assert answer.status_code == 201, answer.content
    document: dict[str, Any] = answer.json()
    assert answer.headers["location"] == f"/sessions/{document['id']}"
    assert api.get(f"/sessions/{document['id']}").json() == document
    return document


def messages(api: Api, session: str) -> list[dict[str, Any]]:
    return api.items(f"/sessions/{session}/messages")


def everything(api: Api, session: str) -> list[Any]:
    return [api.get(f"/sessions/{session}{rest}").json() for rest in ("", "/state", "/messages", "/checkpoints")]


# -- what it has -----------------------------------------------------------------------------------------------------


def test_a_fork_says_what_the_session_said_in_rows_of_its_own(api: Api, session: str) -> None:
    steps_in(session)
    forked = fork(api, session)
    ours, theirs = messages(api, forked["id"]), messages(api, session)
    assert [[m[name] for name in COPIED] for m in ours] == [[m[name] for name in COPIED] for m in theirs]
    assert not {m["id"] for m in ours} & {m["id"] for m in theirs}
    assert sorted(m["id"] for m in ours) == [m["id"] for m in ours]


def test_a_fork_is_as_the_session_was_opened(api: Api, session: str) -> None:
    update_assistant(api.identity, Session.objects.get(id=session).assistant_id, {"description": "newer"})
    steps_in(session)
    forked, original = fork(api, session, metadata={"b": 2}), api.get(f"/sessions/{session}").json()
    same = ("assistant_id", "assistant_version", "user_id", "title", "context", "message_count")
    assert [forked[name] for name in same] == [original[name] for name in same]
    assert (forked["metadata"], forked["agent_id"], forked["status"]) == ({"a": 1, "b": 2}, None, "active")
    assert (forked["activity"], forked["active_run_id"], forked["closed_at"]) == ("idle", None, None)
    assert forked["expires_at"] > original["expires_at"]


def test_its_first_checkpoint_holds_all_that_it_stands_at(api: Api, session: str) -> None:
    steps_in(session)
    forked = fork(api, session)["id"]
    (checkpoint,) = api.items(f"/sessions/{forked}/checkpoints")
    shown = [checkpoint[name] for name in ("source", "step", "parent_id", "run_id", "message_count")]
    assert shown == ["fork", 1, None, None, 5]
    state = api.get(f"/sessions/{forked}/state").json()
    assert api.get(f"/sessions/{forked}/checkpoints/{checkpoint['id']}").json()["state"] == state
    assert values_at(UUID(checkpoint["id"])).run() == {"metadata": KNOWN, "todos": [], "mood": "good"}
    assert (state["metadata"], state["checkpoint_id"]) == (KNOWN, checkpoint["id"])


def test_a_fork_begins_at_the_checkpoint(api: Api, session: str) -> None:
    _, _, third, _ = steps_in(session)
    forked = fork(api, session, checkpoint_id=third)
    assert [m["content"] for m in messages(api, forked["id"])][2:] == ["one", "two"]
    assert forked["message_count"] == 4
    assert Session.objects.get(id=forked["id"]).state == {"metadata": KNOWN, "draft": "a", "todos": []}


def test_calls_that_were_under_way_are_answered(api: Api, session: str) -> None:
    second = steps_in(session)[1]
    forked = fork(api, session, checkpoint_id=second)
    assert [(m["seq"], m["role"], m["tool_call_id"]) for m in messages(api, forked["id"])] == [
        (1, "user", None),
        (2, "assistant", None),
        (3, "tool", "call-1"),
        (4, "tool", "call-2"),
    ]
    assert "cancelled" in messages(api, forked["id"])[3]["content"]
    (checkpoint,) = api.items(f"/sessions/{forked['id']}/checkpoints")
    assert forked["message_count"] == checkpoint["message_count"] == 4


def test_only_the_calls_that_have_no_answer_are_answered(api: Api, session: str) -> None:
    second = steps_in(session)[1]
    Checkpoint.objects.filter(id=second).update(message_count=3)
    told = messages(api, fork(api, session, checkpoint_id=second)["id"])
    assert [(m["tool_call_id"], m["content"] == "one") for m in told[2:]] == [("call-1", True), ("call-2", False)]


def test_the_original_is_untouched_and_goes_its_own_way(api: Api, session: str) -> None:
    second = steps_in(session)[1]
    before = everything(api, session)
    forked = fork(api, session, checkpoint_id=second, metadata={"b": 2})["id"]
    run = api.run(forked)
    assert everything(api, session) == before
    assert [r["id"] for r in api.items(f"/sessions/{forked}/runs")] == [run]
    assert api.items(f"/sessions/{session}/runs") == []


def test_a_forks_messages_name_no_run_of_another_session(api: Api, session: str) -> None:
    steps_in(session)
    assert {m["run_id"] for m in messages(api, fork(api, session)["id"])} == {None}


def test_a_session_that_said_nothing_forks_too(api: Api) -> None:
    forked = fork(api, api.session())
    assert (forked["message_count"], messages(api, forked["id"])) == (0, [])


def test_a_fork_forks(api: Api, session: str) -> None:
    steps_in(session)
    again = fork(api, fork(api, session)["id"])
    assert len(messages(api, again["id"])) == 5
    assert Session.objects.get(id=again["id"]).state == {"metadata": KNOWN, "todos": [], "mood": "good"}


@pytest.mark.parametrize("status", ["closed", "expired"])
def test_a_session_that_has_ended_is_forked_into_an_active_one(api: Api, session: str, status: str) -> None:
    steps_in(session)
    Session.objects.filter(id=session).update(status=status)
    forked = fork(api, session)
    assert (forked["status"], len(messages(api, forked["id"]))) == ("active", 5)
    assert api.get(f"/sessions/{session}").json()["status"] == status


# -- what refuses it -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("spelled", ["x", UNKNOWN, 3])
def test_an_unknown_checkpoint_is_refused(api: Api, session: str, spelled: Any) -> None:
    answer = api.post(f"/sessions/{session}/fork", {"checkpoint_id": spelled})
    assert_refused(answer, 422, "invalid", "checkpoint_id")
    assert Session.objects.count() == 1


def test_another_sessions_checkpoint_is_refused(api: Api, session: str) -> None:
    other = steps_in(api.session())[0]
    answer = api.post(f"/sessions/{session}/fork", {"checkpoint_id": other})
    assert_refused(answer, 422, "invalid", "checkpoint_id")


def test_an_archived_assistants_session_is_not_forked(api: Api, session: str) -> None:
    archive_assistant(api.identity, Session.objects.get(id=session).assistant_id)
    assert_refused(api.post(f"/sessions/{session}/fork"), 409, "assistant_not_active")
    assert Session.objects.count() == 1


def test_an_unknown_field_is_refused(api: Api, session: str) -> None:
    assert_refused(api.post(f"/sessions/{session}/fork", {"title": "x"}), 422, "invalid", "title")


def test_a_user_bound_key_forks_that_users_sessions_only(api: Api, session: str) -> None:
    ann, bob = Api(api.workspace, user_id="ann"), Api(api.workspace, user_id="bob")
    assert fork(ann, session)["user_id"] == "ann"
    assert_refused(bob.post(f"/sessions/{session}/fork"), 404, "not_found")


def test_a_reading_key_does_not_fork(api: Api, session: str) -> None:
    reader = Api(api.workspace, scopes=("sessions:read",))
    assert_refused(reader.post(f"/sessions/{session}/fork"), 403, "forbidden")


def test_what_is_deleted_while_it_is_copied_is_not_forked_in_part(api: Api, session: str) -> None:
    steps_in(session)
    Message.objects.filter(session_id=session, seq=2).delete()
    assert_refused(api.post(f"/sessions/{session}/fork"), 409, "conflict")
    assert (Session.objects.count(), Message.objects.count()) == (1, 4)


def test_a_fork_waits_for_nobody_who_writes_to_the_session(transactional_db: None, api: Api, session: str) -> None:
    def fork_apart() -> int:
        try:
            status: int = api.post(f"/sessions/{session}/fork").status_code
            return status
        finally:
            connection.close()

    with transaction.atomic(), ThreadPoolExecutor(1) as thread:
        # As a worker does that commits a step.
        list(Session.objects.select_for_update().filter(id=session))
        assert thread.submit(fork_apart).result(timeout=10) == 201


# -- what it costs, and what comes after -----------------------------------------------------------------------------


def test_a_fork_costs_the_same_at_any_length(
    api: Api, session: str, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    first, *_, last = steps_in(session)
    for checkpoint in (first, last):
        with django_assert_num_queries(9):
            fork_only = api.post(f"/sessions/{session}/fork", {"checkpoint_id": checkpoint})
        assert fork_only.status_code == 201


@pytest.mark.servers
def test_a_fork_in_the_middle_of_tool_calls_goes_on_with_a_history_that_models_take(server: Server) -> None:
    turns = [{"tool_calls": [{"name": "calculator", "args": {"expression": "1+1"}}]}, {"text": "two"}]
    session, hello = scripted(server, turns, tools=[{"name": "calculator"}]), {"input": {"message": "go"}}
    assert server.client.post(f"/sessions/{session}/runs/wait", json=hello).json()["status"] == "success"
    checkpoints = server.client.get(f"/sessions/{session}/checkpoints").json()["items"]
    (called,) = [c["id"] for c in checkpoints if c["source"] == "model" and c["next"] == ["tools"]]
    forked = server.client.post(f"/sessions/{session}/fork", json={"checkpoint_id": called}).json()["id"]
    run = server.client.post(f"/sessions/{forked}/runs/wait", json=hello).json()
    assert (run["status"], run["output"]["text"]) == ("success", "two")
    said = server.client.get(f"/sessions/{forked}/messages").json()["items"]
    assert [m["role"] for m in said] == ["user", "assistant", "tool", "user", "assistant"]
    assert said[2]["tool_call_id"] == said[1]["tool_calls"][0]["id"]
    assert [m["run_id"] for m in said] == [None, None, None, run["id"], run["id"]]
