"""`POST /threads/{id}/stream/events`: the events of a thread, by protocol v2."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import orjson
import pytest

from config.asgi import application
from core.ids import new_id
from runs.announce import announce
from runs.live import hub
from runs.models import Run
from runs.worker.outcomes import Finished
from runtime.contract import Message as Said
from runtime.contract import Step, ToolCall, ToolRecord
from sessions.models import Checkpoint, Message, Session
from tests.api import UNKNOWN, Api
from tests.langgraph.test_translation import datas, kinds
from tests.runs.hand import Hand, Held
from tests.runs.worker import in_thread


class Stream:
    """An open stream: its status, and its events as they come."""

    def __init__(self) -> None:
        self.status = 0
        self.body: asyncio.Queue[bytes] = asyncio.Queue()

    async def send(self, message: Any) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
        elif message.get("body"):
            await self.body.put(message["body"])

    async def next(self) -> dict[str, Any]:
        """The next event; heartbeats are passed over."""
        async with asyncio.timeout(10):
            while (frame := await self.body.get()).startswith(b":"):
                pass
        name, data, number, *_ = frame.decode().split("\r\n")
        event: dict[str, Any] = orjson.loads(data.removeprefix("data: "))
        assert (name, number) == (f"event: {event['method']}", f"id: {event['seq']}")
        return event

    async def until(self, kind: str) -> list[dict[str, Any]]:
        """The events up to the first of this kind."""
        told = [await self.next()]
        while kinds(told[-1:]) != [kind]:
            told.append(await self.next())
        return told


@asynccontextmanager
async def stream(api: Api, thread_id: Any, **body: Any) -> AsyncIterator[Stream]:
    """`POST /threads/{id}/stream/events`, which the client leaves at the end."""
    left, sent, opened = asyncio.Event(), [False], Stream()

    async def receive() -> dict[str, Any]:
        if not sent[0]:
            sent[0] = True
            return {"type": "http.request", "body": orjson.dumps({"channels": ALL, **body}), "more_body": False}
        await left.wait()
        return {"type": "http.disconnect"}

    scope = {
        "type": "http",
        "method": "POST",
        "path": f"/langgraph/threads/{thread_id}/stream/events",
        "query_string": b"",
        "headers": [(b"x-api-key", api.key.encode()), (b"content-type", b"application/json")],
        "client": ("127.0.0.1", 1),
        "scheme": "http",
        "http_version": "1.1",
        "server": ("test", 80),
    }
    answering = asyncio.create_task(application(scope, receive, opened.send))
    try:
        yield opened
    finally:
        left.set()
        await answering


ALL = ["values", "updates", "messages", "tools", "lifecycle", "input", "custom", "tasks", "checkpoints"]


async def start(api: Api, session: str | None = None) -> tuple[str, str]:
    """A pending run of a native assistant; gives its session's id and its own."""
    if session is None:
        session = await in_thread(api.session)
    return session, await in_thread(api.run, session)


def become(session: str, other: str) -> None:
    """The thread has this id, which its client gave it."""
    given = Session.objects.filter(id=session).values().get()
    Session.objects.create(**{**given, "id": other})
    for history in (Run, Message, Checkpoint):
        history.objects.filter(session_id=session).update(session_id=other)


async def answer(hand: Hand, text: str = "Hello") -> Held:
    """The pending run is carried out: it says this."""
    held = await hand.claim()
    await held.says(text, done=True)
    return held


@pytest.fixture
async def hand(transactional_db: None, open_door: None) -> AsyncIterator[Hand]:
    """A worker by hand; and readers hear of it at once."""
    listening = asyncio.create_task(hub().run())
    yield await in_thread(Hand)
    listening.cancel()
    await asyncio.wait([listening])


async def test_a_reader_hears_a_thread_from_its_run_on(tenant: Api, hand: Hand) -> None:
    session, _ = await start(tenant)
    await answer(hand)
    async with stream(tenant, session) as opened:
        told = await opened.until("completed")
    assert opened.status == 200
    assert kinds(told[:1]) == ["running"]
    assert datas(told, "values")[-1]["messages"][-1]["content"] == "Hello"


