"""Cancelling runs: one, and many."""

import asyncio

import httpx
import pytest
from langgraph_sdk.client import LangGraphClient
from langgraph_sdk.errors import NotFoundError

from runs.models import Run
from tests.api import UNKNOWN
from tests.langgraph.workers import Worker
from tests.runs.worker import in_thread


async def test_a_waiting_run_ends_at_once(client: LangGraphClient, http: httpx.AsyncClient, thread: str) -> None:
    run = await client.runs.create(thread, "steps")
    answer = await http.post(f"/threads/{thread}/runs/{run['run_id']}/cancel")
    assert answer.status_code == 202
    assert (await client.runs.get(thread, run["run_id"]))["status"] == "interrupted"
    with pytest.raises(NotFoundError, match="No matching runs to cancel"):
        await client.runs.cancel(thread, run["run_id"])


async def test_a_running_run_is_waited_for(client: LangGraphClient, thread: str, worker: Worker) -> None:
    run = await client.runs.create(thread, "steps")
    held = await worker.claims()
    waits = asyncio.create_task(client.runs.cancel(thread, run["run_id"], wait=True))
    while not await in_thread(lambda: Run.objects.get().cancel_requested_at):  # noqa: ASYNC110 - it is another's
        await asyncio.sleep(0.01)
    assert not waits.done()
    await worker.ends(held, values={})
    assert await waits == {}
    assert (await client.runs.get(thread, run["run_id"]))["status"] == "interrupted"


async def test_with_rollback_the_run_goes(client: LangGraphClient, thread: str) -> None:
    run = await client.runs.create(thread, "steps")
    await client.runs.cancel(thread, run["run_id"], action="rollback", wait=True)
    assert await client.runs.list(thread) == []


async def test_a_run_that_asks_is_over(client: LangGraphClient, thread: str, worker: Worker) -> None:
    run = await client.runs.create(thread, "interrupt")
    await worker.asks(values={})
    with pytest.raises(NotFoundError, match="No matching runs to cancel"):
        await client.runs.cancel(thread, run["run_id"])


async def test_an_unknown_run_and_an_unknown_action(
    client: LangGraphClient, http: httpx.AsyncClient, thread: str
) -> None:
    with pytest.raises(NotFoundError, match="No runs found to cancel"):
        await client.runs.cancel(thread, UNKNOWN)
    run = await client.runs.create(thread, "steps")
    answer = await http.post(f"/threads/{thread}/runs/{run['run_id']}/cancel", params={"action": "explode"})
    assert answer.status_code == 422


async def test_many_are_cancelled_by_status_or_by_id(client: LangGraphClient, thread: str, worker: Worker) -> None:
    runs = [await client.runs.create(thread, "steps") for _ in range(3)]
    await worker.claims()
    await client.runs.cancel_many(thread_id=thread, run_ids=[runs[2]["run_id"]])
    await client.runs.cancel_many(status="pending")
    assert [run["status"] for run in await client.runs.list(thread)] == ["interrupted", "interrupted", "running"]
    await client.runs.cancel_many(status="all")
    assert await in_thread(lambda: Run.objects.get(id=runs[0]["run_id"]).cancel_requested_at is not None)
    with pytest.raises(NotFoundError, match="No runs found"):
        await client.runs.cancel_many(thread_id=thread, run_ids=[UNKNOWN])
    with pytest.raises(NotFoundError, match="No matching runs"):
        await client.runs.cancel_many(thread_id=thread, run_ids=[runs[2]["run_id"]])


@pytest.mark.parametrize("body", [{}, {"status": "odd"}, {"thread_id": UNKNOWN}, {"status": "all", "run_ids": []}])
async def test_which_ones_must_be_said(http: httpx.AsyncClient, body: object) -> None:
    assert (await http.post("/runs/cancel", json=body)).status_code == 422
