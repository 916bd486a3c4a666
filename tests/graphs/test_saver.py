"""The checkpointer under real graphs: in a worker, where a sink takes what it writes, and without one."""

import asyncio
import operator
from typing import Annotated, Any, TypedDict
from uuid import UUID

import orjson
import pytest
from langchain_core.messages import AIMessage, AnyMessage, HumanMessage, RemoveMessage
from langchain_core.runnables import RunnableConfig
from langgraph.channels import DeltaChannel
from langgraph.checkpoint.base import CheckpointTuple
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, StateGraph, add_messages
from langgraph.types import Command, interrupt

from core.db import Operation, operation
from graphs.saver import Saver
from runtime.graph_rows import GraphRows
from sessions.graph_queries import read_graph
from sessions.graph_rows import insert_rows, thin_out_graphs
from tests.api import Api
from tests.runs.worker import in_thread


@operation(atomic=True)
def carry_out(steps: Operation[None]) -> Operation[None]:
    yield from steps


class Worker:
    """Takes what graphs write, and stores it when it is told to."""

    def __init__(self, session: UUID) -> None:
        self.session = session
        self.held: list[GraphRows] = []
        self.bytes: list[int] = []

    async def put(self, rows: GraphRows) -> None:
        self.held.append(rows)
        self.bytes.append(len(orjson.dumps([rows.values, rows.writes, rows.checkpoints])))

    async def store(self, saver: Saver | None = None) -> None:
        rows = GraphRows()
        while self.held:
            rows.add(self.held.pop(0))
        await carry_out(insert_rows(self.session, None, rows)).arun()
        if saver is not None:
            saver.stored(rows)

    def saver(self) -> Saver:
        return Saver(self.session, sink=self)


@pytest.fixture
async def worker(api: Api, async_pool: None) -> Worker:
    return Worker(UUID(await in_thread(api.session)))


def at(worker: Worker, **configurable: Any) -> RunnableConfig:
    return {"configurable": {"thread_id": str(worker.session), **configurable}}


class Conversation(TypedDict):
    messages: Annotated[list[AnyMessage], add_messages]


def talk() -> Any:
    async def answer(state: Conversation) -> dict[str, Any]:
        return {"messages": [AIMessage(f"echo: {state['messages'][-1].text}")]}

    return StateGraph(Conversation).add_node(answer).add_edge(START, "answer")


async def history(graph: Any, config: RunnableConfig) -> list[Any]:
    return [(s.values, s.next, s.metadata["step"]) async for s in graph.aget_state_history(config)]


# -- in a worker -------------------------------------------------------------------------------------------------------


async def test_a_graph_reads_what_is_not_stored_yet(worker: Worker) -> None:
    graph = talk().compile(checkpointer=worker.saver())
    await graph.ainvoke({"messages": [HumanMessage("one", id="1")]}, at(worker))
    assert (await read_graph(worker.session).arun()).checkpoints == {}
    seen = await history(graph, at(worker))
    assert [(len(values.get("messages", [])), after) for values, after, _ in seen] == [
        (2, ()),
        (1, ("answer",)),
        (0, ("__start__",)),
    ]
    await worker.store()
    assert await history(graph, at(worker)) == seen
    assert await history(talk().compile(checkpointer=Saver(worker.session)), at(worker)) == seen


async def test_what_is_stored_need_not_be_remembered(worker: Worker) -> None:
    saver = worker.saver()
    graph = talk().compile(checkpointer=saver)
    for turn in ("one", "two"):
        await graph.ainvoke({"messages": [HumanMessage(turn)]}, at(worker))
        await worker.store(saver)
    held = saver._overlay
    assert (held.checkpoints, held.values, held.writes) == ({}, {}, {})
    assert [m.text for m in (await graph.aget_state(at(worker))).values["messages"]][-1] == "echo: two"


