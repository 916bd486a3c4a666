"""Runs of hosted graphs, streamed: what their workers tell, as LangGraph's clients read it."""

from dataclasses import replace
from typing import Any

import pytest

import protocols.langgraph.streams as streams
from accounts.watch import WATCH
from core.ids import new_id
from protocols.langgraph.run_bodies import RUN_MODES
from protocols.langgraph.streaming.frames import HEARTBEAT, Frame
from protocols.langgraph.streaming.places import BEGINNING, parse_place
from protocols.langgraph.streaming.reading import about_of
from runs.worker.outcomes import Cancelled, Failed, Finished, HandedBack
from runtime.contract import Step
from runtime.errors import AgentError
from tests.langgraph.carried import Carried, begun, hosted
from tests.langgraph.heard import all_of, told
from tests.runs.hand import Hand
from tests.runs.worker import Tenant

CHILD = "child:6f2c"


@pytest.fixture
async def run(hand: Hand, owner: Tenant) -> Carried:
    return await begun(hand, graph="echo", tenant=owner)


def chunk(text: str, **fields: Any) -> dict[str, Any]:
    return {"content": text, "type": "AIMessageChunk", "id": "m1", "tool_call_chunks": [], **fields}


ORIGIN = {"langgraph_node": "agent"}
TOOL = {"content": "sunny", "type": "tool", "id": "m2", "tool_call_id": "call_1"}


async def _tells_everything(run: Carried) -> None:
    run.part("values", {"count": 0})
    run.part("tasks", {"name": "agent"})
    run.part("messages", [chunk("It is"), ORIGIN])
    run.part("messages", [chunk(" sunny")])
    run.part("messages", [TOOL, {"langgraph_node": "tools"}])
    run.part("custom", {"step": 1})
    run.part("updates", {"shout": {"text": "A"}}, CHILD)
    run.part("updates", {"agent": {"count": 1}})
    run.part("values", {"count": 1})
    await run.held.says("It is sunny", done=True)


async def test_every_mode_has_its_events_and_the_stream_just_ends(run: Carried) -> None:
    await _tells_everything(run)
    heard = await run.heard(hosted(*RUN_MODES))
    assert [(one.event, one.data) for one in heard] == [
        ("metadata", {"run_id": str(run.id), "attempt": 1}),
        ("values", {"count": 0}),
        ("tasks", {"name": "agent"}),
        ("messages/metadata", {"m1": {"metadata": ORIGIN}}),
        ("messages/partial", [{"content": "It is", "type": "ai", "id": "m1"}]),
        ("messages", [chunk("It is"), ORIGIN]),
        ("messages/partial", [{"content": "It is sunny", "type": "ai", "id": "m1"}]),
        ("messages", [chunk(" sunny"), ORIGIN]),
        ("messages/metadata", {"m2": {"metadata": {"langgraph_node": "tools"}}}),
        ("messages/complete", [TOOL]),
        ("messages", [TOOL, {"langgraph_node": "tools"}]),
        ("custom", {"step": 1}),
        ("updates", {"agent": {"count": 1}}),
        ("values", {"count": 1}),
    ]


async def test_a_reader_hears_the_modes_it_asks_for_and_subgraphs_under_their_names(run: Carried) -> None:
    await _tells_everything(run)
    heard = await run.heard(hosted("updates", "values", stream_subgraphs=True), modes={"updates"})
    assert [one.event for one in heard] == ["metadata", f"updates|{CHILD}", "updates"]


async def test_messages_of_subgraphs_have_the_suffix_as_tuples_only(run: Carried) -> None:
    run.part("messages", [chunk("Hi"), ORIGIN], CHILD)
    await run.held.says("Hi", done=True)
    heard = await run.heard(hosted("messages", "messages-tuple", stream_subgraphs=True))
    assert [one.event for one in heard[1:]] == ["messages/metadata", "messages/partial", f"messages|{CHILD}"]
    assert [one.event for one in await run.heard(hosted("messages", "messages-tuple"))] == ["metadata"]


async def test_after_every_id_a_reader_hears_the_rest_and_nothing_twice(run: Carried) -> None:
    await _tells_everything(run)
    for modes in (RUN_MODES, ("messages-tuple", "values", "updates")):
        whole = await run.heard(hosted(*modes, stream_subgraphs=True))
        places = [parse_place(one.id) for one in whole]
        assert places == sorted(set(places))  # type: ignore[type-var]
        for index, place in enumerate(places):
            assert await run.heard(hosted(*modes, stream_subgraphs=True), after=place) == whole[index + 1 :]