async def test_a_native_answer_is_told_as_a_graphs(tenant: Api, hand: Hand) -> None:
    session, _ = await start(tenant)
    held = await hand.claim()
    said = Said(id=str(new_id()), role="assistant", content="Hello", tool_calls=[ToolCall("c1", "weather", {})])
    for text in ("Hel", "lo"):
        held.journal.token(said.id, text, "text")
        held.journal.take()
    await held.commit(Finished(Step(kind="model", messages=[said], next=["tools"])))
    held.journal.tell("tool_result", ToolRecord(said.tool_calls[0], "ok", "sunny").document())
    held.journal.tell("custom", {"name": "progress", "value": 1})
    await held.says("Sunny.", done=True)
    async with stream(tenant, session) as opened:
        told = await opened.until("completed")
    first = [data for data in datas(told, "messages") if data["id"] == said.id]
    assert [(data["event"], data.get("delta", {}).get("text")) for data in first] == [
        ("message-start", None),
        ("content-block-start", None),
        ("content-block-delta", "Hel"),
        ("content-block-delta", "lo"),
        ("content-block-start", None),
        ("content-block-delta", None),
        ("content-block-finish", None),
        ("content-block-finish", None),
        ("message-finish", None),
    ]
    assert [data["content"]["type"] for data in first if data["event"] == "content-block-finish"] == [
        "text",
        "tool_call",
    ]
    assert [data["event"] for data in datas(told, "tools")] == ["tool-started", "tool-finished"]
    assert datas(told, "custom") == [{"name": "progress", "payload": 1}]
    assert list(datas(told, "updates")[0]) == ["model"]
    assert len(datas(told, "values")[-1]["messages"]) == 3
    assert datas(told, "checkpoints")[-1]["source"] == "loop"


async def test_what_came_before_is_not_told_again(tenant: Api, hand: Hand) -> None:
    session, _ = await start(tenant)
    await answer(hand)
    async with stream(tenant, session) as opened:
        told = await opened.until("completed")
    for place in (0, len(told) // 2, len(told) - 2):
        async with stream(tenant, session, since=told[place]["seq"]) as opened:
            assert await opened.until("completed") == told[place + 1 :]


async def test_a_reader_hears_the_runs_that_come(tenant: Api, hand: Hand) -> None:
    session, _ = await start(tenant)
    await answer(hand)
    async with stream(tenant, session, channels=["lifecycle"]) as opened:
        await opened.until("completed")
        _, run = await start(tenant, session)
        await answer(hand)
        await in_thread(announce, UUID(session), UUID(run))
        assert kinds(await opened.until("completed")) == ["running", "completed"]


async def test_a_reader_may_come_before_its_thread(tenant: Api, hand: Hand, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("protocols.langgraph.v2.reading.LOOK_EVERY_S", 0.02)
    later = str(new_id())
    async with stream(tenant, later, channels=["lifecycle"]) as opened:
        session, _ = await start(tenant)
        await answer(hand)
        await in_thread(become, session, later)
        assert kinds(await opened.until("completed")) == ["running", "completed"]


async def test_strangers_hear_nothing(tenant: Api, neighbour: Api, hand: Hand) -> None:
    session, _ = await start(tenant)
    await answer(hand)
    async with stream(neighbour, session) as opened, stream(tenant, session) as own:
        await own.until("completed")
        assert opened.body.empty()


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"channels": []}, 400),
        ({"channels": ["nope"]}, 400),
        ({"since": "1"}, 422),
        ({"more": 1}, 422),
    ],
)
async def test_what_cannot_be_told_is_refused(tenant: Api, open_door: None, body: Any, status: int) -> None:
    async with stream(tenant, UNKNOWN, **body) as opened:
        assert "detail" in orjson.loads(await opened.body.get())
        assert opened.status == status


async def test_a_thread_has_a_uuid(tenant: Api, open_door: None) -> None:
    async with stream(tenant, "xyz") as opened:
        assert orjson.loads(await opened.body.get()) == {"detail": "Invalid thread ID: must be a UUID"}


async def test_a_silent_stream_beats(tenant: Api, open_door: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("protocols.langgraph.v2.reading.HEARTBEAT_S", 0.02)
    async with stream(tenant, UNKNOWN) as opened:
        assert await opened.body.get() == b": heartbeat\r\n\r\n"
