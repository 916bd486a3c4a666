"""The commands of the websocket: what is no command closes it, what is a wrong one is answered, nothing fails it."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.bad_input.conftest import World
from tests.bad_input.routes import GOOD, filled
from tests.bad_input.test_bodies import UNREADABLE, with_value
from tests.bad_input.test_fields import HOSTILE_IDS, wrong
from tests.core.test_strict_json import REFUSED

pytestmark = pytest.mark.django_db
COMMANDS: dict[str, dict[str, Any]] = {
    "send": GOOD["POST", "/sessions/{session_id}/runs"],
    "resume": {"run_id": "{run_id}", "value": "Yes"},
    "cancel": {"run_id": "{run_id}", "action": "cancel"},
    "subscribe": {"after": "0-0"},
    "ping": {},
}
# Routes that take the same body.
SAME_AS = {
    "send": ("POST", "/sessions/{session_id}/runs"),
    "resume": ("POST", "/runs/{interrupted_id}/resume"),
    "cancel": ("POST", "/runs/{run_id}/cancel"),
}
WAIT_S = 30


class Socket:
    """One websocket at the application's front."""

    def __init__(self, world: World, session_id: str) -> None:
        self.said: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.heard: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.scope = {
            "type": "websocket",
            "path": f"/ws/sessions/{session_id}",
            "raw_path": b"",
            "root_path": "",
            "query_string": b"",
            "headers": [(b"x-api-key", world.door.key.encode()), (b"host", b"door")],
            "subprotocols": [],
        }

    def say(self, frame: str | bytes) -> None:
        self.said.put_nowait({"type": "websocket.receive", "text" if isinstance(frame, str) else "bytes": frame})

    async def answer(self) -> Any:
        """The answer to the last command, or the code that the socket was closed with."""
        while True:
            message = await asyncio.wait_for(self.heard.get(), WAIT_S)
            if message["type"] == "websocket.close":
                return message["code"]
            if "ref" in (document := json.loads(message["text"])):
                return document


@asynccontextmanager
async def connected(world: World, session_id: str) -> AsyncIterator[Socket]:
    socket = Socket(world, session_id)
    serving = asyncio.create_task(world.door.application(socket.scope, socket.said.get, socket.heard.put))
    socket.said.put_nowait({"type": "websocket.connect"})
    assert (await asyncio.wait_for(socket.heard.get(), WAIT_S))["type"] == "websocket.accept"
    yield socket
    socket.said.put_nowait({"type": "websocket.disconnect", "code": 1000})
    await asyncio.wait_for(serving, WAIT_S)


def told(world: World, *frames: str | bytes) -> list[Any]:
    """The answers to frames, each on the same socket until it is closed; then on another."""
    session_id = world.ours["session_id"]

    async def talk() -> list[Any]:
        answers: list[Any] = []
        rest = list(frames)
        while rest:
            async with connected(world, session_id) as socket:
                while rest:
                    socket.say(rest.pop(0))
                    answers.append(await socket.answer())
                    if isinstance(answers[-1], int):
                        break
        return answers

    answers: list[Any] = world.door.wait(talk())
    return answers


def command(action: str, world: World) -> dict[str, Any]:
    return {"action": action, "ref": "r", **filled(COMMANDS[action], world.ours)}


def test_every_command_is_walked(world: World) -> None:
    (answer,) = told(world, '{"action": "nothing", "ref": 1}')
    assert answer["error"]["detail"] == f"One of: {', '.join(COMMANDS)}."


def test_a_frame_that_cannot_be_read_closes_the_socket_and_leaves_nothing(world: World) -> None:
    good = command("send", world)
    before = world.door.stored()
    frames: list[str | bytes] = [
        b"\x00\x01",
        b"{}",
        "",
        "[]",
        "5",
        '"ping"',
        "null",
        "{}",
        '{"action": 5}',
        '{"action": null}',
    ]
    frames += [raw.decode() for raw in REFUSED.values() if len(raw) < 100_000 and raw.isascii()]
    frames += [raw.decode() for raw in (with_value(good, value) for value in UNREADABLE.values()) if raw.isascii()]
    assert set(told(world, *frames)) == {4400}
    assert world.door.stored() == before


@pytest.mark.parametrize("action", COMMANDS)
def test_a_wrong_command_is_answered_and_leaves_nothing(world: World, action: str) -> None:
    good = command(action, world)
    frames = [{**good, "surprise": 1}, {**good, "surprise": None}]
    if action in SAME_AS:
        body = {key: value for key, value in good.items() if key not in {"action", "ref", "run_id"}}
        named = {key: good[key] for key in ("action", "ref", "run_id") if key in good}
        frames += [{**candidate, **named} for place, candidate in wrong(SAME_AS[action], body) if place != ("action",)]
    if "run_id" in good:
        frames += [{**good, "run_id": text} for text in (*HOSTILE_IDS, world.strangers["run_id"], None, 5, [], {})]
    if "after" in good:
        frames += [{**good, "after": text} for text in ("x", "1-", "-1", "9" * 30, "1-1-1", 5, [], {}, True)]
    before = world.door.stored()
    for sent, answer in zip(frames, told(world, *(orjson.dumps(frame).decode() for frame in frames)), strict=True):
        assert isinstance(answer, dict), (sent, answer)
        assert (answer["ref"], answer["ok"]) == ("r", False), (sent, answer)
        assert answer["error"]["code"] in {"invalid", "not_found"}, (sent, answer)
        assert set(answer["error"]) == {"detail", "code", "request_id", "errors"}
    assert world.door.stored() == before


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=8,
)
FIELDS = st.sampled_from(
    sorted({name for body in COMMANDS.values() for name in body} | {"decisions", "responses", "type"})
)
FRAMES = st.one_of(
    st.text(),
    st.binary(),
    JSON.map(lambda value: orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS).decode("utf-8", "replace")),
    st.builds(
        lambda action, ref, more: orjson.dumps({"action": action, "ref": ref, **more}).decode(),
        st.sampled_from([action for action in COMMANDS if action != "send"]),
        JSON,
        st.dictionaries(FIELDS, JSON, max_size=3),
    ),
)


@settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(frames=st.lists(FRAMES, min_size=1, max_size=10))
def test_no_frame_fails_the_socket(world: World, frames: list[str | bytes]) -> None:
    for answer in told(world, *frames):
        assert answer == 4400 or isinstance(answer["ok"], bool)
