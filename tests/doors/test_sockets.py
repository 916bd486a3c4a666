"""The websockets, and everybody who could open one: close codes, and each command against what is not the caller's."""

import json
from typing import Any

import pytest
from channels.testing import WebsocketCommunicator

from accounts.identity import Identity
from accounts.models import TicketPurpose
from accounts.services import issue_ticket
from config.asgi import application
from tests.api import HELLO, UNKNOWN
from tests.doors.routes import sockets
from tests.doors.world import OF_USER, World

SESSION = "/ws/sessions/{session_id}"
# Its commands are in `tests/langgraph/test_commands.py`.
THREAD = "/langgraph/threads/{thread_id}/stream/events"
# What each command needs beside its name.
COMMANDS: dict[str, dict[str, Any]] = {
    "send": HELLO,
    "resume": {"run_id": "{run_id}", "value": 1},
    "cancel": {"run_id": "{run_id}"},
    "subscribe": {},
    "ping": {},
}
ON_RUNS = ["cancel", "resume"]


def test_every_socket_has_its_cases() -> None:
    assert sockets() == {SESSION, THREAD}


async def _open(path: str, headers: dict[str, str], *commands: dict[str, Any]) -> list[Any]:
    """What is said to the caller: answers to the commands, at last the close code (None: still open)."""
    raw = [(name.encode(), value.encode()) for name, value in {"host": "testserver", **headers}.items()]
    socket = WebsocketCommunicator(application, path, headers=raw)
    # An event loop of a test on a busy machine has seconds.
    connected, _ = await socket.connect(timeout=10)
    assert connected
    heard: list[Any] = []
    for command in commands:
        await socket.send_to(json.dumps({**command, "ref": "1"}))
        message = await socket.receive_output(timeout=10)
        if message["type"] == "websocket.close":
            return [*heard, message["code"]]
        heard.append(json.loads(message["text"]))
    if not commands:
        message = await socket.receive_output(timeout=10)
        return [message["code"]]
    await socket.disconnect()
    return [*heard, None]


def heard(world: World, path: str, key: str | None, *commands: dict[str, Any]) -> list[Any]:
    return world.loop.run(_open(path, {"x-api-key": key} if key else {}, *commands))


@pytest.mark.parametrize("who", ["nobody", "malformed", "unknown", "expired", "revoked"])
@pytest.mark.parametrize("session", ["ours", "unknown"])
def test_without_a_key_that_holds_no_socket_stays_open(world: World, who: str, session: str) -> None:
    path = SESSION.format(session_id=world.ids["session_id"] if session == "ours" else UNKNOWN)
    assert heard(world, path, world.keys.get(who)) == [4401]


@pytest.mark.parametrize("who", ["nobody", "malformed", "unknown", "expired", "revoked"])
def test_without_a_key_that_holds_no_thread_is_heard(world: World, who: str) -> None:
    for thread in (world.ids["session_id"], UNKNOWN):
        assert heard(world, THREAD.format(thread_id=thread), world.keys.get(who)) == [4401]


@pytest.mark.parametrize("who", ["stranger", "bob"])
def test_anothers_thread_takes_no_command(world: World, who: str) -> None:
    before = world.rows()
    run = {"assistant_id": str(world.ids["assistant_id"]), **HELLO}
    answer = {"interrupt_id": "x", "response": 1}
    for method, params in (("run.start", run), ("input.respond", answer), ("agent.getTree", {})):
        command = {"id": 1, "method": method, "params": params}
        told, _ = heard(world, THREAD.format(thread_id=world.ids["session_id"]), world.keys[who], command)
        assert told["type"] == "error"
        assert OF_USER not in str(told)
    assert world.rows() == before


def test_a_socket_asks_for_the_scope_of_reading_runs(world: World) -> None:
    for session in (world.ids["session_id"], UNKNOWN):
        assert heard(world, SESSION.format(session_id=session), world.key_without("runs")) == [4401]


@pytest.mark.parametrize("who", ["stranger", "bob"])
@pytest.mark.parametrize("query", ["", "?after=1-1", "?after=nonsense"])
def test_anothers_session_is_as_unknown_as_none(world: World, who: str, query: str) -> None:
    before = world.rows()
    for session in (world.ids["session_id"], UNKNOWN, "nonsense"):
        assert heard(world, SESSION.format(session_id=session) + query, world.keys[who]) == [4404]
    assert world.rows() == before


