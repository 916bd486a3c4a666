"""What a graph takes and looks like, as `langgraph dev` 0.16.7 tells it of the same graphs."""

import json
import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import pytest
from langgraph.func import entrypoint
from langgraph.graph import END, START, StateGraph
from typing_extensions import TypedDict

from graphs.registry import graph_for
from graphs.schemas import drawing_of, schemas_of, subgraphs_of
from tests.langgraph.conftest import graphs  # noqa: F401 - for all tests of this file


class Question(TypedDict):
    question: str


class Answer(TypedDict):
    answer: str


class Both(Question, Answer):
    secret: Annotated[list[int], operator.add]


class Text(TypedDict, total=False):
    text: str


@dataclass
class Context:
    model: Literal["a", "b"] = "a"
    deep: int | None = None


def nothing(state: Any) -> dict[str, Any]:
    return {}


def pick(state: Any) -> Literal["mid", "other"]:
    return "mid"


def leave(state: Any) -> str:
    return "x"


def a_graph(name: str, state: Any = Text, **schemas: Any) -> Any:
    return StateGraph(state, **schemas).add_node("n", nothing).add_edge(START, "n").compile(name=name)


grand = StateGraph(Text).add_node("shout", nothing).add_edge(START, "shout").compile(name="grand")
mid = (
    StateGraph(Text)
    .add_node("grand", grand)
    .add_node("own", nothing)
    .add_edge(START, "grand")
    .add_edge("grand", "own")
    .compile(name="mid")
)
deep = (
    StateGraph(Text)
    .add_node("mid", mid)
    .add_node("other", nothing, metadata={"k": 1})
    .add_conditional_edges(START, pick)
    .add_conditional_edges("other", leave, {"x": END, "y": "mid"})
    .compile(name="deep")
)


@entrypoint()
def fn(number: int) -> str:
    return str(number)


def test_input_output_and_state_may_differ() -> None:
    found = schemas_of(a_graph("typed", Both, input_schema=Question, output_schema=Answer))
    text = {"title": "Question", "type": "string"}
    assert found["input_schema"] == {
        "properties": {"question": text},
        "required": ["question"],
        "title": "Question",
        "type": "object",
    }
    assert list(found["output_schema"]["properties"]) == ["answer"]  # type: ignore[index]
    assert found["state_schema"] == {
        "properties": {
            "question": {"default": None, **text},
            "answer": {"default": None, "title": "Answer", "type": "string"},
            "secret": {"default": None, "items": {"type": "integer"}, "title": "Secret", "type": "array"},
        },
        "title": "typed_state",
        "type": "object",
    }
    assert (found["config_schema"], found["context_schema"]) == ({}, None)


def test_the_context_is_what_is_configurable() -> None:
    found = schemas_of(a_graph("ctx", context_schema=Context))
    assert found["context_schema"] == {
        "properties": {
            "model": {"default": "a", "enum": ["a", "b"], "title": "Model", "type": "string"},
            "deep": {"anyOf": [{"type": "integer"}, {"type": "null"}], "default": None, "title": "Deep"},
        },
        "title": "Context",
        "type": "object",
    }
    assert found["config_schema"] == found["context_schema"]


def test_an_entrypoint_takes_and_gives_what_its_annotations_say() -> None:
    found = schemas_of(fn.copy({"name": "fn"}))
    assert found["input_schema"] == {"title": "fn_input", "type": "integer"}
    assert found["output_schema"] == {"title": "fn_output", "type": "string"}
    assert found["state_schema"] == {
        "properties": {"__end__": {"default": None, "title": "End  ", "type": "string"}},
        "title": "fn_state",
        "type": "object",
    }


def test_what_pydantic_cannot_describe_is_null() -> None:
    class Opaque:
        pass

    class State(TypedDict):
        it: Opaque

    found = schemas_of(a_graph("opaque", State))
    assert (found["input_schema"], found["state_schema"]) == (None, None)


@pytest.mark.parametrize(
    ("xray", "nodes", "edges"),
    [
        (
            False,
            '[{"id":"__start__","type":"runnable","data":{"name":"__start__"}},{"id":"mid","type":"runnable","data":'
            '{"name":"mid"}},{"id":"other","type":"runnable","data":{"name":"other"},"metadata":{"k":1}},'
            '{"id":"__end__"}]',
            '[{"source":"__start__","target":"mid","conditional":true},{"source":"__start__","target":"other",'
            '"conditional":true},{"source":"other","target":"__end__","data":"x","conditional":true},{"source":"other",'
            '"target":"mid","data":"y","conditional":true},{"source":"mid","target":"__end__"}]',
        ),
        (
            1,
            '[{"id":"__start__","type":"runnable","data":{"name":"__start__"}},{"id":"other","type":"runnable","data":'
            '{"name":"other"},"metadata":{"k":1}},{"id":"__end__"},{"id":"mid:grand","type":"runnable","data":'
            '{"name":"mid:grand"}},{"id":"mid:own","type":"runnable","data":{"name":"mid:own"}}]',
            '[{"source":"__start__","target":"mid:grand","conditional":true},{"source":"__start__","target":"other",'
            '"conditional":true},{"source":"other","target":"__end__","data":"x","conditional":true},{"source":"other",'
            '"target":"mid:grand","data":"y","conditional":true},{"source":"mid:own","target":"__end__"},{"source":'
            '"mid:grand","target":"mid:own"}]',
        ),
        (
            True,
            '[{"id":"__start__","type":"runnable","data":{"name":"__start__"}},{"id":"other","type":"runnable","data":'
            '{"name":"other"},"metadata":{"k":1}},{"id":"__end__"},{"id":"mid:own","type":"runnable","data":'
            '{"name":"mid:own"}},{"id":"mid:grand:shout","type":"runnable","data":{"name":"mid:grand:shout"}}]',
            '[{"source":"__start__","target":"mid:grand:shout","conditional":true},{"source":"__start__","target":'
            '"other","conditional":true},{"source":"other","target":"__end__","data":"x","conditional":true},'
            '{"source":"other","target":"mid:grand:shout","data":"y","conditional":true},{"source":"mid:own","target":'
            '"__end__"},{"source":"mid:grand:shout","target":"mid:own"}]',
        ),
    ],
)
async def test_a_graph_is_drawn_with_its_subgraphs_down_to_a_depth(xray: int | bool, nodes: str, edges: str) -> None:
    drawn = await drawing_of(deep, xray)
    shortest: Callable[[Any], str] = lambda value: json.dumps(value, separators=(",", ":"))  # noqa: E731
    assert (shortest(drawn["nodes"]), shortest(drawn["edges"])) == (nodes, edges)


async def test_tools_of_a_node_are_in_its_drawing() -> None:
    async with graph_for("react", {}, store=None, checkpointer=None) as react:
        drawn = await drawing_of(react, xray=False)
    assert drawn["nodes"][2] == {
        "id": "tools",
        "type": "runnable",
        "data": {"name": "tools"},
        "metadata": {"__tools": ["weather"]},
    }


async def test_subgraphs_are_found_by_their_place() -> None:
    assert list(await subgraphs_of(deep, None, recurse=False)) == ["mid"]
    assert list(await subgraphs_of(deep, None, recurse=True)) == ["mid", "mid|grand"]
    assert list(await subgraphs_of(deep, "mid", recurse=True)) == ["mid"]
    assert await subgraphs_of(deep, "nobody", recurse=True) == {}
    (schemas,) = (await subgraphs_of(deep, "mid", recurse=False)).values()
    assert schemas["state_schema"]["title"] == "mid_state"  # type: ignore[index]
    assert set(schemas) == set(schemas_of(mid))
