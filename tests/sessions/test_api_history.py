"""What was said, and what each step left."""

from typing import Any
from uuid import UUID

import pytest
from pytest_django import DjangoAssertNumQueries

from core.ids import new_id
from runs.models import Run
from runs.serializers import CheckpointDetailDocument, SessionStateDocument
from sessions.models import Checkpoint, Message, Session
from sessions.queries import values_at
from sessions.serializers import CheckpointDocument, MessageDocument
from tests.api import Api, assert_refused

MESSAGE_KEYS = "id session_id run_id seq role content tool_calls tool_call_id name metadata created_at"
KNOWN = {"lang": "de"}
CHECKPOINT_KEYS = "id session_id run_id parent_id step source next message_count created_at"


@pytest.fixture
def session(api: Api) -> str:
    """A session of four messages and three steps, whose state changed on the way."""
    session = api.session()
    roles = ["user", "assistant", "user", "assistant"]
    Message.objects.bulk_create(
        Message(session_id=session, run_id=new_id(), seq=seq, role=role, content=f"no. {seq}")
        for seq, role in enumerate(roles, start=1)
    )
    first = _checkpoint(session, None, 1, 1, {"todos": ["pack"], "draft": "a"}, [])
    second = _checkpoint(session, first, 2, 2, {"todos": ["pack", "go"]}, ["draft"])
    last = _checkpoint(session, second, 3, 4, {"mood": "good", "metadata": KNOWN}, [])
    state = {"todos": ["pack", "go"], "mood": "good", "metadata": KNOWN}
    Session.objects.filter(id=session).update(message_count=4, step=3, checkpoint_id=last, state=state, context=KNOWN)
    return session


def _checkpoint(
    session: str, parent: UUID | None, step: int, messages: int, changes: dict[str, Any], removed: list[str]
) -> UUID:
    made = Checkpoint.objects.create(
        session_id=session,
        run_id=new_id(),
        parent_id=parent,
        step=step,
        source="model",
        message_count=messages,
        changes=changes,
        removed=removed,
    )
    return made.id


def test_messages_come_in_their_order_with_every_key(api: Api, session: str) -> None:
    messages = api.items(f"/sessions/{session}/messages")
    assert [message["seq"] for message in messages] == [1, 2, 3, 4]
    assert " ".join(messages[0]) == MESSAGE_KEYS == " ".join(MessageDocument.model_fields)
    assert (messages[0]["role"], messages[0]["content"], messages[0]["session_id"]) == ("user", "no. 1", session)
    assert messages[0]["run_id"]


def test_messages_page(api: Api, session: str) -> None:
    first = api.get(f"/sessions/{session}/messages", limit=3).json()
    rest = api.get(f"/sessions/{session}/messages", limit=3, cursor=first["next_cursor"]).json()
    assert (first["total"], [message["seq"] for message in rest["items"]]) == (4, [4])


def test_checkpoints_come_newest_first_with_every_key(api: Api, session: str) -> None:
    checkpoints = api.items(f"/sessions/{session}/checkpoints")
    assert [checkpoint["step"] for checkpoint in checkpoints] == [3, 2, 1]
    assert " ".join(checkpoints[0]) == CHECKPOINT_KEYS == " ".join(CheckpointDocument.model_fields)
    assert checkpoints[0]["parent_id"] == checkpoints[1]["id"]


def test_a_checkpoint_shows_the_state_of_its_moment(api: Api, session: str) -> None:
    last, second, first = (checkpoint["id"] for checkpoint in api.items(f"/sessions/{session}/checkpoints"))
    shown = api.get(f"/sessions/{session}/checkpoints/{second}").json()
    assert " ".join(shown) == f"{CHECKPOINT_KEYS} state" == " ".join(CheckpointDetailDocument.model_fields)
    assert [message["seq"] for message in shown["state"]["messages"]] == [1, 2]
    assert " ".join(shown["state"]) == " ".join(SessionStateDocument.model_fields)
    assert (shown["state"]["checkpoint_id"], shown["state"]["interrupt"]) == (second, None)
    todos = {
        name: api.get(f"/sessions/{session}/checkpoints/{name}").json()["state"]["todos"]
        for name in (first, second, last)
    }
    assert todos == {first: ["pack"], second: ["pack", "go"], last: ["pack", "go"]}


