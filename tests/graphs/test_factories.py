"""Graphs are compiled, or not yet, or functions, or made by functions of many forms."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from langgraph.store.memory import InMemoryStore
from langgraph_sdk.runtime import _ExecutionRuntime, _ReadRuntime

from graphs.registry import BrokenGraphError, graph_for
from runtime.configuration import configure, current
from runtime.langgraph_json import read_config
from tests.graphs import factory_graphs
from tests.graphs.factory_graphs import Context, told

NAMES = [name for name in vars(factory_graphs) if not name.startswith("_") and name.islower()]
STORE = InMemoryStore()
CONFIG = {"configurable": {"model": "m"}, "context": {"tone": "loud"}}


@pytest.fixture(autouse=True)
def _hosted() -> Iterator[None]:
    before = current()
    listed = json.dumps({name: f"tests.graphs.factory_graphs:{name}" for name in NAMES})
    configure(replace(before, langgraph=read_config("", listed, Path.cwd())))
    told.clear()
    yield
    configure(before)


async def run(name: str, **given: Any) -> Any:
    async with graph_for(name, CONFIG, store=STORE, checkpointer=None, **given) as graph:
        assert graph.store is STORE
        return await graph.ainvoke("hey" if name == "functional" else {"text": "hey"})


@pytest.mark.parametrize("name", ["builder", "compiled", "plain", "by_position", "opened", "opened_in_a_thread"])
async def test_every_form_gives_a_graph_that_runs(name: str) -> None:
    assert await run(name) == {"text": "HEY"}


async def test_so_does_an_entrypoint() -> None:
    assert await run("functional") == "HEY"


async def test_a_graph_without_a_name_has_its_id() -> None:
    async with graph_for("builder", {}, store=None, checkpointer=None) as graph:
        assert graph.name == "builder"


async def test_a_factory_is_called_each_time() -> None:
    await run("plain")
    await run("plain")
    assert told == ["plain", "plain"]


async def test_what_is_opened_is_closed_after_the_run() -> None:
    for name in ("opened", "opened_in_a_thread"):
        async with graph_for(name, CONFIG, store=STORE, checkpointer=None):
            assert told == ["opened"]
        assert told == ["opened", "closed"]
        told.clear()


async def test_what_is_opened_is_closed_where_the_run_fails() -> None:
    with pytest.raises(RuntimeError, match="boom"):
        async with graph_for("opened_in_a_thread", CONFIG, store=STORE, checkpointer=None):
            raise RuntimeError("boom")
    assert told == ["opened", "closed"]


async def test_the_config_is_known_by_its_annotation_or_for_being_alone() -> None:
    await run("by_annotation")
    await run("by_position")
    assert told == [{"model": "m"}, {"model": "m"}]


async def test_the_runtime_says_why_the_graph_is_needed_and_for_whom() -> None:
    await run("asynchronous", user="ada")
    configurable, runtime = told.pop()
    assert configurable == {"model": "m"}
    assert isinstance(runtime, _ExecutionRuntime)
    seen: Any = (runtime.access_context, runtime.user, runtime.store)
    assert seen == ("threads.create_run", "ada", STORE)
    assert runtime.context == Context(tone="loud")


@pytest.mark.parametrize(
    ("access", "context"),
    [("update", "threads.update"), ("read", "threads.read"), ("assistants", "assistants.read")],
)
async def test_nothing_is_executed_where_a_graph_is_only_looked_at(access: str, context: str) -> None:
    await run("asynchronous", access=access)
    ((_, runtime),) = told
    assert isinstance(runtime, _ReadRuntime)
    assert (runtime.access_context, runtime.execution_runtime) == (context, None)


async def test_the_user_and_the_store_are_known_by_name_or_annotation() -> None:
    await run("by_name", user="ada")
    await run("for_user", user="ada")
    assert told == [("ada", STORE, 1), "ada"]


async def test_what_is_wrong_names_the_graph() -> None:
    with pytest.raises(BrokenGraphError, match=r"'wants_too_much'.*'weather'"):
        await run("wants_too_much")
    with pytest.raises(BrokenGraphError, match="'no_graph' is made by a factory whose result is a int, and no graph"):
        await run("no_graph")


async def test_what_a_factory_raises_is_its_own() -> None:
    with pytest.raises(ConnectionError, match="away"):
        await run("broken")