@pytest.mark.parametrize("action", COMMANDS)
def test_commands_work_for_who_may(world: World, action: str) -> None:
    ids = world.fresh()
    command = {"action": action, **_filled(COMMANDS[action], ids)}
    answer, _ = heard(world, SESSION.format(**ids), world.key_with("runs:write"), command)
    assert answer["ok"] or answer["error"]["code"] == "not_interrupted"


@pytest.mark.parametrize("action", ["send", *ON_RUNS])
def test_who_may_only_read_commands_nothing(world: World, action: str) -> None:
    key = world.key_with("runs:read")
    before = world.rows()
    told = []
    for ids in (world.ids, world.unknown()):
        command = {"action": action, **_filled(COMMANDS[action], ids)}
        answer, _ = heard(world, SESSION.format(**world.ids), key, command)
        told.append((answer["ok"], answer["error"]["code"], answer["error"]["detail"]))
    assert [entry[:2] for entry in told] == [(False, "forbidden")] * 2
    assert told[0] == told[1]
    assert world.rows() == before


@pytest.mark.parametrize("who", ["stranger", "bob"])
@pytest.mark.parametrize("action", ON_RUNS)
def test_a_socket_of_ones_own_commands_no_run_of_anothers(world: World, who: str, action: str) -> None:
    own = world.theirs.session() if who == "stranger" else world.ours.session(user_id="bob")
    before, told = world.rows(), []
    for ids in (world.ids, world.unknown()):
        command = {"action": action, **_filled(COMMANDS[action], ids)}
        answer, _ = heard(world, SESSION.format(session_id=own), world.keys[who], command)
        assert OF_USER not in str(answer)
        told.append({**answer["error"], "request_id": ""})
    assert told[0]["code"] == "not_found"
    assert told[0] == told[1]
    assert world.rows() == before


def test_every_command_has_its_cases(world: World) -> None:
    answer, _ = heard(world, SESSION.format(**world.ids), world.keys["everything"], {"action": "dance"})
    assert answer["error"]["errors"][0]["message"] == f"One of: {', '.join(COMMANDS)}."


def _ticket(world: World, path: str, user_id: str | None = None) -> str:
    identity = Identity(world.ours.workspace.pk, frozenset({"*"}), "key:t", user_id=user_id)
    return issue_ticket(TicketPurpose.WEBSOCKET, path=path, identity=identity)[0]


def test_a_ticket_opens_its_own_path_alone_and_once(world: World) -> None:
    path = SESSION.format(**world.ids)
    ticket = _ticket(world, path)
    other = SESSION.format(**world.fresh())
    ping = {"action": "ping"}
    assert heard(world, f"{other}?ticket={ticket}", None) == [4401]
    assert heard(world, f"{path}?ticket={ticket}", None, ping)[-1] is None
    assert heard(world, f"{path}?ticket={ticket}", None) == [4401]


def test_a_ticket_sees_what_its_maker_sees(world: World) -> None:
    path = SESSION.format(**world.ids)
    assert heard(world, f"{path}?ticket={_ticket(world, path, 'bob')}", None) == [4404]


def _filled(command: dict[str, Any], ids: dict[str, str]) -> dict[str, Any]:
    return {name: value.format(**ids) if isinstance(value, str) else value for name, value in command.items()}


def test_a_login_opens_a_socket_from_a_page_of_this_site(world: World) -> None:
    path = SESSION.format(**world.ids)

    def codes(who: str, origin: str | None, *commands: dict[str, Any]) -> list[Any]:
        given = "; ".join(f"{name}={morsel.value}" for name, morsel in world.people[who].cookies.items())
        headers = {"cookie": given, **({} if origin is None else {"origin": origin})}
        return world.loop.run(_open(path, headers, *commands))

    assert codes("ann", "http://testserver", {"action": "ping"})[-1] is None
    assert codes("ann", "http://evil.example") == [4401]
    assert codes("ann", None) == [4401]
    assert codes("bob", "http://testserver") == [4404]
    assert codes("stranger", "http://testserver") == [4404]
    assert codes("outsider", "http://testserver") == [4401]