async def test_a_long_conversation_costs_no_more_a_step_than_a_short_one(worker: Worker) -> None:
    saver = worker.saver()
    graph = talk().compile(checkpointer=saver)
    spent: list[int] = []
    for length in (20, 1_000):
        have = len((await graph.aget_state(at(worker))).values.get("messages", []))
        more = [HumanMessage(f"{have + n:05}", id=f"{have + n:05}") for n in range(length - have)]
        await graph.ainvoke({"messages": more}, at(worker))
        worker.bytes.clear()
        for turn in range(16):
            await graph.ainvoke({"messages": [HumanMessage(f"turn {turn:02}")]}, at(worker))
        spent.append(sum(worker.bytes) // 16)
    assert spent[1] < 2 * spent[0]
    await worker.store()
    stored = await read_graph(worker.session, limit=1).arun()
    assert len(stored.values) < 40
    later = talk().compile(checkpointer=Saver(worker.session))
    assert len((await later.aget_state(at(worker))).values["messages"]) == 1_000 + 2 * 16 + 1


async def test_a_run_goes_on_from_the_lists_of_the_one_before_it(worker: Worker) -> None:
    many = [HumanMessage(str(n), id=f"{n:03}") for n in range(100)]
    await talk().compile(checkpointer=worker.saver()).ainvoke({"messages": many}, at(worker))
    await worker.store()
    worker.bytes.clear()
    await talk().compile(checkpointer=worker.saver()).ainvoke({"messages": [HumanMessage("more")]}, at(worker))
    assert sum(worker.bytes) < 5_000
    await worker.store()
    state = await talk().compile(checkpointer=Saver(worker.session)).aget_state(at(worker))
    assert [m.text for m in state.values["messages"]] == [*map(str, range(100)), "echo: 99", "more", "echo: more"]


async def test_a_list_that_is_changed_in_its_middle_is_what_it_was_made(worker: Worker) -> None:
    graph = talk().compile(checkpointer=worker.saver())
    await graph.ainvoke({"messages": [HumanMessage(str(n), id=str(n)) for n in range(40)]}, at(worker))
    for change in (RemoveMessage(id="20"), HumanMessage("new", id="30"), HumanMessage("new", id="0")):
        await graph.aupdate_state(at(worker), {"messages": [change]}, as_node="answer")
    await worker.store()
    expected = (await graph.aget_state(at(worker))).values["messages"]
    texts = [message.text for message in expected[:-1]]
    assert texts == ["new", *map(str, range(1, 20)), *map(str, range(21, 30)), "new", *map(str, range(31, 40))]
    later = await talk().compile(checkpointer=Saver(worker.session)).aget_state(at(worker))
    assert later.values["messages"] == expected


async def test_a_thinned_out_conversation_is_whole(worker: Worker) -> None:
    graph = talk().compile(checkpointer=worker.saver())
    for turn in range(15):
        await graph.ainvoke({"messages": [HumanMessage(str(turn))]}, at(worker))
    expected = (await graph.aget_state(at(worker))).values
    await worker.store()
    await carry_out(thin_out_graphs([worker.session])).arun()
    (kept,) = await history(talk().compile(checkpointer=Saver(worker.session)), at(worker))
    assert kept[0] == expected


async def test_a_graph_that_asks_is_answered_by_the_next_run(worker: Worker) -> None:
    def ask(state: dict[str, Any]) -> dict[str, Any]:
        return {"answer": interrupt("sure?")}

    class State(TypedDict):
        answer: str

    inner = StateGraph(State).add_node(ask).add_edge(START, "ask").compile()
    outer = StateGraph(State).add_node("inner", inner).add_edge(START, "inner")
    await outer.compile(checkpointer=worker.saver()).ainvoke({"answer": ""}, at(worker))
    await worker.store()
    graph = outer.compile(checkpointer=worker.saver())
    state = await graph.aget_state(at(worker), subgraphs=True)
    assert (state.next, [i.value for i in state.interrupts]) == (("inner",), ["sure?"])
    assert state.tasks[0].state.next == ("ask",)
    assert (await graph.ainvoke(Command(resume="yes"), at(worker)))["answer"] == "yes"
    await worker.store()
    assert (await outer.compile(checkpointer=Saver(worker.session)).aget_state(at(worker))).next == ()


async def test_a_task_that_failed_is_not_carried_out_again_beside_one_that_did_its_work(worker: Worker) -> None:
    done: list[str] = []
    broken = True

    def well(state: dict[str, Any]) -> dict[str, Any]:
        done.append("well")
        return {"log": ["well"]}

    async def ill(state: dict[str, Any]) -> dict[str, Any]:
        await asyncio.sleep(0.01)
        if broken:
            raise ValueError("boom")
        return {"log": ["ill"]}

    class State(TypedDict):
        log: Annotated[list[str], operator.add]

    builder = StateGraph(State).add_node(well).add_node(ill).add_edge(START, "well").add_edge(START, "ill")
    with pytest.raises(ValueError, match="boom"):
        await builder.compile(checkpointer=worker.saver()).ainvoke({"log": []}, at(worker))
    await worker.store()
    graph = builder.compile(checkpointer=worker.saver())
    assert "ValueError('boom')" in [
        str(task.error and repr(task.error)) for task in (await graph.aget_state(at(worker))).tasks
    ]
    broken = False
    assert sorted((await graph.ainvoke(None, at(worker)))["log"]) == ["ill", "well"]
    assert done == ["well"]


async def test_forks_do_not_share_what_they_write(worker: Worker) -> None:
    graph = talk().compile(checkpointer=worker.saver())
    await graph.ainvoke({"messages": [HumanMessage("one")]}, at(worker))
    first = (await graph.aget_state(at(worker))).config
    for turn in ("left", "right"):
        await graph.ainvoke({"messages": [HumanMessage(turn)]}, first)
    await worker.store()
    states = [s async for s in talk().compile(checkpointer=Saver(worker.session)).aget_state_history(at(worker))]
    ends = [s.values["messages"][-1].text for s in states if not s.next]
    assert ends == ["echo: right", "echo: left", "echo: one"]


async def test_writes_come_in_the_order_in_which_a_step_takes_them(worker: Worker) -> None:
    saver = worker.saver()
    graph = talk().compile(checkpointer=saver)
    await graph.ainvoke({"messages": [HumanMessage("one")]}, at(worker))
    latest = (await graph.aget_state(at(worker))).config
    for task, path in (("a", "~3"), ("b", "~1"), ("c", "~2")):
        await saver.aput_writes(latest, [("c", path), ("c", path)], task, path)
    expected = ["~1", "~1", "~2", "~2", "~3", "~3"]
    for reader in (saver, Saver(worker.session)):
        found = await reader.aget_tuple(at(worker))
        assert found is not None
        assert [value for _, _, value in found.pending_writes or ()] == expected
        await worker.store(saver)


# -- delta channels ----------------------------------------------------------------------------------------------------


class Deltas(TypedDict):
    log: Annotated[
        list[str], DeltaChannel(lambda held, new: [*held, *[x for xs in new for x in xs]], snapshot_frequency=3)
    ]


def deltas() -> Any:
    def note(state: Deltas) -> dict[str, Any]:
        return {"log": [f"saw {len(state['log'])}"]}

    return StateGraph(Deltas).add_node(note).add_edge(START, "note").add_edge("note", END)


@pytest.mark.parametrize("stored", [True, False])
async def test_delta_channels_are_made_of_what_was_written(worker: Worker, stored: bool) -> None:
    ours, theirs = worker.saver(), InMemorySaver()
    for turn in range(5):
        for saver in (ours, theirs):
            await deltas().compile(checkpointer=saver).ainvoke({"log": [f"turn {turn}"]}, at(worker))
        if stored:
            await worker.store(ours)
    seen, expected = [await history(deltas().compile(checkpointer=saver), at(worker)) for saver in (ours, theirs)]
    assert len(seen[0][0]["log"]) == 10
    assert seen == expected
    if stored:
        await carry_out(thin_out_graphs([worker.session])).arun()
        state = await deltas().compile(checkpointer=Saver(worker.session)).aget_state(at(worker))
        assert state.values == expected[0][0]


# -- threads and threads -----------------------------------------------------------------------------------------------


async def test_nodes_on_other_threads_use_the_synchronous_methods(worker: Worker) -> None:
    saver = worker.saver()
    graph = talk().compile(checkpointer=saver)
    await graph.ainvoke({"messages": [HumanMessage("one")]}, at(worker))

    def read() -> tuple[CheckpointTuple | None, list[CheckpointTuple]]:
        return saver.get_tuple(at(worker)), list(saver.list(at(worker), limit=2))

    one, several = await asyncio.to_thread(read)
    assert one is not None
    assert (len(several), one.checkpoint) == (2, several[0].checkpoint)


async def test_a_synchronous_method_on_the_loop_itself_is_refused(worker: Worker) -> None:
    with pytest.raises(RuntimeError, match="on the event loop"):
        worker.saver().get_tuple(at(worker))


async def test_a_graph_reaches_no_other_conversation(worker: Worker) -> None:
    other = "01a1b2c3-d4e5-7f60-8abc-0123456789ab"
    with pytest.raises(ValueError, match="does not serve"):
        await worker.saver().aget_tuple({"configurable": {"thread_id": other}})
