"""The websocket of a session: commands in, every event out, once and in order."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from tests.runs.conftest import make_session, scripted
from tests.servers import Server

pytestmark = pytest.mark.servers


@contextmanager
def socket_to(server: Server, session: str, query: str = "", **options: Any) -> Iterator[ClientConnection]:
    options.setdefault("additional_headers", {"X-Api-Key": server.key})
    url = f"{server.url.replace('http', 'ws')}/ws/sessions/{session}{query}"
    with connect(url, **options) as connection:
        yield connection


def tell(socket: ClientConnection, **command: Any) -> None:
    socket.send(json.dumps(command))


def hear(socket: ClientConnection, until: str) -> list[dict[str, Any]]:
    """Frames up to the first event of that name, or the answer to that ref."""
    heard = []
    while not heard or until not in {heard[-1].get("event"), heard[-1].get("ref")}:
        heard.append(json.loads(socket.recv(timeout=20)))
    return heard


def closed_with(server: Server, session: str, **options: Any) -> int:
    with socket_to(server, session, **options) as socket, pytest.raises(ConnectionClosed) as closed:
        socket.recv(timeout=10)
    assert closed.value.rcvd
    return int(closed.value.rcvd.code)


def test_a_message_is_answered_over_the_socket(server: Server, echo_session: str) -> None:
    with socket_to(server, echo_session) as socket:
        tell(socket, action="send", ref="1", input={"message": "over the wire"})
        heard = hear(socket, "end")
    answer = next(frame for frame in heard if frame.get("ref") == "1")
    events = [frame for frame in heard if "event" in frame]
    assert answer["ok"]
    assert answer["data"]["status"] == "pending"
    assert "".join(frame["data"]["text"] for frame in events if frame["event"] == "token") == "over the wire"
    assert {frame["topic"] for frame in events} == {f"session:{echo_session}"}
    assert [frame["seq"] for frame in events] == list(range(1, len(events) + 1))


def test_coming_back_with_the_last_id_continues_across_runs(server: Server, echo_session: str) -> None:
    for text in ("one", "two", "three"):
        server.client.post(f"/sessions/{echo_session}/runs/wait", json={"input": {"message": text}})
    with socket_to(server, echo_session) as socket:
        everything = [frame for _ in range(3) for frame in hear(socket, "end")]
    middle = len(everything) // 2
    with socket_to(server, echo_session, f"?after={everything[middle]['id']}") as socket:
        rest: list[dict[str, Any]] = []
        while not rest or rest[-1]["id"] != everything[-1]["id"]:
            rest += hear(socket, "end")
    assert rest == everything[middle + 1 :]


def test_a_second_client_hears_what_the_first_one_said(server: Server, echo_session: str) -> None:
    with socket_to(server, echo_session) as first, socket_to(server, echo_session) as second:
        tell(first, action="send", ref="1", input={"message": "both"})
        assert [f["id"] for f in hear(second, "end")] == [f["id"] for f in hear(first, "end") if "id" in f]


def test_a_running_answer_can_be_stopped(server: Server) -> None:
    session = scripted(server, [{"text": "word " * 500, "delay_ms": 20}])
    with socket_to(server, session) as socket:
        tell(socket, action="send", ref="1", input={"message": "go"})
        run_id = hear(socket, "token")[-1]["run_id"]
        tell(socket, action="cancel", ref="2", run_id=run_id)
        end = hear(socket, "end")[-1]
    assert end["data"]["status"] == "cancelled"


def test_a_question_is_answered_over_the_socket(server: Server) -> None:
    session = make_session(server, type="Curious")
    with socket_to(server, session) as socket:
        tell(socket, action="send", ref="1", input={"message": "ask"})
        asked = hear(socket, "interrupt")[-1]
        tell(socket, action="resume", ref="2", run_id=asked["run_id"], decisions=[])
        assert hear(socket, "2")[-1]["error"]["code"] == "invalid"
        tell(socket, action="resume", ref="3", run_id=asked["run_id"], value="yes")
        heard = hear(socket, "end")
    events = [frame for frame in heard if "event" in frame]
    assert [frame["seq"] for frame in events] == list(range(asked["seq"] + 1, asked["seq"] + 1 + len(events)))
    assert (events[0]["data"]["status"], events[-1]["data"]["output"]["text"]) == ("pending", "yes")


def test_a_run_of_another_session_is_not_resumed_over_the_socket(server: Server, echo_session: str) -> None:
    session = make_session(server, type="Curious")
    asked = server.client.post(f"/sessions/{session}/runs/wait", json={"input": {"message": "ask"}}).json()
    with socket_to(server, echo_session) as socket:
        tell(socket, action="resume", ref="1", run_id=asked["id"], value="yes")
        assert hear(socket, "1")[-1]["error"]["code"] == "not_found"
    assert server.client.get(f"/runs/{asked['id']}").json()["status"] == "interrupted"


def test_cancelling_a_queued_run_does_not_cut_the_answer_before_it(server: Server) -> None:
    text = " ".join(f"word{i}" for i in range(30))
    session = scripted(server, [{"text": text, "delay_ms": 40}])
    with socket_to(server, session) as socket:
        tell(socket, action="send", ref="1", input={"message": "first"})
        hear(socket, "token")
        tell(socket, action="send", ref="2", input={"message": "second"})
        queued = hear(socket, "2")[-1]["data"]["id"]
        tell(socket, action="cancel", ref="3", run_id=queued)
        first, second = hear(socket, "end"), hear(socket, "end")
    assert first[-1]["data"]["output"]["text"] == text
    assert (second[-1]["run_id"], second[-1]["data"]["status"]) == (queued, "cancelled")


def test_a_ping_is_answered_and_a_bad_command_gets_the_error_body(server: Server, echo_session: str) -> None:
    with socket_to(server, echo_session) as socket:
        tell(socket, action="ping", ref="p")
        assert hear(socket, "p")[-1] == {"ref": "p", "ok": True, "data": {}}
        tell(socket, action="dance", ref="d")
        answer = hear(socket, "d")[-1]
        assert (answer["ok"], answer["error"]["code"]) == (False, "invalid")
        tell(socket, action="send", ref="s", input={"message": "x"}, surprise=1)
        answer = hear(socket, "s")[-1]
        assert answer["error"]["errors"][0]["loc"] == ["surprise"]
    assert server.client.get(f"/sessions/{echo_session}/runs").json()["items"] == []


def test_a_key_may_come_as_a_subprotocol(server: Server, echo_session: str) -> None:
    subprotocols = ["agent-server.v1", f"bearer.{server.key}"]
    with socket_to(server, echo_session, additional_headers={}, subprotocols=subprotocols) as socket:
        assert socket.subprotocol == "agent-server.v1"
        tell(socket, action="ping", ref="p")
        assert hear(socket, "p")[-1]["ok"]


def test_a_ticket_opens_the_socket_once(server: Server, echo_session: str) -> None:
    path = f"/ws/sessions/{echo_session}"
    ticket = server.client.post("/ws-tickets", json={"path": path}).json()["ticket"]
    with socket_to(server, echo_session, f"?ticket={ticket}", additional_headers={}) as socket:
        tell(socket, action="ping", ref="p")
        assert hear(socket, "p")[-1]["ok"]
    assert closed_with(server, echo_session, query=f"?ticket={ticket}", additional_headers={}) == 4401


def test_close_codes_say_what_is_wrong(server: Server, echo_session: str) -> None:
    assert closed_with(server, echo_session, additional_headers={}) == 4401
    assert closed_with(server, echo_session, additional_headers={"X-Api-Key": "x" * 30}) == 4401
    assert closed_with(server, str(uuid4())) == 4404
    assert closed_with(server, "nonsense") == 4404
    with socket_to(server, echo_session) as socket:
        socket.send("{not json")
        with pytest.raises(ConnectionClosed) as closed:
            socket.recv(timeout=10)
    assert closed.value.rcvd
    assert closed.value.rcvd.code == 4400


def test_a_frame_over_a_mebibyte_closes_the_socket(server: Server, echo_session: str) -> None:
    with socket_to(server, echo_session) as socket:
        tell(socket, action="send", ref="1", input={"message": "x" * 1_100_000})
        with pytest.raises(ConnectionClosed) as closed:
            socket.recv(timeout=10)
    assert closed.value.rcvd
    assert closed.value.rcvd.code == 4413
