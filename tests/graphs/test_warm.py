"""What a worker keeps of a thread's graph for the thread's next run is what that would read."""

from typing import Any

import pytest
from langchain_core.messages import HumanMessage

from core.ids import new_id
from graphs.saver import Saver
from graphs.tuples import config_of
from graphs.warm import MAX_WARM, MAX_WARM_BYTES, Head, Heads, heads
from runtime.graph_rows import GraphRows
from sessions.graph_queries import GraphPage, read_graph
from tests.graphs.hosting import Host, values
from tests.runs.worker import one

HUMAN = {"type": "human", "content": "hello"}
GIVEN: dict[str, Any] = {"messages": [HUMAN]}
INPUTS = {
    "echo": GIVEN,
    "react": GIVEN,
    "nested": {},
    "steps": {},
    "fan_out": {"wanted": ["a", "b"]},
    "functional": {"number": 2},
}


async def _stored(host: Host) -> GraphPage:
    return await read_graph(host.session, namespace="", limit=1).arun()


async def _warm(host: Host) -> GraphPage | None:
    ((_, checkpoint_id),) = (await _stored(host)).checkpoints
    return heads.take(str(host.session), checkpoint_id)


async def _head(host: Host) -> str | None:
    """Where the next run of the session finds its graph."""
    await host.accept("echo", GIVEN)
    await host.begin()
    head = host.stage.claimed["graph_head"]
    return head and str(head)


@pytest.mark.parametrize("durability", ["async", "exit"])
@pytest.mark.parametrize("graph", INPUTS)
async def test_what_is_warm_is_what_is_stored(host: Host, graph: str, durability: str) -> None:
    for _ in range(2):
        await host.run(graph, INPUTS[graph], durability)
    assert await _warm(host) == await _stored(host)


async def test_a_list_that_is_stored_in_pieces_is_warm_with_all_of_them(host: Host) -> None:
    for _ in range(5):
        await host.run("react", GIVEN)
    stored = await _stored(host)
    assert any(base for _, base in stored.values.values())
    assert await _warm(host) == stored


async def test_a_run_goes_on_from_what_is_warm(host: Host) -> None:
    await host.run("echo", GIVEN)
    await host.run("echo", GIVEN)
    warm = await _warm(host)
    assert warm is not None
    config: Any = {"configurable": {"thread_id": str(host.session), "checkpoint_ns": ""}}
    found = await Saver(host.session, warm=warm).aget_tuple(config)
    assert found == await Saver(host.session).aget_tuple(config)


async def test_it_is_read_once(host: Host) -> None:
    await host.run("echo", GIVEN)
    assert await _warm(host) is not None
    assert await _warm(host) is None


async def test_what_somebody_else_made_of_the_thread_counts(host: Host) -> None:
    await host.run("echo", GIVEN)
    warm = heads._warm[str(host.session)]
    await host.run("echo", {"messages": [{"type": "human", "content": "in between"}]})
    heads.keep(str(host.session), *warm)  # another worker carried out the run in between
    ended = await host.run("echo", GIVEN)
    said = [message["content"] for message in values(ended)["messages"]]
    assert said == ["hello", "echo: hello", "in between", "echo: in between", "hello", "echo: hello"]


async def test_a_claim_names_where_the_graph_stands(host: Host) -> None:
    await host.run("echo", GIVEN)
    ((_, checkpoint_id),) = (await _stored(host)).checkpoints
    assert await _head(host) == checkpoint_id


async def test_a_claim_names_nothing_where_something_was_written_after_it(host: Host) -> None:
    await host.run("echo", GIVEN)
    ((_, checkpoint_id),) = (await _stored(host)).checkpoints
    config = config_of(str(host.session), "", checkpoint_id)
    await Saver(host.session).aput_writes(config, [("messages", HumanMessage("hm"))], str(new_id()))
    assert await _head(host) is None


async def test_a_native_run_looks_for_no_graph(host: Host) -> None:
    await host.run("echo", GIVEN)
    await host.accept_native("echo", {"message": "hi"})
    await host.begin()
    assert host.stage.claimed["graph_head"] is None


async def test_a_graph_that_asks_is_not_kept(host: Host) -> None:
    heads.take(str(host.session), None)
    await host.run("interrupting", {})
    assert str(host.session) not in heads._warm
    assert (await one("SELECT status FROM runs WHERE id = %(id)s", id=host.stage.run_id))["status"] == "interrupted"


async def test_a_branch_is_not_kept_where_the_latest_checkpoint_was_read(host: Host) -> None:
    await host.run("steps", {})
    early = await _stored(host)
    ((_, checkpoint_id),) = early.checkpoints
    await host.run("echo", GIVEN)
    head = Head()
    head.read(await _stored(host))
    row = {"namespace": "", "checkpoint_id": "later", "parent_id": checkpoint_id, "document": {"channel_versions": {}}}
    head.put(GraphRows(checkpoints=[row]))
    assert head.page() is None


def _page(name: str) -> GraphPage:
    return GraphPage({("", name): {"checkpoint_id": name}})


def test_the_least_recently_used_goes_first() -> None:
    warm = Heads()
    for nth in range(MAX_WARM + 1):
        warm.keep(f"s{nth}", _page(str(nth)), 1)
    assert warm.take("s0", "0") is None
    assert warm.take("s1", "1") is not None


def test_large_ones_make_room_but_for_the_last() -> None:
    warm = Heads()
    warm.keep("a", _page("1"), MAX_WARM_BYTES)
    warm.keep("b", _page("2"), MAX_WARM_BYTES + 1)
    assert warm.take("a", "1") is None
    assert warm.take("b", "2") is not None
    warm.keep("c", _page("3"), MAX_WARM_BYTES)
    warm.keep("d", _page("4"), 0)
    assert warm.take("c", "3") is not None
