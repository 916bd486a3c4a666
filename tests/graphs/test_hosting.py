"""What a hosted graph's run is: its steps, its values, its messages, its end."""

from dataclasses import replace

import pytest

from graphs import handover
from runs.lifecycle import Status
from runtime.configuration import configure, current
from runtime.langgraph_json import NOTHING
from tests.graphs.hosting import Host, values
from tests.runs.worker import rows

HUMAN = {"type": "human", "content": "hello", "id": "m1"}


async def test_a_graph_answers_and_its_values_are_the_sessions_state(host: Host) -> None:
    ended = await host.run("echo", {"messages": [HUMAN]})
    assert ended.status == Status.SUCCESS
    said = [(message["type"], message["content"]) for message in values(ended)["messages"]]
    assert said == [("human", "hello"), ("ai", "echo: hello")]
    assert await host.state() == values(ended)


async def test_a_quick_graph_is_one_commit(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handover, "QUIET_S", 60)
    monkeypatch.setattr(handover, "GATHER_S", 60)
    await host.run("echo", {"messages": [HUMAN]})
    assert (await host.steps(), await host.checkpoints()) == (1, 3)


async def test_its_messages_are_the_sessions(host: Host) -> None:
    await host.run("echo", {"messages": [HUMAN]})
    await host.run("echo", {"messages": [{"type": "human", "content": "again"}]})
    assert await host.messages() == [
        ("user", "hello"),
        ("assistant", "echo: hello"),
        ("user", "again"),
        ("assistant", "echo: again"),
    ]


async def test_a_native_message_reaches_the_graph(host: Host) -> None:
    await host.accept_native("echo", {"message": "hello"})
    ended = await host.carry_out()
    assert ended.output is not None
    assert ended.output["text"] == "echo: hello"
    assert await host.messages() == [("user", "hello"), ("assistant", "echo: hello")]


async def test_what_a_native_run_gives_a_graph_without_messages_is_its_input(host: Host) -> None:
    await host.accept_native("steps", {"count": 3})
    assert values(await host.carry_out())["count"] == 8


async def test_a_model_that_calls_a_tool_is_told_token_by_token(host: Host) -> None:
    await host.run("react", {"messages": [HUMAN]})
    told = await host.told("token")
    last = (await host.told("message"))[-1]
    assert "".join(token["text"] for token in told) == last["content"]
    assert {token["message_id"] for token in told} == {last["id"]}
    assert [role for role, _ in await host.messages()] == ["user", "assistant", "tool", "assistant"]


async def test_a_tools_result_is_in_the_runs_steps(host: Host) -> None:
    await host.run("react", {"messages": [HUMAN]})
    steps = await rows("SELECT tool_calls FROM run_steps WHERE run_id = %(id)s", id=host.stage.run_id)
    (call,) = [call for step in steps for call in step["tool_calls"]]
    assert (call["name"], call["args"], call["result"]) == ("weather", {"city": "Berlin"}, "It is sunny in Berlin.")
    asked, answered = await host.told("tool_call", "tool_result")
    assert (asked["id"], answered["id"], answered["result"]) == (call["id"], call["id"], call["result"])


async def test_with_sync_each_checkpoint_is_a_step(host: Host) -> None:
    await host.run("steps", {}, durability="sync")
    assert (await host.steps(), await host.checkpoints()) == (8, 7)


async def test_with_exit_one_checkpoint_is_stored_at_the_end(host: Host) -> None:
    assert values(await host.run("steps", {}, durability="exit"))["count"] == 5
    assert (await host.steps(), await host.checkpoints()) == (1, 1)


async def test_a_step_that_changes_nothing_natively_makes_no_native_checkpoint(host: Host) -> None:
    await host.run("steps", {}, durability="sync")
    assert await host.stage.checkpoints() == 1


async def test_a_graph_that_raises_ends_the_run_with_the_class_and_the_text(host: Host) -> None:
    ended = await host.run("steps", {"fail_at": 3})
    assert ended.status == Status.ERROR
    assert ended.error == {"type": "ValueError", "code": "graph_error", "message": "boom at 3", "retryable": False}
    assert (await host.state())["count"] == 2


async def test_a_graph_that_raised_goes_on_with_the_next_run(host: Host) -> None:
    await host.run("steps", {"fail_at": 3})
    assert values(await host.run("steps", None, command={"update": {"fail_at": 0}}))["log"][-1] == "step 5"


async def test_the_recursion_limit_of_the_run_counts(host: Host) -> None:
    ended = await host.run("tangled", {}, config={"recursion_limit": 4})
    assert ended.error is not None
    assert ended.error["type"] == "GraphRecursionError"
    assert ended.error["message"].startswith("Recursion limit of 4 reached")


async def test_a_node_is_tried_again_by_its_own_policy(host: Host) -> None:
    assert values(await host.run("flaky", {}))["log"] == ["at last"]


async def test_a_blocking_node_works_in_a_thread(host: Host) -> None:
    assert values(await host.run("threaded", {}))["log"] == ["from a thread"]


async def test_nothing_of_a_run_is_seen_by_the_next(host: Host) -> None:
    assert values(await host.run("leaky", {}))["log"] == ["nobody's"]
    assert values(await host.run("leaky", {}))["log"] == ["nobody's", "nobody's"]


async def test_tasks_are_sent_out_and_their_results_gathered(host: Host) -> None:
    assert values(await host.run("fan_out", {"wanted": ["a", "b", "c"]}))["log"] == ["a", "b", "c"]


async def test_a_node_says_where_to_go(host: Host) -> None:
    assert values(await host.run("noted", {}))["log"] == ["one", "two"]


async def test_a_graph_in_a_graph_has_checkpoints_of_its_own(host: Host) -> None:
    assert values(await host.run("nested", {"text": "well"})) == {"text": "WELL!"}
    assert await host.checkpoints() == 4


async def test_the_store_is_shared_by_the_runs(host: Host) -> None:
    assert values(await host.run("counted", {}))["log"] == [1]
    assert values(await host.run("counted", {}))["log"] == [1, 2]


async def test_an_entrypoint_keeps_what_it_returned(host: Host) -> None:
    assert values(await host.run("functional", {"number": 2})) == {"doubled": 4, "previous": None}
    assert values(await host.run("functional", {"number": 3})) == {
        "doubled": 6,
        "previous": {"doubled": 4, "previous": None},
    }


async def test_what_is_no_object_is_the_output_all_the_same(host: Host) -> None:
    assert values(await host.run("plain", "well")) == "WELL"
    assert await host.state() == {"__root__": "WELL"}


async def test_a_graph_that_left_the_deployment_ends_its_runs_with_that(host: Host) -> None:
    await host.accept("echo", {"messages": [HUMAN]})
    execution = await host.begin()
    configure(replace(current(), langgraph=NOTHING))
    ended = await execution.carry_out()
    assert ended.error is not None
    assert (ended.error["code"], ended.error["message"]) == ("graph_error", "This server hosts no graph 'echo'.")


async def test_a_graph_that_cannot_be_loaded_ends_its_runs_with_the_reason(host: Host) -> None:
    ended = await host.run("broken", {})
    assert ended.error is not None
    assert ended.error["message"].startswith("The graph 'broken' cannot be loaded from tests.graphs.made:nothing")


async def test_keys_that_the_graph_has_not_any_more_leave_the_state(host: Host) -> None:
    await host.run("steps", {"count": 1})
    await host.run("noted", {})
    assert set(await host.state()) == {"log"}
