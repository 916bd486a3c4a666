"""Objects of a graph's own classes come back from its checkpoints as what they were."""

from dataclasses import dataclass
from enum import Enum
from typing import Annotated, Any, NamedTuple, TypedDict

from langgraph.graph import START, StateGraph
from pydantic import BaseModel

from graphs.classes import allow_classes_of, classes_of
from graphs.serde import dump, load


class Mood(Enum):
    GOOD = "good"


@dataclass
class Deep:
    mood: Mood


class Plan(BaseModel):
    steps: list[Deep] = []


class Unsaid(NamedTuple):
    """In no annotation: a node of this module may make one all the same."""

    x: int


class State(TypedDict, total=False):
    plan: Annotated[Plan | None, "a plan"]
    anything: dict[str, Any]


def node(state: State) -> State:
    return {}


def test_a_graph_s_classes_are_those_of_its_schemas_and_of_its_modules() -> None:
    inner = StateGraph(State).add_node(node).add_edge(START, "node").compile()
    graph = StateGraph(State).add_node("inner", inner).add_edge(START, "inner").compile()
    assert {Mood, Deep, Plan, Unsaid} <= classes_of(inner)
    value = {"plan": Plan(steps=[Deep(Mood.GOOD)]), "anything": {"x": Unsaid(1)}}
    allow_classes_of(graph)
    assert load(dump(value)) == value


def test_a_graph_s_classes_are_not_those_of_the_libraries_that_it_is_made_with() -> None:
    graph = StateGraph(State).add_node(node).add_edge(START, "node").compile()
    assert {kind.__module__.partition(".")[0] for kind in classes_of(graph)} <= {"tests", "langgraph"}
