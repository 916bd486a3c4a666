"""A real server, streamed by the official SDK: runs that go on while they are read."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import pytest
from langgraph_sdk import get_client
from langgraph_sdk.client import LangGraphClient
from langgraph_sdk.schema import StreamPart

from tests.servers import Server

pytestmark = pytest.mark.servers

SLOW: dict[str, Any] = {"sleep_s": 0.1}
MODES: Any = ["values", "updates", "custom"]
HELLO: Any = {"messages": [{"role": "user", "content": "Hello"}]}


@pytest.fixture
async def client(server: Server) -> AsyncIterator[LangGraphClient]:
    async with get_client(url=f"{server.url}/langgraph", api_key=server.key) as client:
        yield client


@pytest.fixture
async def thread(client: LangGraphClient) -> str:
    return (await client.threads.create())["thread_id"]


async def parts(stream: AsyncIterator[StreamPart], most: int | None = None) -> list[StreamPart]:
    found: list[StreamPart] = []
    async with asyncio.timeout(20):
        async for part in stream:
            found.append(part)
            if len(found) == most:
                break
    return found


async def test_who_is_cut_off_goes_on_where_they_were(client: LangGraphClient, thread: str) -> None:
    begun = client.runs.stream(thread, "steps", input=SLOW, stream_mode=MODES, stream_resumable=True)
    seen = await parts(begun, 5)
    run = seen[0].data["run_id"]
    rest = await parts(client.runs.join_stream(thread, run, last_event_id=seen[-1].id))
    whole = await parts(client.runs.join_stream(thread, run, last_event_id="-1"))
    assert [*seen, *rest] == whole
    assert whole[-1].data["count"] == 5


async def test_two_readers_hear_the_same_and_a_late_one_what_is_left(client: LangGraphClient, thread: str) -> None:
    run = (await client.runs.create(thread, "steps", input=SLOW, stream_mode=MODES, stream_resumable=True))["run_id"]
    one, other, values, late = await asyncio.gather(
        parts(client.runs.join_stream(thread, run, last_event_id="-1")),
        parts(client.runs.join_stream(thread, run, last_event_id="0-0")),
        parts(client.runs.join_stream(thread, run, last_event_id="-1", stream_mode=["values"])),
        parts(client.runs.join_stream(thread, run)),
    )
    assert one == other
    assert values == [part for part in one if part.event in {"metadata", "values"}]
    assert late == one[len(one) - len(late) :]
    assert await parts(client.runs.join_stream(thread, run)) == []


async def test_who_reads_a_run_that_is_waited_for_hears_its_values_at_the_end(
    client: LangGraphClient, thread: str
) -> None:
    ended: Any = await client.runs.wait(thread, "steps", input={})
    (run,) = await client.runs.list(thread)
    told = await parts(client.runs.join_stream(thread, run["run_id"], last_event_id="-1"))
    assert [(part.event, part.data) for part in told[1:]] == [("values", ended)]


async def test_a_thread_is_read_across_its_runs(client: LangGraphClient, thread: str) -> None:
    heard = asyncio.create_task(parts(await client.threads.join_stream(thread, last_event_id="0-0"), 6))
    runs = [await client.runs.create(thread, "echo", input=HELLO, stream_mode="updates") for _ in range(2)]
    told = [part.data.get("run_id") or part.event for part in await heard]
    assert told == [end for run in runs for end in (run["run_id"], "updates", run["run_id"])]


async def test_a_native_assistant_is_streamed_like_a_graph(
    server: Server, client: LangGraphClient, thread: str
) -> None:
    body = {"name": f"a {uuid4()}", "llm": {"provider": "fake", "model": "echo"}}
    native = server.client.post("/assistants", json=body).json()["id"]
    modes: Any = ["values", "messages-tuple", "updates"]
    told = await parts(client.runs.stream(thread, native, input=HELLO, stream_mode=modes))
    said = "".join(part.data[0]["content"] for part in told if part.event == "messages")
    values = [part.data["messages"] for part in told if part.event == "values"]
    (update,) = [part.data["model"]["messages"] for part in told if part.event == "updates"]
    assert [len(one) for one in values] == [1, 2]
    assert update == values[-1][1:]
    assert said == update[0]["content"] != ""
