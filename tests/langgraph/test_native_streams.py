"""Native assistants, streamed as if they were graphs of the nodes `model` and `tools`."""

import pytest

from protocols.langgraph.run_bodies import RUN_MODES
from protocols.langgraph.streaming.places import parse_place
from runs.worker.outcomes import Finished, HandedBack
from runtime.contract import Message, Step, ToolCall
from tests.langgraph.carried import Carried, begun, native
from tests.langgraph.heard import told
from tests.runs.hand import Hand
from tests.runs.worker import Tenant

MODES = tuple(mode for mode in RUN_MODES if mode != "events")
CALL = ToolCall("call_1", "weather", {"city": "Berlin"})


@pytest.fixture
async def run(hand: Hand, owner: Tenant) -> Carried:
    return await begun(hand, tenant=owner)


def _said(key: str, role: str, content: str, **fields: object) -> Message:
    return Message(id=key, role=role, content=content, **fields)  # type: ignore[arg-type]


CALLING = "01a1b2c3-d4e5-7f60-8abc-000000000001"
RESULT = "01a1b2c3-d4e5-7f60-8abc-000000000002"
ANSWER = "01a1b2c3-d4e5-7f60-8abc-000000000003"


async def _tells_everything(run: Carried) -> None:
    """A model calls a tool, hears its result and answers word by word."""
    journal = run.held.journal
    calling = _said(CALLING, "assistant", "", tool_calls=[CALL])
    await run.held.commit(Finished(Step(kind="model", messages=[calling], next=["tools"])))
    journal.tell("custom", {"name": "progress", "value": 0.5})
    result = _said(RESULT, "tool", "sunny", tool_call_id="call_1", name="weather")
    await run.held.commit(Finished(Step(kind="tools", messages=[result], next=["model"], changes={"seen": 1})))
    for word in ("It is", " sunny"):
        journal.token(ANSWER, word, "text")
        journal.take()
    await run.held.commit(Finished(Step(kind="model", messages=[_said(ANSWER, "assistant", "It is sunny")], done=True)))


async def test_values_come_with_the_input_and_after_each_step(run: Carried) -> None:
    await _tells_everything(run)
    values = told(await run.heard(native("values")), "values")
    types = [[message["type"] for message in one["messages"]] for one in values]
    assert types == [
        ["human"],
        ["human", "ai"],
        ["human", "ai", "tool"],
        ["human", "ai", "tool", "ai"],
    ]
    assert [one.get("seen") for one in values] == [None, None, 1, 1]


async def test_updates_are_what_each_node_wrote(run: Carried) -> None:
    await _tells_everything(run)
    updates = told(await run.heard(native("updates")), "updates")
    assert [next(iter(one)) for one in updates] == ["model", "tools", "model"]
    assert updates[1]["tools"]["messages"][0]["content"] == "sunny"
    assert updates[1]["tools"]["seen"] == 1


async def test_messages_grow_and_whole_ones_come_whole(run: Carried) -> None:
    await _tells_everything(run)
    heard = [one for one in await run.heard(native("messages")) if one.event != "metadata"]
    assert [one.event.partition("/")[2] for one in heard] == [
        *("metadata", "complete"),
        *("metadata", "complete"),
        *("metadata", "partial", "partial", "partial"),
    ]
    (metadata,) = heard[0].data.values()
    assert metadata["metadata"]["langgraph_node"] == "model"
    assert heard[1].data[0]["tool_calls"][0]["args"] == {"city": "Berlin"}
    assert [one.data[0]["content"] for one in heard[5:]] == ["It is", "It is sunny", "It is sunny"]


async def test_tuples_are_chunks_with_where_they_come_from(run: Carried) -> None:
    await _tells_everything(run)
    pairs = told(await run.heard(native("messages-tuple")), "messages")
    assert [(chunk["type"], chunk["content"], origin["langgraph_node"]) for chunk, origin in pairs] == [
        ("ai", "", "model"),
        ("tool", "sunny", "tools"),
        ("AIMessageChunk", "It is", "model"),
        ("AIMessageChunk", " sunny", "model"),
        ("AIMessageChunk", "", "model"),
    ]
    assert [origin["langgraph_step"] for _, origin in pairs] == [1, 2, 3, 3, 3]
    assert pairs[-1][0]["chunk_position"] == "last"


