"""Runs without a thread: each has one of its own, which goes with it unless it is to be kept."""

import asyncio
from typing import Any

import httpx
import pytest
from langgraph_sdk.client import LangGraphClient

from runs.forgetting import forget
from runs.models import Run
from sessions.models import Session
from tests.langgraph.workers import Worker
from tests.runs.worker import in_thread


async def test_a_run_has_a_thread_of_its_own(client: LangGraphClient, http: httpx.AsyncClient) -> None:
    answer = await http.post("/runs", json={"assistant_id": "steps", "input": {}})
    run = answer.json()
    assert answer.headers["content-location"] == f"/runs/{run['run_id']}"
    assert run["kwargs"]["temporary"]
    assert await client.runs.get(run["thread_id"], run["run_id"]) == run
    assert await in_thread(lambda: Session.objects.get(id=run["thread_id"]).ephemeral)


@pytest.mark.parametrize("keep", [False, True])
async def test_the_thread_goes_with_it_unless_it_is_kept(
    client: LangGraphClient, http: httpx.AsyncClient, worker: Worker, keep: bool
) -> None:
    waits = asyncio.create_task(client.runs.wait(None, "steps", input={}, on_completion="keep" if keep else "delete"))
    await worker.ends(values={"count": 5})
    assert await waits == {"count": 5}
    run = await in_thread(lambda: Run.objects.get())
    there = await http.get(f"/threads/{run.session_id}/runs/{run.id}")
    assert there.status_code == (200 if keep else 404)
    assert await in_thread(lambda: forget(readable_s=0)) == (0 if keep else 1)


async def test_nothing_is_resumed_without_a_thread(http: httpx.AsyncClient) -> None:
    answer = await http.post("/runs/wait", json={"assistant_id": "interrupt", "command": {"resume": 1}})
    assert (answer.status_code, answer.json()["detail"]) == (400, "You must provide a thread_id when resuming.")


async def test_a_checkpoint_is_a_threads(http: httpx.AsyncClient) -> None:
    answer = await http.post("/runs", json={"assistant_id": "steps", "checkpoint_id": "x"})
    assert answer.status_code == 422
    assert "checkpoint belongs to runs of a thread" in answer.json()["detail"]


async def test_a_batch_is_accepted_whole_or_not_at_all(client: LangGraphClient, http: httpx.AsyncClient) -> None:
    runs: Any = await client.runs.create_batch([{"assistant_id": "steps", "input": {"count": n}} for n in range(3)])
    assert [run["kwargs"]["input"] for run in runs] == [{"count": 0}, {"count": 1}, {"count": 2}]
    assert len({run["thread_id"] for run in runs}) == 3
    refused = await http.post("/runs/batch", json=[{"assistant_id": "steps"}, {"assistant_id": "nope"}])
    assert refused.status_code == 422
    assert await in_thread(Run.objects.count) == 3
    for body in ([], {}, [1]):
        assert (await http.post("/runs/batch", json=body)).status_code == 422


async def test_a_stream_of_one(http: httpx.AsyncClient, worker: Worker) -> None:
    streams = asyncio.create_task(http.post("/runs/stream", json={"assistant_id": "steps"}))
    held = await worker.claims()
    await worker.ends(held, values={})
    answer = await streams
    place = f"/runs/{held.claimed['id']}"
    assert (answer.headers["location"], answer.headers["content-location"]) == (f"{place}/stream", place)
    assert answer.text.startswith("event: metadata\r\ndata: ")
