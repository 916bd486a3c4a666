"""What all runs of a thread tell, one after the other, on one stream that does not end with them."""

import asyncio
from dataclasses import replace
from functools import partial

import httpx
import pytest

import protocols.langgraph.streams as streams
import runs.live
from accounts.limits import Holder, Limits
from accounts.streams import take_stream
from core.ids import new_id
from protocols.langgraph.streaming.frames import HEARTBEAT
from protocols.langgraph.streaming.places import parse_place
from runs.accepting import Besides, create_run
from runs.bodies import CreateRun
from runs.live import hub
from runs.worker.outcomes import Cancelled, Finished
from runtime.contract import Step
from tests.api import UNKNOWN, Api
from tests.langgraph.carried import Carried, begun
from tests.langgraph.heard import some_of, told
from tests.runs.hand import Hand
from tests.runs.worker import Tenant, in_thread


@pytest.fixture
async def first(hand: Hand, owner: Tenant) -> Carried:
    """A run that has ended, and behind it one that was cancelled."""
    first = await begun(hand, tenant=owner)
    await first.held.says("Hello", done=True)
    second = await begun(hand, session=first.session, tenant=owner)
    await second.held.commit(Cancelled(False))
    return first


async def test_a_thread_tells_of_its_runs_and_that_each_is_done(first: Carried) -> None:
    heard = await first.heard_of_thread(8)
    names = [one.event if one.event != "metadata" else one.data.get("status", "begins") for one in heard]
    assert names == ["begins", "values", "messages", "values", "run_done", "begins", "values", "run_done"]
    runs = [one["run_id"] for one in told(heard, "metadata")]
    assert [runs.count(run) for run in dict.fromkeys(runs)] == [2, 2]


async def test_after_every_id_a_reader_goes_on_across_runs(first: Carried) -> None:
    whole = await first.heard_of_thread(8)
    places = [parse_place(one.id) for one in whole]
    assert None not in places
    for index, place in enumerate(places[:-1]):
        assert await first.heard_of_thread(7 - index, place) == whole[index + 1 :]


async def test_lifecycle_is_when_runs_begin_and_how_they_end(first: Carried) -> None:
    heard = await first.heard_of_thread(4, (0, 0), "lifecycle")
    assert {one.event for one in heard} == {"lifecycle"}
    assert [one.data["status"] for one in heard] == ["running", "success", "running", "interrupted"]


async def test_state_updates_are_the_threads_values_as_they_change(first: Carried) -> None:
    heard = await first.heard_of_thread(2, (0, 0), "state_update")
    assert [len(one.data["values"]["messages"]) for one in heard] == [1, 2]
    assert {one.event for one in heard} == {"state_update"}


async def test_without_an_id_a_reader_hears_what_is_yet_to_come(
    first: Carried, hand: Hand, owner: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runs.live, "CHECK_S", 0.02)
    monkeypatch.setattr(streams, "HEARTBEAT_S", 0.02)
    carrier = asyncio.create_task(hub().run())
    frames = streams.thread_frames(owner.identity, first.session, after=None, modes=("run_modes",))
    # With its first heartbeat it has read what there was.
    assert await anext(aiter(frames)) == HEARTBEAT
    third = await begun(hand, session=first.session, tenant=owner)
    await third.held.says("News", done=True)
    (news,) = await some_of(frames, 1)
    assert news.data == {"run_id": str(third.id), "attempt": 1}
    carrier.cancel()


async def test_a_run_that_asked_is_done_once_and_not_again_when_another_goes_on(hand: Hand, owner: Tenant) -> None:
    run = await begun(hand, graph="echo", tenant=owner)
    await run.held.asks(type="custom", value={"interrupts": [], "next": ["ask"]})
    kwargs = {"stream_mode": ["updates"], "command": {"resume": "yes"}}
    going_on = partial(create_run, owner.identity, run.session, CreateRun(input={"message": "Yes"}), new_id())
    await going_on(besides=Besides(owner.assistant, kwargs)).arun()
    await (await hand.claim()).says("Yes", done=True)
    heard = await run.heard_of_thread(4)
    assert [one.data.get("status", "begins") for one in heard] == ["begins", "run_done", "begins", "run_done"]
    assert heard[1].data["run_id"] == str(run.id)
    assert [one.data["status"] for one in await run.heard_of_thread(4, (0, 0), "lifecycle")] == [
        *("running", "success"),
        *("running", "success"),
    ]


async def test_graphs_tell_their_state_too(hand: Hand, owner: Tenant) -> None:
    run = await begun(hand, graph="echo", tenant=owner)
    await run.held.commit(Finished(Step(kind="custom", structured={"count": 1}, done=True)))
    (update,) = await run.heard_of_thread(1, (0, 0), "state_update")
    assert update.data == {"run_id": str(run.id), "values": {"count": 1}}


async def test_what_is_no_thread_no_id_and_no_mode_is_refused(
    http: httpx.AsyncClient, tenant: Api, hand: Hand, owner: Tenant
) -> None:
    theirs = (await begun(hand, tenant=owner)).session
    for thread in (UNKNOWN, theirs):
        answer = await http.get(f"/threads/{thread}/stream")
        assert (answer.status_code, answer.json()) == (404, {"detail": f"Thread with ID {thread} not found"})
    bad = await http.get(f"/threads/{UNKNOWN}/stream", headers={"last-event-id": "x"})
    assert (bad.status_code, bad.json()["detail"]) == (422, "Invalid last-event-id: must be a valid Redis stream ID")
    assert (await http.get(f"/threads/{UNKNOWN}/stream?stream_modes=nope")).status_code == 422


async def test_an_open_stream_counts_against_the_callers_limit(
    http: httpx.AsyncClient, tenant: Api, thread: str
) -> None:
    await in_thread(partial(tenant.limit, streams=1))
    holder = Holder("workspace", tenant.workspace.id, Limits(streams=1))
    opened = await take_stream(replace(tenant.identity, limits=(holder,)))
    assert (await http.get(f"/threads/{thread}/stream")).status_code == 429
    opened()
