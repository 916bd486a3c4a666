"""What threads stand at, and changes of it from outside: of hosted graphs and of native assistants."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any
from uuid import uuid4

import httpx
import pytest
from langgraph_sdk.client import LangGraphClient
from langgraph_sdk.errors import BadRequestError, ConflictError, NotFoundError, UnprocessableEntityError

from accounts.models import AuditEntry
from runs.models import Run
from runtime.configuration import configure, current
from runtime.langgraph_json import GraphSource, Source
from sessions.models import Session
from tests.api import UNKNOWN, Api
from tests.langgraph.hosting import Works, at_work
from tests.langgraph.test_threads import talk
from tests.runs.hand import Hand
from tests.runs.worker import in_thread

HUMAN = {"role": "user", "content": "hi"}
NOTHING = {
    "values": {},
    "next": [],
    "tasks": [],
    "metadata": None,
    "created_at": None,
    "checkpoint": None,
    "parent_checkpoint": None,
    "interrupts": [],
    "checkpoint_id": None,
    "parent_checkpoint_id": None,
}


@pytest.fixture
async def works(tenant: Api, open_door: None) -> AsyncIterator[Works]:
    async with at_work(tenant) as working:
        yield working


@pytest.fixture
def hand(open_door: None) -> Hand:
    return Hand()


@pytest.fixture
async def thread(client: LangGraphClient) -> str:
    return str((await client.threads.create())["thread_id"])


def said(state: Any) -> list[tuple[str, str]]:
    return [(message["type"], message["content"]) for message in state["values"]["messages"]]


# -- reading -----------------------------------------------------------------------------------------------------------


async def test_a_thread_without_a_run_stands_at_nothing(client: LangGraphClient, thread: str) -> None:
    assert await client.threads.get_state(thread) == NOTHING
    assert await client.threads.get_history(thread) == []


@pytest.mark.parametrize("path", ["state", f"state/{UNKNOWN}", "history"])
async def test_an_unknown_thread_has_no_state(http: httpx.AsyncClient, path: str) -> None:
    answer = await http.get(f"/threads/{UNKNOWN}/{path}")
    assert (answer.status_code, answer.json()) == (404, {"detail": f"Thread with ID {UNKNOWN} not found"})
    assert (await http.get(f"/threads/x/{path}")).json() == {"detail": "Invalid thread ID: must be a UUID"}


async def test_a_graphs_state_is_langgraphs(client: LangGraphClient, works: Works, thread: str) -> None:
    await works.run(thread, "echo", {"messages": [HUMAN]})
    state = await client.threads.get_state(thread)
    assert " ".join(state) == (
        "values next tasks metadata created_at checkpoint parent_checkpoint interrupts checkpoint_id "
        "parent_checkpoint_id"
    )
    assert said(state) == [("human", "hi"), ("ai", "echo: hi")]
    assert (state["next"], state["tasks"], state["interrupts"]) == ([], [], [])
    assert (state["metadata"]["source"], state["metadata"]["step"], state["metadata"]["graph_id"]) == (
        "loop",
        1,
        "echo",
    )
    assert set(state["checkpoint"]) == {"thread_id", "checkpoint_ns", "checkpoint_id"}
    thread_now = await client.threads.get(thread)
    assert (thread_now["values"], thread_now["status"]) == (state["values"], "idle")
    assert thread_now["metadata"]["graph_id"] == "echo"


async def test_a_state_can_be_read_at_any_checkpoint(
    client: LangGraphClient, http: httpx.AsyncClient, works: Works, thread: str
) -> None:
    await works.run(thread, "steps", {"count": 0})
    for then in await client.threads.get_history(thread, limit=100):
        checkpoint = then["checkpoint"]
        assert await client.threads.get_state(thread, checkpoint_id=checkpoint["checkpoint_id"]) == then
        assert await client.threads.get_state(thread, checkpoint=checkpoint) == then
    for unknown in (UNKNOWN, "xyz"):
        state = (await http.get(f"/threads/{thread}/state/{unknown}")).json()
        assert {**state, "checkpoint": None, "checkpoint_id": None} == NOTHING
        assert state["checkpoint"]["checkpoint_id"] == unknown


async def test_only_the_selected_parts_are_told(client: LangGraphClient, works: Works, thread: str) -> None:
    await works.run(thread, "steps", {"count": 0})
    assert await client.threads.get_state(thread, select=["values.count", "next"]) == {
        "values": {"count": 5},
        "next": [],
    }
    (then,) = await client.threads.get_history(thread, limit=1, select=["values"])
    assert set(then) == {"values"}
    with pytest.raises(UnprocessableEntityError, match="select"):
        await client.threads.get_state(thread, select=["colour"])


async def test_a_question_stands_in_the_state_and_the_thread(
    client: LangGraphClient, works: Works, thread: str
) -> None:
    await works.run(thread, "interrupt", {"question": "Go?"})
    state = await client.threads.get_state(thread)
    (task,) = state["tasks"]
    assert (state["next"], task["name"], task["interrupts"]) == (["ask"], "ask", state["interrupts"])
    (asked,) = state["interrupts"]
    assert asked["value"] == {"question": "Go?"}
    now = await client.threads.get(thread)
    assert (now["status"], now["interrupts"]) == ("interrupted", {task["id"]: [asked]})


async def test_a_failure_stands_in_the_state_and_the_thread(client: LangGraphClient, works: Works, thread: str) -> None:
    await works.run(thread, "steps", {"count": 0, "fail_at": 2})
    state = await client.threads.get_state(thread)
    assert [(task["name"], task["error"]) for task in state["tasks"]] == [("s2", "ValueError('boom at 2')")]
    now: Any = await client.threads.get(thread)
    assert (now["status"], now["error"]) == ("error", {"error": "ValueError", "message": "boom at 2"})
    assert now["values"] == state["values"]


async def test_the_state_of_a_subgraph_is_told_when_asked_for(
    client: LangGraphClient, works: Works, thread: str
) -> None:
    await works.run(thread, "nested", {"text": "x"}, interrupt_before=["child"])
    (task,) = (await client.threads.get_state(thread, subgraphs=True))["tasks"]
    assert task["name"] == "child"
    await works.run(thread, "nested")
    assert (await client.threads.get_state(thread))["values"] == {"text": "X!"}
    assert await client.threads.get_state(thread, checkpoint={"checkpoint_ns": "nope"}) == NOTHING


# -- changing a graph's state ------------------------------------------------------------------------------------------


async def test_what_is_written_from_outside_is_what_the_next_run_begins_with(
    client: LangGraphClient, works: Works, thread: str
) -> None:
    await works.run(thread, "echo", {"messages": [HUMAN]})
    changed: Any = await client.threads.update_state(
        thread, {"messages": [{"role": "ai", "content": "no"}]}, as_node="answer"
    )
    assert changed["checkpoint"] == changed["configurable"]
    state = await client.threads.get_state(thread)
    assert state["checkpoint"]["checkpoint_id"] == changed["checkpoint_id"]
    assert (state["next"], state["metadata"]["source"]) == ([], "update")
    await works.run(thread, "echo", {"messages": [{"role": "user", "content": "again"}]})
    texts = ["hi", "echo: hi", "no", "again", "echo: again"]
    assert [text for _, text in said(await client.threads.get_state(thread))] == texts


async def test_the_native_session_has_it_too(client: LangGraphClient, works: Works, tenant: Api, thread: str) -> None:
    await works.run(thread, "echo", {"messages": [HUMAN]})
    await client.threads.update_state(thread, {"messages": [{"role": "ai", "content": "no"}]}, as_node="answer")
    messages = await in_thread(lambda: tenant.items(f"/sessions/{thread}/messages"))
    assert [message["content"] for message in messages] == ["hi", "echo: hi", "no"]
    latest, *_ = await in_thread(lambda: tenant.items(f"/sessions/{thread}/checkpoints"))
    assert (latest["source"], latest["run_id"], latest["message_count"]) == ("update", None, 3)
    assert await in_thread(AuditEntry.objects.filter(action="updated", subject_type="session").count) == 1


async def test_a_tool_call_that_waits_in_a_graph_is_answered_by_the_graph_alone(
    client: LangGraphClient, works: Works, tenant: Api, thread: str
) -> None:
    await works.run(thread, "react", {"messages": [HUMAN]}, interrupt_before=["tools"])
    assert (await client.threads.get(thread))["status"] == "interrupted"
    await works.run(thread, "react")
    messages = await in_thread(lambda: tenant.items(f"/sessions/{thread}/messages"))
    assert [message["role"] for message in messages] == ["user", "assistant", "tool", "assistant"]
    assert messages[2]["content"] == "It is sunny in Berlin."


async def test_a_thread_that_was_given_an_input_from_outside_waits_for_a_run(
    client: LangGraphClient, works: Works, thread: str
) -> None:
    await works.run(thread, "echo", {"messages": [HUMAN]})
    await client.threads.update_state(thread, {"messages": [HUMAN]}, as_node="__start__")
    assert (await client.threads.get_state(thread))["next"] == ["answer"]
    assert (await client.threads.get(thread))["status"] == "interrupted"
    assert [found["thread_id"] for found in await client.threads.search(status="interrupted")] == [thread]
    await works.run(thread, "echo")
    assert len(said(await client.threads.get_state(thread))) == 4
    assert (await client.threads.get(thread))["status"] == "idle"


async def test_an_earlier_checkpoint_can_be_gone_on_from(client: LangGraphClient, works: Works, thread: str) -> None:
    await works.run(thread, "steps", {"count": 0})
    past = await client.threads.get_history(thread, limit=100)
    then = next(state for state in past if state["next"] == ["s3"])
    await client.threads.update_state(thread, {"count": 10}, checkpoint_id=then["checkpoint"]["checkpoint_id"])
    assert (await client.threads.get_state(thread))["next"] == ["s3"]
    await works.run(thread, "steps")
    assert (await client.threads.get(thread))["values"]["count"] == 13
    assert len(await client.threads.get_history(thread, limit=100)) == len(past) + 1 + 3


async def test_a_native_run_can_begin_where_a_change_left_the_graph(
    client: LangGraphClient, works: Works, tenant: Api, thread: str
) -> None:
    await works.run(thread, "echo", {"messages": [HUMAN]})
    await client.threads.update_state(thread, {"messages": [{"role": "ai", "content": "no"}]}, as_node="answer")
    changed, *_ = await in_thread(lambda: tenant.items(f"/sessions/{thread}/checkpoints"))
    await works.run(thread, "echo", {"messages": [HUMAN]})
    await works.natively(thread, "echo", {"message": "again"}, changed["id"])
    texts = ["hi", "echo: hi", "no", "again", "echo: again"]
    assert [text for _, text in said(await client.threads.get_state(thread))] == texts
    messages = await in_thread(lambda: tenant.items(f"/sessions/{thread}/messages"))
    assert [message["content"] for message in messages] == texts


async def test_a_question_is_gone_with_a_change_and_its_run_has_succeeded(
    client: LangGraphClient, works: Works, thread: str
) -> None:
    await works.run(thread, "interrupt", {"question": "Go?"})
    await client.threads.update_state(thread, {"decision": "yes"}, as_node="ask")
    state, now = await client.threads.get_state(thread), await client.threads.get(thread)
    assert (state["next"], state["interrupts"]) == (["act"], [])
    assert (now["status"], now["interrupts"]) == ("interrupted", {})
    assert await in_thread(lambda: Run.objects.get(session=thread).status) == "success"
    await works.run(thread, "interrupt")
    assert (await client.threads.get(thread))["values"]["question"] == "decided: yes"


async def test_two_who_change_a_thread_at_once_are_both_heard(
    client: LangGraphClient, works: Works, thread: str
) -> None:
    await works.run(thread, "echo", {"messages": [HUMAN]})
    changes = [{"messages": [{"role": "ai", "content": text}]} for text in ("one", "two")]
    await asyncio.gather(*(client.threads.update_state(thread, change, as_node="answer") for change in changes))
    texts = [text for _, text in said(await client.threads.get_state(thread))]
    assert (texts[:2], sorted(texts[2:])) == (["hi", "echo: hi"], ["one", "two"])


async def test_a_subgraph_that_asks_is_in_the_state_and_can_be_changed(
    client: LangGraphClient, works: Works, thread: str
) -> None:
    asks = {"inner_asks": GraphSource(Source("tests.graphs.made", "inner_asks"))}
    configure(replace(current(), langgraph=replace(current().langgraph, graphs=asks)))
    await works.run(thread, "inner_asks", {"log": []})
    (task,) = (await client.threads.get_state(thread))["tasks"]
    assert (task["state"], task["interrupts"][0]["value"]) == (None, "left?")
    inside: Any = (await client.threads.get_state(thread, subgraphs=True))["tasks"][0]["state"]
    assert inside["next"] == ["ask"]
    assert inside["checkpoint"]["checkpoint_ns"] == task["checkpoint"]["checkpoint_ns"] != ""
    assert await client.threads.get_state(thread, checkpoint=inside["checkpoint"]) == inside
    (then,) = await client.threads.get_history(
        thread, limit=1, checkpoint={"checkpoint_ns": inside["checkpoint"]["checkpoint_ns"]}
    )
    assert then == inside
    await client.threads.update_state(thread, {"log": ["from outside"]}, checkpoint=inside["checkpoint"])
    now: Any = (await client.threads.get_state(thread, subgraphs=True))["tasks"][0]["state"]
    assert now["values"]["log"][-1] == "from outside"


async def test_a_busy_thread_is_left_alone(client: LangGraphClient, works: Works, thread: str) -> None:
    await works.accept(thread, "steps", {"count": 0, "secret": "rose"})
    with pytest.raises(ConflictError, match=f"Thread {thread} has in-flight runs") as refused:
        await client.threads.update_state(thread, {"count": 1})
    assert "rose" not in str(refused.value)


async def test_what_does_not_fit_the_graph_is_refused_and_nothing_is_stored(
    client: LangGraphClient, http: httpx.AsyncClient, works: Works, thread: str
) -> None:
    with pytest.raises(BadRequestError, match="has no assigned graph ID"):
        await client.threads.update_state(thread, {"messages": []})
    await works.run(thread, "echo", {"messages": [HUMAN]})
    before = await client.threads.get(thread)
    with pytest.raises(BadRequestError, match="Node nope does not exist"):
        await client.threads.update_state(thread, {"messages": []}, as_node="nope")
    with pytest.raises(BadRequestError):
        await client.threads.update_state(thread, {"messages": [{"role": "robot", "content": 1}]}, as_node="answer")
    assert await client.threads.get(thread) == before
    answer = await http.post(f"/threads/{thread}/state", json={"values": {}, "checkpoint_id": "xyz"})
    assert answer.status_code == 422


async def test_another_workspaces_state_is_not_there(
    client: LangGraphClient, works: Works, thread: str, neighbour: Api
) -> None:
    from tests.langgraph.conftest import client_of

    await works.run(thread, "echo", {"messages": [HUMAN]})
    async with client_of(neighbour) as theirs:
        for refused in (
            theirs.threads.get_state(thread),
            theirs.threads.get_history(thread),
            theirs.threads.update_state(thread, {"messages": []}),
        ):
            with pytest.raises(NotFoundError):
                await refused


# -- seeding -----------------------------------------------------------------------------------------------------------


async def test_a_thread_can_begin_with_a_history(client: LangGraphClient, works: Works) -> None:
    supersteps = [
        {"updates": [{"values": {"messages": [HUMAN]}, "as_node": "__start__"}]},
        {"updates": [{"values": {"messages": [{"role": "ai", "content": "ho"}]}, "as_node": "answer"}]},
    ]
    made = await client.threads.create(graph_id="echo", supersteps=supersteps)
    assert [message["content"] for message in made["values"]["messages"]] == ["hi", "ho"]
    assert len(await client.threads.get_history(made["thread_id"], limit=10)) == 2
    await works.run(made["thread_id"], "echo", {"messages": [{"role": "user", "content": "you"}]})
    assert len(said(await client.threads.get_state(made["thread_id"]))) == 4


async def test_a_history_that_cannot_be_makes_no_thread(client: LangGraphClient) -> None:
    update = {"values": {"messages": [HUMAN]}, "as_node": "__start__"}
    with pytest.raises(BadRequestError, match="has no assigned graph ID"):
        await client.threads.create(supersteps=[{"updates": [update]}])
    with pytest.raises(BadRequestError, match="Node nope does not exist"):
        await client.threads.create(graph_id="echo", supersteps=[{"updates": [{**update, "as_node": "nope"}]}])
    assert await in_thread(Session.objects.count) == 0


async def test_a_history_may_be_written_with_commands(client: LangGraphClient) -> None:
    command = {"update": {"text": "x"}, "goto": "finish"}
    supersteps = [{"updates": [{"values": None, "command": command, "as_node": "child"}]}]
    made = await client.threads.create(graph_id="nested", supersteps=supersteps)
    assert made["values"] == {"text": "x"}
    assert (await client.threads.get_state(made["thread_id"]))["next"] == ["finish"]


async def test_a_copy_of_a_graphs_thread_goes_on_by_itself(client: LangGraphClient, works: Works, thread: str) -> None:
    await works.run(thread, "echo", {"messages": [HUMAN]})
    copy = (await client.threads.copy(thread))["thread_id"]
    ours, theirs = await client.threads.get_state(thread), await client.threads.get_state(copy)
    assert theirs["values"] == ours["values"]
    assert theirs["checkpoint"]["thread_id"] == copy
    await works.run(copy, "echo", {"messages": [HUMAN]})
    assert len(said(await client.threads.get_state(copy))) == 4
    assert len(said(await client.threads.get_state(thread))) == 2


# -- native assistants -------------------------------------------------------------------------------------------------


async def test_a_native_assistants_state_is_a_graphs_of_two_nodes(
    client: LangGraphClient, tenant: Api, hand: Hand
) -> None:
    session = await talk(tenant, hand)
    state = await client.threads.get_state(session)
    assert said(state) == [("human", "Hello"), ("ai", "Hello")]
    assert state["values"]["mood"] == "good"
    assert (state["next"], state["tasks"], state["metadata"]["source"]) == ([], [], "loop")
    assert (state["metadata"]["graph_id"], state["metadata"]["thread_id"]) == ("ReactAgent", session)
    first = await client.threads.get_state(session, checkpoint=state["parent_checkpoint"])
    assert (first["next"], first["metadata"]["source"], first["metadata"]["step"]) == (["model"], "input", -1)
    assert said(first) == [("human", "Hello")]
    assert first["parent_checkpoint"] is None


async def test_what_a_native_assistant_asks_is_in_its_state(client: LangGraphClient, tenant: Api, hand: Hand) -> None:
    session = await in_thread(tenant.session)
    await in_thread(lambda: tenant.run(session))
    held = await hand.claim()
    await held.asks(type="custom", value="Go on?")
    state, now = await client.threads.get_state(session), await client.threads.get(session)
    assert [asked["value"] for asked in state["interrupts"]] == ["Go on?"]
    assert now["interrupts"].popitem()[1] == state["interrupts"]


async def test_a_native_conversation_can_be_added_to(client: LangGraphClient, tenant: Api, hand: Hand) -> None:
    session = await talk(tenant, hand)
    values = {"messages": [HUMAN, {"role": "ai", "content": "ho"}], "mood": None, "tone": "dry"}
    changed = await client.threads.update_state(session, values, as_node="model")
    state = await client.threads.get_state(session)
    assert state["checkpoint"] == changed["checkpoint"]
    assert [text for _, text in said(state)] == ["Hello", "Hello", "hi", "ho"]
    assert {key: value for key, value in state["values"].items() if key != "messages"} == {"tone": "dry"}
    assert (state["next"], state["metadata"]["source"]) == ([], "update")
    run = await in_thread(lambda: tenant.run(session))
    held = await hand.claim()
    assert str(held.claimed["id"]) == run
    assert [message.content for message in held.conversation.messages][:4] == ["Hello", "Hello", "hi", "ho"]


async def test_a_native_conversation_goes_on_from_an_earlier_checkpoint(
    client: LangGraphClient, tenant: Api, hand: Hand
) -> None:
    session = await talk(tenant, hand)
    first = (await client.threads.get_state(session))["parent_checkpoint"]
    assert first
    await client.threads.update_state(session, {"messages": ["Bye"]}, checkpoint_id=first["checkpoint_id"])
    state = await client.threads.get_state(session)
    assert (said(state), state["next"]) == ([("human", "Hello"), ("human", "Bye")], ["model"])
    assert "mood" not in state["values"]
    assert state["parent_checkpoint"] == first
    messages = await in_thread(lambda: tenant.items(f"/sessions/{session}/messages"))
    assert [message["content"] for message in messages] == ["Hello", "Bye"]


async def test_an_answer_from_outside_takes_the_place_of_a_tool(
    client: LangGraphClient, tenant: Api, hand: Hand
) -> None:
    session = await in_thread(tenant.session)
    await in_thread(lambda: tenant.run(session))
    held = await hand.claim()
    await held.calls("add", "subtract")
    await held.asks(type="custom", value="Go on?")
    answer = {"type": "tool", "content": "2", "tool_call_id": "call_add"}
    await client.threads.update_state(session, {"messages": [answer, HUMAN]}, as_node="tools")
    state = await client.threads.get_state(session)
    roles = [message["type"] for message in state["values"]["messages"]]
    assert (roles, state["next"]) == (["human", "ai", "tool", "tool", "human"], ["model"])
    answered = [message["tool_call_id"] for message in state["values"]["messages"] if message["type"] == "tool"]
    assert answered == ["call_add", "call_subtract"]
    assert await in_thread(lambda: Run.objects.get(session=session).status) == "success"


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"values": {}, "as_node": "nope"}, 400),
        ({"values": [1]}, 422),
        ({"values": {"messages": [{"role": "robot", "content": "x"}]}}, 422),
        ({"values": {}, "checkpoint_id": UNKNOWN}, 422),
        ({"values": {}, "colour": "red"}, 422),
    ],
)
async def test_what_a_native_assistant_cannot_take_is_refused(
    client: LangGraphClient, http: httpx.AsyncClient, tenant: Api, hand: Hand, body: Any, status: int
) -> None:
    session = await talk(tenant, hand)
    before = await client.threads.get_state(session)
    assert (await http.post(f"/threads/{session}/state", json=body)).status_code == status
    assert await client.threads.get_state(session) == before


async def test_a_closed_session_is_changed_no_more(client: LangGraphClient, tenant: Api, hand: Hand) -> None:
    session = await talk(tenant, hand)
    await in_thread(lambda: Session.objects.filter(id=session).update(status="closed"))
    with pytest.raises(ConflictError):
        await client.threads.update_state(session, {"messages": [HUMAN]})


# -- history -----------------------------------------------------------------------------------------------------------


async def test_a_graphs_history_is_told_from_its_end(
    client: LangGraphClient, http: httpx.AsyncClient, works: Works, thread: str
) -> None:
    await works.run(thread, "steps", {"count": 0})
    past = await client.threads.get_history(thread, limit=100)
    assert [state["metadata"]["step"] for state in past] == [5, 4, 3, 2, 1, 0, -1]
    assert past[0]["parent_checkpoint"] == past[1]["checkpoint"]
    place = past[2]["checkpoint"]
    for before in (place["checkpoint_id"], place, {"configurable": {"checkpoint_id": place["checkpoint_id"]}}):
        assert await client.threads.get_history(thread, limit=2, before=before) == past[3:5]
    assert await client.threads.get_history(thread, limit=9, metadata={"source": "input"}) == past[-1:]
    assert await client.threads.get_history(thread, limit=9, checkpoint=place) == [past[2]]
    assert (await http.get(f"/threads/{thread}/history")).json() == past[:1]
    query = {"limit": 2, "before": place["checkpoint_id"]}
    assert (await http.get(f"/threads/{thread}/history", params=query)).json() == past[3:5]


async def test_a_native_history_is_told_from_its_end(client: LangGraphClient, tenant: Api, hand: Hand) -> None:
    session = await talk(tenant, hand)
    await in_thread(lambda: tenant.run(session))
    held = await hand.claim()
    await held.says("And again", done=True, mood="bad")
    past = await client.threads.get_history(session, limit=100)
    assert [state["values"].get("mood") for state in past] == ["bad", "good", "good", None]
    assert [len(said(state)) for state in past] == [4, 3, 2, 1]
    assert await client.threads.get_history(session, limit=1, before=past[1]["checkpoint"]) == past[2:3]
    assert await client.threads.get_history(session, limit=9, metadata={"source": "input"}) == [past[1], past[3]]
    assert await client.threads.get_history(session, limit=9, checkpoint=past[1]["checkpoint"]) == [past[1]]
    for state in past:
        assert await client.threads.get_state(session, checkpoint=state["checkpoint"]) == state


@pytest.mark.parametrize("body", [{"limit": 0}, {"limit": 1001}, {"before": "xyz"}, {"select": ["x"]}, {"colour": 1}])
async def test_a_history_keeps_to_its_bounds(http: httpx.AsyncClient, thread: str, body: Any) -> None:
    assert (await http.post(f"/threads/{thread}/history", json=body)).status_code == 422


@pytest.mark.parametrize("limit", ["0", "1001", "x", "-1"])
async def test_so_does_a_history_that_is_got(http: httpx.AsyncClient, thread: str, limit: str) -> None:
    assert (await http.get(f"/threads/{thread}/history", params={"limit": limit})).status_code == 422


async def test_a_thread_of_a_graph_that_is_hosted_no_more_says_so(
    client: LangGraphClient, http: httpx.AsyncClient, works: Works, thread: str
) -> None:
    await works.run(thread, "echo", {"messages": [HUMAN]})
    await in_thread(lambda: Session.objects.get(id=thread).assistant.__class__.objects.update(graph_id=f"g{uuid4()}"))
    answer = await http.get(f"/threads/{thread}/state")
    assert (answer.status_code, "hosts no graph" in answer.json()["detail"]) == (409, True)
