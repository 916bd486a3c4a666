"""What hosted graphs are given: config, context, metadata."""

import pytest

from core.ids import new_id
from graphs.given import command_of, context_of
from runtime.contract import State
from tests.graphs.hosting import Host, values


async def test_a_graph_sees_whose_run_it_is(host: Host) -> None:
    seen = values(await host.run("given", {}, config={"configurable": {"mine": 1}, "tags": ["t"]}))["seen"]
    place = {"thread_id": str(host.session), "run_id": str(host.stage.run_id), "graph_id": "given"}
    assert place.items() <= seen["configurable"].items()
    assert place.items() <= seen["metadata"].items()
    assert (seen["configurable"]["mine"], seen["context"], seen["tags"]) == (1, {"mine": 1}, ["t"])
    assert (seen["metadata"]["run_attempt"], seen["configurable"]["langgraph_auth_user_id"]) == (1, "")


async def test_a_client_does_not_say_whose_run_it_is(host: Host) -> None:
    theirs = {"thread_id": str(new_id()), "run_id": "x", "checkpoint_ns": "y"}
    seen = values(await host.run("given", {}, config={"configurable": theirs}))["seen"]
    assert seen["configurable"]["thread_id"] == str(host.session)


async def test_the_runs_context_lies_over_the_assistants() -> None:
    assistant = {"context": {"model": "small", "tone": "dry"}}
    state = State([], {}, None, kwargs={"context": {"model": "large"}})
    assert context_of(assistant, state) == {"model": "large", "tone": "dry"}
    assert context_of({}, State([], {}, None)) is None


@pytest.mark.parametrize("update", [{"a": 1}, [["a", 1], ["a", 2]]])
def test_a_command_is_langgraphs(update: object) -> None:
    command = command_of({"resume": {"x": 1}, "update": update, "goto": ["there", {"node": "here", "input": 3}]})
    assert command.resume == {"x": 1}
    assert command.update == ({"a": 1} if isinstance(update, dict) else [("a", 1), ("a", 2)])
    there, here = command.goto  # type: ignore[misc]
    assert (there, here.node, here.arg) == ("there", "here", 3)  # type: ignore[union-attr]