def test_the_last_checkpoints_state_is_the_sessions(api: Api, session: str) -> None:
    last = api.items(f"/sessions/{session}/checkpoints")[0]["id"]
    shown = api.get(f"/sessions/{session}/checkpoints/{last}").json()
    assert shown["state"] == api.get(f"/sessions/{session}/state").json()


def test_values_are_the_fold_of_the_ancestors_changes(api: Api, session: str) -> None:
    last, second, first = (UUID(checkpoint["id"]) for checkpoint in api.items(f"/sessions/{session}/checkpoints"))
    assert values_at(first).run() == {"todos": ["pack"], "draft": "a"}
    assert values_at(second).run() == {"todos": ["pack", "go"]}
    assert values_at(last).run() == {"todos": ["pack", "go"], "mood": "good", "metadata": KNOWN}


def test_what_another_branch_changed_is_not_in_it(api: Api, session: str) -> None:
    last, _, first = (UUID(checkpoint["id"]) for checkpoint in api.items(f"/sessions/{session}/checkpoints"))
    branch = _checkpoint(session, first, 4, 4, {"mood": None}, ["todos"])
    assert values_at(branch).run() == {"draft": "a", "mood": None}
    assert values_at(last).run()["mood"] == "good"


def test_a_key_that_a_step_removes_and_sets_is_set(api: Api, session: str) -> None:
    last = UUID(api.items(f"/sessions/{session}/checkpoints")[0]["id"])
    assert values_at(_checkpoint(session, last, 4, 4, {"mood": "new"}, ["mood"])).run()["mood"] == "new"


def test_a_checkpoint_shows_what_its_run_asks_while_it_waits_there(api: Api, session: str) -> None:
    last, second, _ = (checkpoint["id"] for checkpoint in api.items(f"/sessions/{session}/checkpoints"))
    run = api.run(session)
    Checkpoint.objects.filter(session_id=session).update(run_id=run)
    Run.objects.filter(id=run).update(status="interrupted", ready=False, interrupt={"type": "x"}, checkpoint_id=last)
    shown = [api.get(f"/sessions/{session}/checkpoints/{name}").json()["state"]["interrupt"] for name in (last, second)]
    assert shown == [{"type": "x"}, None]


def test_a_checkpoint_of_another_session_is_unknown(api: Api, session: str) -> None:
    checkpoint = api.items(f"/sessions/{session}/checkpoints")[0]["id"]
    assert_refused(api.get(f"/sessions/{api.session()}/checkpoints/{checkpoint}"), 404, "not_found")


def test_the_state_is_the_last_checkpoints(api: Api, session: str) -> None:
    state = api.get(f"/sessions/{session}/state").json()
    assert set(state) == {"messages", "todos", "metadata", "interrupt", "checkpoint_id"}
    assert [message["seq"] for message in state["messages"]] == [1, 2, 3, 4]
    assert (state["todos"], state["metadata"], state["interrupt"]) == (["pack", "go"], KNOWN, None)
    assert state["checkpoint_id"] == api.items(f"/sessions/{session}/checkpoints")[0]["id"]


def test_a_new_sessions_state_is_empty(api: Api) -> None:
    state = api.get(f"/sessions/{api.session()}/state").json()
    assert state == {"messages": [], "todos": [], "metadata": {}, "interrupt": None, "checkpoint_id": None}


def test_a_history_costs_the_same_at_any_length(
    api: Api, session: str, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    for path in ("messages", "checkpoints"):
        with django_assert_num_queries(2) as asked:
            api.items(f"/sessions/{session}/{path}")
        assert '"changes"' not in str(asked.captured_queries)
    with django_assert_num_queries(3):
        api.items(f"/sessions/{session}/messages", limit=1)
    checkpoint = api.items(f"/sessions/{session}/checkpoints")[0]["id"]
    with django_assert_num_queries(5):
        api.get(f"/sessions/{session}/checkpoints/{checkpoint}")
