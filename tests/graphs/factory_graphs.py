"""Graphs that are made by functions, in all the forms that LangGraph takes. `told` is what they were called with."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any, TypedDict

from langchain_core.runnables import RunnableConfig
from langgraph.func import entrypoint
from langgraph.graph import START, StateGraph
from langgraph_sdk.auth.types import BaseUser
from langgraph_sdk.runtime import ServerRuntime

told: list[Any] = []


class Text(TypedDict, total=False):
    text: str


def shout(state: Text) -> Text:
    return {"text": state["text"].upper()}


builder = StateGraph(Text).add_node(shout).add_edge(START, "shout")
compiled = builder.compile()


@entrypoint()
async def functional(text: str) -> str:
    return text.upper()


@dataclass
class Context:
    tone: str = "calm"


def plain() -> Any:
    told.append("plain")
    return builder


def by_annotation(given: RunnableConfig) -> Any:
    told.append(given["configurable"])
    return compiled


def by_position(anything: Any) -> Any:
    told.append(anything["configurable"])
    return compiled


async def asynchronous(config: RunnableConfig, runtime: ServerRuntime[Context]) -> Any:
    told.append((config["configurable"], runtime))
    return compiled


def by_name(user: Any, store: Any, more: int = 1) -> Any:
    told.append((user, store, more))
    return compiled


def for_user(who: BaseUser) -> Any:
    told.append(who)
    return compiled


@asynccontextmanager
async def opened(runtime: ServerRuntime[Context]) -> AsyncIterator[Any]:
    told.append("opened")
    yield compiled
    told.append("closed")


@contextmanager
def opened_in_a_thread() -> Iterator[Any]:
    told.append("opened")
    try:
        yield compiled
    finally:
        told.append("closed")


def wants_too_much(config: RunnableConfig, weather: str) -> Any:
    return compiled


def no_graph() -> Any:
    return 3


def broken() -> Any:
    raise ConnectionError("The model is away.")
