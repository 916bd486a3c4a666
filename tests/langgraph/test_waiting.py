"""/wait and /join: what a run gives once it has ended, or asks."""

import asyncio
from typing import Any

import httpx
import pytest
from langgraph_sdk.client import LangGraphClient

from core.asgi import Message
from protocols.langgraph import waiting
from runs.live import hub
from runs.models import Run
from tests.api import UNKNOWN, Api
from tests.langgraph.conftest import application
from tests.langgraph.workers import Worker
from tests.runs.worker import in_thread, until

HI = {"messages": [{"role": "user", "content": "hi"}]}


async def test_it_gives_the_values_of_the_end(client: LangGraphClient, thread: str, worker: Worker) -> None:
    made: list[Any] = []
    waits = asyncio.create_task(client.runs.wait(thread, "steps", input={}, on_run_created=made.append))
    await worker.ends(values={"count": 5})
    assert await waits == {"count": 5}
    assert await client.runs.join(thread, made[0]["run_id"]) == {"count": 5}


async def test_its_headers_lead_back(http: httpx.AsyncClient, thread: str, worker: Worker) -> None:
    waits = asyncio.create_task(http.post(f"/threads/{thread}/runs/wait", json={"assistant_id": "steps"}))
    await worker.ends(values={})
    answer = await waits
    place = answer.headers["content-location"]
    assert place.startswith(f"/threads/{thread}/runs/")
    assert answer.headers["location"] == f"{place}/join"
    assert answer.headers["content-type"] == "application/json"
    assert (await http.get(answer.headers["location"])).json() == {}


async def test_line_breaks_keep_it_alive(
    http: httpx.AsyncClient, thread: str, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting, "KEEP_ALIVE_S", 0.01)
    waits = asyncio.create_task(http.post(f"/threads/{thread}/runs/wait", json={"assistant_id": "steps"}))
    held = await worker.claims()
    await asyncio.sleep(0.05)
    await worker.ends(held, values={"count": 1})
    answer = await waits
    assert answer.content.startswith(b"\n\n")
    assert answer.json() == {"count": 1}


async def test_a_run_that_failed(client: LangGraphClient, thread: str, worker: Worker) -> None:
    waits = asyncio.create_task(client.runs.wait(thread, "steps", input={}, raise_error=False))
    await worker.fails("ValueError", "boom at 2")
    failed = {"__error__": {"error": "ValueError", "message": "boom at 2"}}
    assert await waits == failed
    (run,) = await client.runs.list(thread)
    assert await client.runs.join(thread, run["run_id"]) == failed


async def test_a_run_that_asks_and_one_that_answers(client: LangGraphClient, thread: str, worker: Worker) -> None:
    waits = asyncio.create_task(client.runs.wait(thread, "interrupt", input={"question": "q"}))
    asked = {"id": "a1", "value": {"question": "q"}, "task_id": "t1", "ns": []}
    await worker.asks(asked, values={"question": "q"})
    interrupt = {"value": {"question": "q"}, "id": "a1", "response_schema": None}
    assert await waits == {"question": "q", "__interrupt__": [interrupt]}
    waits = asyncio.create_task(client.runs.wait(thread, "interrupt", command={"resume": "yes"}))
    held = await worker.claims()
    assert held.claimed["kwargs"]["command"] == {"resume": "yes"}
    await worker.ends(held, values={"decision": "yes"})
    assert await waits == {"decision": "yes"}
    assert [run["status"] for run in await client.runs.list(thread)] == ["success", "success"]


async def test_a_breakpoint_asks_nothing(client: LangGraphClient, thread: str, worker: Worker) -> None:
    waits = asyncio.create_task(client.runs.wait(thread, "steps", input={}, interrupt_before=["s2"]))
    await worker.asks(values={"count": 1})
    assert await waits == {"count": 1}


async def test_a_cancelled_run_gives_where_its_thread_stands(
    client: LangGraphClient, thread: str, worker: Worker
) -> None:
    run = await client.runs.create(thread, "steps", input={})
    joins = asyncio.create_task(client.runs.join(thread, run["run_id"]))
    await client.runs.cancel(thread, run["run_id"])
    assert await joins == {}


async def test_an_unknown_run(client: LangGraphClient, thread: str) -> None:
    gone = {"__error__": {"error": "HTTPException", "message": "404: Run not found"}}
    assert await client.runs.join(thread, UNKNOWN) == gone


# -- who leaves --------------------------------------------------------------------------------------------------------


async def _leaves(tenant: Api, method: str, path: str, body: bytes, query: bytes = b"") -> None:
    """Ask, and hang up once the answer has begun."""
    gone = asyncio.Event()
    begun = asyncio.Event()
    unread = [body] if body else []

    async def receive() -> Message:
        if unread:
            return {"type": "http.request", "body": unread.pop(), "more_body": False}
        await gone.wait()
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        begun.set()

    scope = {
        "type": "http",
        "method": method,
        "path": f"/langgraph{path}",
        "raw_path": f"/langgraph{path}".encode(),
        "query_string": query,
        "headers": [(b"x-api-key", tenant.key.encode()), (b"content-type", b"application/json")],
        "client": ("127.0.0.1", 1),
        "server": ("test", 80),
        "scheme": "http",
        "http_version": "1.1",
        "asgi": {"version": "3.0"},
    }
    asking = asyncio.create_task(application(scope, receive, send))
    async with asyncio.timeout(10):
        await begun.wait()
    gone.set()
    await asking


async def _asked_to_stop() -> bool:
    return await in_thread(lambda: Run.objects.get().cancel_requested_at is not None)


@pytest.mark.parametrize("how", ["wait", "stream"])
async def test_a_run_goes_on_without_its_client(tenant: Api, thread: str, worker: Worker, how: str) -> None:
    await _leaves(tenant, "POST", f"/threads/{thread}/runs/{how}", b'{"assistant_id":"steps"}')
    await asyncio.sleep(0.05)
    assert not await _asked_to_stop()


@pytest.mark.parametrize("how", ["wait", "stream"])
async def test_a_run_ends_with_its_client_where_that_is_asked_for(
    tenant: Api, thread: str, worker: Worker, how: str
) -> None:
    body = b'{"assistant_id":"steps","on_disconnect":"cancel"}'
    await _leaves(tenant, "POST", f"/threads/{thread}/runs/{how}", body)
    await until(_asked_to_stop, True)


@pytest.mark.parametrize("how", ["join", "stream"])
async def test_who_joins_may_take_the_run_with_them(
    client: LangGraphClient, tenant: Api, thread: str, worker: Worker, how: str
) -> None:
    run = await client.runs.create(thread, "steps", input={})
    path = f"/threads/{thread}/runs/{run['run_id']}/{how}"
    await _leaves(tenant, "GET", path, b"", b"cancel_on_disconnect=true")
    await until(_asked_to_stop, True)


async def test_a_process_that_leaves_cancels_nothing(
    tenant: Api, thread: str, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub(), "_leaving", True)
    body = b'{"assistant_id":"steps","on_disconnect":"cancel"}'
    await _leaves(tenant, "POST", f"/threads/{thread}/runs/wait", body)
    await asyncio.sleep(0.05)
    assert not await _asked_to_stop()