async def test_tasks_begin_and_end_under_one_id(run: Carried) -> None:
    await _tells_everything(run)
    tasks = told(await run.heard(native("tasks")), "tasks")
    ids: dict[str, list[str]] = {}
    for task in tasks:
        ids.setdefault(task["id"], []).append("result" if "result" in task else "input")
    assert list(ids.values()) == [["input", "result"]] * 3


async def test_checkpoints_name_their_parents_and_what_follows(run: Carried) -> None:
    await _tells_everything(run)
    checkpoints = told(await run.heard(native("checkpoints")), "checkpoints")
    assert [one["next"] for one in checkpoints] == [["model"], ["tools"], ["model"], []]
    assert [one["metadata"]["source"] for one in checkpoints] == ["input", "loop", "loop", "loop"]
    assert [one["metadata"]["step"] for one in checkpoints] == [-1, 0, 1, 2]
    assert [one["parent_config"] for one in checkpoints] == [None, *(one["config"] for one in checkpoints[:-1])]


async def test_debug_is_all_of_that_and_custom_is_what_agents_tell(run: Carried) -> None:
    await _tells_everything(run)
    heard = await run.heard(native("debug", "custom"))
    assert [one["type"] for one in told(heard, "debug")] == [
        *("checkpoint", "task"),
        *("task_result", "checkpoint", "task"),
        *("task_result", "checkpoint", "task"),
        *("task_result", "checkpoint"),
    ]
    assert told(heard, "custom") == [{"name": "progress", "value": 0.5}]


async def test_tools_tell_when_they_are_called_and_what_they_gave(run: Carried) -> None:
    await run.held.calls("weather", "clock")
    for name, status, error in (("weather", "ok", None), ("clock", "error", "It stands still.")):
        record = {"id": f"call_{name}", "name": name, "status": status, "result": "sunny", "error": error}
        run.held.journal.tell("tool_result", record)
    await run.held.says("Done", done=True)
    tools = told(await run.heard(native("tools")), "tools")
    assert [(one["event"], one["tool_call_id"]) for one in tools] == [
        *(("tool-started", "call_weather"), ("tool-started", "call_clock")),
        *(("tool-finished", "call_weather"), ("tool-error", "call_clock")),
    ]
    assert tools[3]["message"] == "It stands still."


async def test_after_every_id_a_reader_hears_the_rest_and_nothing_twice(run: Carried) -> None:
    await _tells_everything(run)
    whole = await run.heard(native(*MODES))
    places = [parse_place(one.id) for one in whole]
    assert places == sorted(set(places))  # type: ignore[type-var]
    for index, place in enumerate(places):
        assert await run.heard(native(*MODES), after=place) == whole[index + 1 :]


async def test_a_second_run_begins_with_what_the_thread_has(run: Carried, hand: Hand, owner: Tenant) -> None:
    await _tells_everything(run)
    second = await begun(hand, session=run.session, tenant=owner)
    await second.held.says("Again", done=True)
    values = told(await second.heard(native("values")), "values")
    assert [len(one["messages"]) for one in values] == [5, 6]
    assert values[0]["seen"] == 1


async def test_what_a_run_asks_is_an_interrupt_of_its_values_and_updates(run: Carried) -> None:
    await run.held.calls("weather")
    await run.held.asks(type="custom", value={"city": "?"})
    heard = await run.heard(native("values", "updates", "tasks", "debug"))
    (asked,) = told(heard, "updates")[-1]["__interrupt__"]
    assert asked["value"] == {"city": "?"}
    assert told(heard, "values")[-1]["__interrupt__"] == [asked]
    assert told(heard, "tasks")[-1]["interrupts"] == [asked]
    assert told(heard, "debug")[-1]["payload"] == told(heard, "tasks")[-1]


async def test_a_message_that_is_said_anew_is_not_put_together_with_what_was_said_of_it(run: Carried) -> None:
    run.held.journal.token(ANSWER, "It w", "text")
    await run.held.commit(HandedBack())
    (again,) = await run.held.hand.claim_all()
    again.journal.token(ANSWER, "It is", "text")
    await again.commit(Finished(Step(kind="model", messages=[_said(ANSWER, "assistant", "It is")], done=True)))
    heard = await run.heard(native("messages", "values"))
    assert [one[0]["content"] for one in told(heard, "messages/partial")] == ["It w", "It is", "It is"]
    assert [len(one["messages"]) for one in told(heard, "values")] == [1, 2]
