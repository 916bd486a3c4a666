"""What hosted graphs stream, as events of their runs."""

from typing import Any

from tests.graphs.hosting import Host

HUMAN = {"type": "human", "content": "hello", "id": "m1"}


async def parts(host: Host, *modes: str) -> list[Any]:
    """The parts that were told, of these modes where there are any."""
    return [part for part in await host.told("graph") if not modes or part["mode"] in modes]


async def test_a_run_streams_the_modes_that_were_asked_for(host: Host) -> None:
    await host.run("steps", {}, stream_mode=["values", "updates", "custom"])
    told = await parts(host)
    assert {part["mode"] for part in told} == {"values", "updates", "custom"}
    assert [part["data"]["count"] for part in await parts(host, "values") if "count" in part["data"]] == [1, 2, 3, 4, 5]
    assert (await parts(host, "updates"))[0]["data"] == {"s1": {"count": 1, "log": ["step 1"]}}
    assert [part["data"] for part in await parts(host, "custom")] == [{"step": n} for n in range(1, 6)]


async def test_messages_come_chunk_by_chunk_with_where_they_come_from(host: Host) -> None:
    await host.run("react", {"messages": [HUMAN]}, stream_mode=["messages-tuple"])
    told = await parts(host)
    assert {part["mode"] for part in told} == {"messages"}
    chunks = [part["data"][0] for part in told if part["data"][0]["type"] == "AIMessageChunk"]
    assert "".join(chunk["content"] for chunk in chunks).startswith("The weather in the city")
    # Where a message comes from is told with its first chunk.
    origins = {part["data"][0]["id"]: part["data"][1]["langgraph_node"] for part in told if len(part["data"]) == 2}
    assert list(origins.values()) == ["agent", "tools", "agent"]
    assert len(told) > 2 * len(origins)


async def test_graphs_inside_are_streamed_where_that_is_wanted(host: Host) -> None:
    await host.run("nested", {"text": "well"}, stream_mode=["updates"], stream_subgraphs=True)
    told = await parts(host)
    assert [part["ns"][0].split(":")[0] for part in told if part["ns"]] == ["child"]
    await host.run("nested", {"text": "well"}, stream_mode=["updates"])
    assert not [part for part in await parts(host) if part["ns"]]


async def test_tasks_checkpoints_and_debug_are_langgraphs(host: Host) -> None:
    await host.run("echo", {"messages": [HUMAN]}, stream_mode=["tasks", "checkpoints", "debug"])
    begun, *_ = await parts(host, "tasks")
    assert sorted(begun["data"]) == ["id", "input", "metadata", "name", "triggers"]
    assert [part["data"]["next"] for part in await parts(host, "checkpoints")] == [["__start__"], ["answer"], []]
    assert {part["data"]["type"] for part in await parts(host, "debug")} == {"checkpoint", "task", "task_result"}


async def test_langchains_events_are_told_beside_the_rest(host: Host) -> None:
    await host.run("react", {"messages": [HUMAN]}, stream_mode=["events", "values"])
    told = [part["data"]["event"] for part in await parts(host, "events")]
    assert told.count("on_chat_model_stream") >= 20
    assert (told[0], told[-1], told.count("on_tool_end")) == ("on_chain_start", "on_chain_end", 1)
    assert len(await parts(host, "values")) == 4


async def test_a_native_run_streams_messages_and_what_nodes_write(host: Host) -> None:
    await host.accept_native("steps", {})
    await host.carry_out()
    assert {part["mode"] for part in await parts(host)} == {"custom"}


async def test_an_interrupt_is_streamed(host: Host) -> None:
    await host.run("interrupting", {}, stream_mode=["values", "updates"])
    (value,) = [
        part["data"]["__interrupt__"] for part in await parts(host, "values") if "__interrupt__" in part["data"]
    ]
    assert value[0]["value"] == {"question": "Go on?"}


async def test_a_task_that_failed_says_why(host: Host) -> None:
    await host.run("steps", {"fail_at": 2}, stream_mode=["tasks", "debug"])
    failed = {"error": "ValueError", "message": "boom at 2"}
    assert (await parts(host, "tasks"))[-1]["data"]["error"] == failed
    assert (await parts(host, "debug"))[-1]["data"]["payload"]["error"] == failed


async def test_debug_has_the_places_of_checkpoints(host: Host) -> None:
    await host.run("nested", {"text": "well"}, stream_mode=["debug"], stream_subgraphs=True)
    told = [part["data"]["payload"] for part in await parts(host) if part["data"]["type"] == "checkpoint"]
    assert told[0]["parent_checkpoint"] is None
    assert told[1]["parent_checkpoint"] == told[0]["checkpoint"]
    assert told[1]["tasks"][0]["checkpoint"]["checkpoint_ns"].startswith("child:")
    assert "checkpoint_map" in told[2]["checkpoint"]