async def test_only_resumable_runs_have_ids(run: Carried) -> None:
    await run.held.says("Hello", done=True)
    heard = await run.heard(hosted("values", stream_resumable=False))
    assert [one.id for one in heard] == [None]


async def test_who_does_not_say_what_it_has_hears_nothing_of_a_run_that_has_ended(run: Carried) -> None:
    await _tells_everything(run)
    assert await run.heard(hosted("values"), after=None) == []


@pytest.mark.parametrize(("place", "left"), [((1, 99_999), 0), ((99_999, 0), 2)])
async def test_an_id_of_nothing_hides_no_more_than_the_run_has_told(
    run: Carried, place: tuple[int, int], left: int
) -> None:
    row = {"id": run.id, "number": 1, "status": "running", "last_seq": 1}
    await _tells_everything(run)
    assert len(await all_of(streams.run_frames(run.identity, row, hosted("values"), after=place))) == left


async def test_the_message_that_is_being_said_is_whole_for_those_who_come_in_the_middle(run: Carried) -> None:
    run.part("messages", [chunk("It is"), ORIGIN])
    await run.held.commit(HandedBack())
    place = parse_place((await run.heard_of_thread(1))[0].id)
    (again,) = await run.held.hand.claim_all()
    again.journal.tell("graph", {"mode": "messages", "ns": [], "data": [chunk("Hi", id="m9"), ORIGIN]})
    again.journal.tell("graph", {"mode": "messages", "ns": [], "data": [chunk("!", id="m9"), ORIGIN]})
    await again.says("Hi!", done=True)
    heard = await run.heard(hosted("messages"), after=place)
    assert told(heard, "metadata") == [{"run_id": str(run.id), "attempt": 2}]
    assert [one[0]["content"] for one in told(heard, "messages/partial")] == ["It is", "Hi", "Hi!"]


async def test_a_failed_run_says_why_and_a_cancelled_one_just_ends(hand: Hand, owner: Tenant) -> None:
    failed = await begun(hand, graph="echo", tenant=owner)
    await failed.held.commit(Failed(AgentError("boom at 3", code="graph_error")))
    cancelled = await begun(hand, tenant=owner)
    await cancelled.held.commit(Cancelled(False))
    (error,) = told(await failed.heard(hosted("values")), "error")
    assert error["message"] == "boom at 3"
    assert [one.event for one in await cancelled.heard(hosted("values"))] == ["metadata"]


async def test_a_run_that_asks_ends_its_stream(run: Carried) -> None:
    run.part("values", {"__interrupt__": [{"value": "Go on?", "id": "1"}]})
    await run.held.asks(type="custom", value={"interrupts": [], "next": ["ask"]})
    assert [one.event for one in await run.heard(hosted("values"))] == ["metadata", "values"]


async def test_a_native_clients_run_of_a_graph_tells_its_values_at_its_end(run: Carried) -> None:
    await run.held.commit(Finished(Step(kind="custom", structured={"count": 1}, done=True)))
    assert told(await run.heard(about_of("echo", None, hosted=True)), "values") == [{"count": 1}]


async def test_a_silent_stream_has_heartbeats_also_where_others_hear_a_lot(
    run: Carried, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "HEARTBEAT_S", 0.0)
    run.part("custom", 1)
    await run.held.says("Hello", done=True)
    row = {"id": run.id, "number": 1, "status": "running", "last_seq": 0}
    frames = streams.run_frames(run.identity, row, hosted("values"), after=BEGINNING)
    assert [piece async for piece in frames][1:].count(HEARTBEAT) >= 1


async def test_a_stream_ends_with_the_key_that_opened_it(run: Carried, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "HEARTBEAT_S", 0.02)
    gone = replace(run.identity, api_key_id=new_id())
    row = {"id": run.id, "number": 1, "status": "running", "last_seq": 0}
    frames = streams.run_frames(gone, row, hosted("values"), after=BEGINNING)
    assert await anext(aiter(frames)) == HEARTBEAT
    await WATCH.look()
    assert await all_of(frames) == []


def test_a_frame_is_written_as_langgraphs_server_writes_it() -> None:
    frame = Frame(0, "values", b"{}")
    assert frame.sse((3, 17)) == b"event: values\r\ndata: {}\r\nid: 3-17\r\n\r\n"
    assert frame.sse(None) == b"event: values\r\ndata: {}\r\n\r\n"


@pytest.mark.parametrize(
    ("text", "place"),
    [(None, None), ("x", None), ("1-2-3", None), ("-1", (0, 0)), ("0-0", (0, 0)), ("-", (0, 0)), ("3-117", (3, 117))],
)
def test_what_an_id_names(text: str | None, place: tuple[int, int] | None) -> None:
    assert parse_place(text) == place
