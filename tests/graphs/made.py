"""Graphs for the tests: each shows one thing that graphs may do. `done` counts what their nodes have done."""

import asyncio
import operator
import time
from collections import Counter
from contextlib import suppress
from contextvars import ContextVar
from typing import Annotated, Any, TypedDict

from langchain_core.runnables import RunnableConfig
from langgraph.config import get_stream_writer
from langgraph.func import entrypoint, task
from langgraph.graph import START, StateGraph
from langgraph.runtime import Runtime
from langgraph.types import Command, RetryPolicy, Send, interrupt

done: Counter[str] = Counter()


class Log(TypedDict, total=False):
    log: Annotated[list[Any], operator.add]
    wanted: list[str]


# -- people are asked ----------------------------------------------------------------------------------------------


async def _twice(state: Log) -> Log:
    return {"log": [interrupt("first?"), interrupt("second?")]}


asks_twice = StateGraph(Log).add_node("ask", _twice).add_edge(START, "ask").compile()


async def _left(state: Log) -> Log:
    return {"log": [["left", interrupt("left?")]]}


async def _right(state: Log) -> Log:
    return {"log": [["right", interrupt("right?")]]}


both_ask = (
    StateGraph(Log)
    .add_node("left", _left)
    .add_node("right", _right)
    .add_edge(START, "left")
    .add_edge(START, "right")
    .compile()
)

_inner = StateGraph(Log).add_node("ask", _left).add_edge(START, "ask").compile()


async def _before(state: Log) -> Log:
    done["before"] += 1
    return {"log": ["before"]}


inner_asks = (
    StateGraph(Log)
    .add_node("before", _before)
    .add_node("inner", _inner)
    .add_edge(START, "before")
    .add_edge("before", "inner")
    .compile()
)

# -- ways through a graph --------------------------------------------------------------------------------------------


async def _each(state: Any) -> Log:
    done["each"] += 1
    return {"log": [state["wanted"]]}


def _send(state: Log) -> list[Send]:
    return [Send("each", {"wanted": one}) for one in state["wanted"]]


fan_out = StateGraph(Log).add_node("each", _each).add_conditional_edges(START, _send, ["each"]).compile()


async def _one(state: Log) -> Command[Any]:
    return Command(update={"log": ["one"]}, goto="two")


async def _two(state: Log) -> Log:
    return {"log": ["two"]}


noted = StateGraph(Log).add_node("one", _one).add_node("two", _two).add_edge(START, "one").compile()


def _endless(state: Log) -> Log:
    return {"log": [len(state["log"])]}


tangled = StateGraph(Log).add_node("again", _endless).add_edge(START, "again").add_edge("again", "again").compile()


# -- what fails, and what takes its time -----------------------------------------------------------------------------


async def _flaky(state: Log) -> Log:
    done["tried"] += 1
    if done["tried"] < 3:
        raise ConnectionError("not yet")
    return {"log": ["at last"]}


flaky = (
    StateGraph(Log)
    .add_node("try", _flaky, retry_policy=RetryPolicy(max_attempts=3, initial_interval=0.001, jitter=False))
    .add_edge(START, "try")
    .compile()
)


class Gates(TypedDict, total=False):
    log: Annotated[list[Any], operator.add]


# What a test waits for, and what waits for the test.
reached = asyncio.Event()
opened = asyncio.Event()


async def _first(state: Gates) -> Gates:
    done["first"] += 1
    return {"log": ["first"]}


async def _waiting(state: Gates) -> Gates:
    done["waiting"] += 1
    reached.set()
    await opened.wait()
    return {"log": ["waited"]}


slow = (
    StateGraph(Gates)
    .add_node("first", _first)
    .add_node("waiting", _waiting)
    .add_edge(START, "first")
    .add_edge("first", "waiting")
    .compile()
)


def _blocking(state: Log) -> Log:
    time.sleep(0.01)
    return {"log": ["from a thread"]}


async def _stubborn(state: Log) -> Log:
    get_stream_writer()("before")
    reached.set()
    while not opened.is_set():
        with suppress(asyncio.CancelledError):
            await opened.wait()
    get_stream_writer()("after")
    done["stubborn"] += 1
    return {"log": ["all the same"]}


stubborn = StateGraph(Log).add_node("work", _stubborn).add_edge(START, "work").compile()

_mine: ContextVar[str] = ContextVar("mine", default="nobody's")


async def _leaky(state: Log) -> Log:
    before = _mine.get()
    _mine.set("somebody's")
    return {"log": [before]}


leaky = StateGraph(Log).add_node("look", _leaky).add_edge(START, "look").compile()

threaded = StateGraph(Log).add_node("work", _blocking).add_edge(START, "work").compile()

# -- what a graph is given -------------------------------------------------------------------------------------------


class Seen(TypedDict, total=False):
    seen: Any


async def _look(state: Seen, config: RunnableConfig, runtime: Runtime[Any]) -> Seen:
    hidden = ("__", "checkpoint_")
    configurable = {name: value for name, value in config["configurable"].items() if not name.startswith(hidden)}
    seen = {"configurable": configurable, "metadata": config["metadata"], "tags": config.get("tags")}
    return {"seen": {**seen, "context": runtime.context}}


given = StateGraph(Seen).add_node("look", _look).add_edge(START, "look").compile()


async def _count(state: Log, runtime: Runtime[Any]) -> Log:
    store = runtime.store
    assert store is not None
    known = await store.aget(("counts",), "runs")
    count = known.value["n"] + 1 if known else 1
    await store.aput(("counts",), "runs", {"n": count})
    return {"log": [count]}


counted = StateGraph(Log).add_node("count", _count).add_edge(START, "count").compile()

# -- the functional API ----------------------------------------------------------------------------------------------


@task
async def _doubled(number: int) -> int:
    done["doubled"] += 1
    return number * 2


@entrypoint()
async def plain(given: str) -> str:
    return given.upper()


@entrypoint()
async def functional(given: Any, *, previous: Any = None) -> Any:
    doubled = await _doubled(given["number"])
    if given.get("waits"):
        reached.set()
        await opened.wait()
    return {"doubled": doubled, "previous": previous}
