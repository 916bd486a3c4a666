"""Hosted graphs that ask people, and what they are answered."""

from runs.lifecycle import Status
from tests.graphs import made
from tests.graphs.hosting import Host, questions, values


async def test_a_run_asks_in_langgraphs_form(host: Host) -> None:
    asked = await host.run("interrupting", {"question": "Shall we?"})
    assert (asked.status, questions(asked)) == (Status.INTERRUPTED, [{"question": "Shall we?"}])
    assert asked.interrupt is not None
    (interrupt,) = asked.interrupt["value"]["interrupts"]
    assert (asked.interrupt["value"]["next"], interrupt["ns"]) == (["ask"], [])
    assert len(interrupt["id"]) == 32


async def test_the_same_run_goes_on_where_it_is_answered_natively(host: Host) -> None:
    await host.run("interrupting", {})
    ended = await host.answer("yes")
    assert (ended.status, values(ended)) == (Status.SUCCESS, {"decision": "yes", "question": "decided: yes"})


async def test_another_run_goes_on_where_it_brings_the_answer(host: Host) -> None:
    await host.run("interrupting", {})
    assert values(await host.run("interrupting", command={"resume": "no"}))["question"] == "decided: no"


async def test_another_run_begins_anew_where_it_brings_an_input(host: Host) -> None:
    await host.run("interrupting", {})
    assert questions(await host.run("interrupting", {"question": "Really?"})) == [{"question": "Really?"}]


async def test_a_node_asks_again_and_again(host: Host) -> None:
    assert questions(await host.run("asks_twice", {})) == ["first?"]
    assert questions(await host.answer("one")) == ["second?"]
    assert values(await host.answer("two"))["log"] == ["one", "two"]


async def test_each_of_a_nodes_questions_may_be_answered_by_a_run_of_its_own(host: Host) -> None:
    await host.run("asks_twice", {})
    assert questions(await host.run("asks_twice", command={"resume": "one"})) == ["second?"]
    assert values(await host.run("asks_twice", command={"resume": "two"}))["log"] == ["one", "two"]


async def test_two_ask_at_once_and_are_answered_by_their_ids(host: Host) -> None:
    asked = await host.run("both_ask", {})
    assert asked.interrupt is not None
    answers = {i["id"]: i["value"].upper() for i in asked.interrupt["value"]["interrupts"]}
    assert sorted(answers.values()) == ["LEFT?", "RIGHT?"]
    assert values(await host.answer(answers))["log"] == [["left", "LEFT?"], ["right", "RIGHT?"]]


async def test_one_of_two_is_answered_and_the_other_asks_on(host: Host) -> None:
    asked = await host.run("both_ask", {})
    assert asked.interrupt is not None
    left, right = sorted(asked.interrupt["value"]["interrupts"], key=lambda i: i["value"])
    assert questions(await host.run("both_ask", command={"resume": {left["id"]: 1}})) == ["right?"]
    ended = await host.run("both_ask", command={"resume": {right["id"]: 2}})
    assert values(ended)["log"] == [["left", 1], ["right", 2]]


async def test_a_graph_inside_asks_and_says_where(host: Host) -> None:
    asked = await host.run("inner_asks", {})
    assert questions(asked) == ["left?"]
    assert asked.interrupt is not None
    (namespace,) = asked.interrupt["value"]["interrupts"][0]["ns"]
    assert namespace.startswith("inner:")
    assert values(await host.answer("in"))["log"] == ["before", "before", ["left", "in"]]
    assert made.done["before"] == 1


async def test_a_breakpoint_asks_for_nothing_but_to_go_on(host: Host) -> None:
    stopped = await host.run("steps", {}, interrupt_before=["s3"])
    assert (stopped.status, questions(stopped)) == (Status.INTERRUPTED, [])
    assert stopped.interrupt is not None
    assert stopped.interrupt["value"]["next"] == ["s3"]
    assert (await host.state())["count"] == 2
    assert values(await host.run("steps", None))["count"] == 5


async def test_a_run_goes_on_natively_behind_a_breakpoint(host: Host) -> None:
    await host.run("steps", {}, interrupt_after=["s1"])
    assert values(await host.answer(True))["count"] == 5


async def test_every_node_may_be_a_breakpoint(host: Host) -> None:
    await host.run("noted", {}, interrupt_before="*")
    stopped = await host.run("noted", None, interrupt_before="*")
    assert stopped.interrupt is not None
    assert stopped.interrupt["value"]["next"] == ["two"]


async def test_a_command_updates_the_state_and_goes_where_it_says(host: Host) -> None:
    await host.run("noted", {}, interrupt_before=["two"])
    ended = await host.run("noted", command={"update": {"log": ["mine"]}, "goto": "two"})
    assert values(ended)["log"] == ["one", "mine", "two"]


async def test_a_command_sends(host: Host) -> None:
    await host.run("fan_out", {"wanted": ["a"]})
    ended = await host.run("fan_out", command={"goto": {"node": "each", "input": {"wanted": "b"}}})
    assert values(ended)["log"] == ["a", "b"]


async def test_an_answer_that_nobody_waits_for_changes_nothing(host: Host) -> None:
    before = values(await host.run("noted", {}))
    assert values(await host.run("noted", command={"resume": 1})) == before
