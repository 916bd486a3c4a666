"""Websockets whose clients send too much, or break the protocol: closed with a code, or held back."""

import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from select import select

import pytest

from tests.edge.frames import BINARY, MORE, PING, TEXT, Socket, command, frame
from tests.edge.test_requests import resident_kib
from tests.edge.wire import assert_error
from tests.servers import KEY, Server

pytestmark = pytest.mark.servers

MIB = 1_048_576


@contextmanager
def opened(server: Server, session: str) -> Iterator[Socket]:
    with Socket(server) as socket:
        assert socket.open(f"/ws/sessions/{session}", key=KEY).status == 101
        yield socket


# -- what is too large -----------------------------------------------------------------------------------------------


def test_a_message_of_a_mebibyte_is_read(hasty: Server, session: str) -> None:
    with opened(hasty, session) as socket:
        text = b'{"action": "ping", "ref": "' + b"r" * (MIB - 29) + b'"}'
        assert len(text) == MIB
        assert socket.say(frame(TEXT, text)).answer_to("r" * (MIB - 29))["ok"]


def test_a_frame_that_says_it_is_larger_is_closed_at_once(hasty: Server, session: str) -> None:
    for size in (MIB + 1, 2**40):
        with opened(hasty, session) as socket:
            assert socket.say(frame(TEXT, length=size)).closed_with() == 4413


def test_a_larger_frame_that_comes_whole_is_closed_with_the_same_code(hasty: Server, session: str) -> None:
    with opened(hasty, session) as socket:
        assert socket.say(frame(TEXT, b" " * (50 * MIB))).closed_with() == 4413


def test_a_message_in_pieces_is_measured_as_a_whole(hasty: Server, session: str) -> None:
    with opened(hasty, session) as socket:
        socket.say(frame(TEXT, b" " * 100_000, last=False))
        socket.say(frame(MORE, b" " * 100_000, last=False) * 20)
        assert socket.closed_with() == 4413


@pytest.mark.parametrize("piece", [b"", b" "])
def test_a_message_has_a_bounded_number_of_pieces(hasty: Server, session: str, piece: bytes) -> None:
    with opened(hasty, session) as socket:
        socket.say(frame(TEXT, piece, last=False) + frame(MORE, piece, last=False) * 100_000)
        assert socket.closed_with() == 4413


def test_nothing_is_compressed_so_nothing_inflates(hasty: Server, session: str) -> None:
    bomb = zlib.compressobj(9, zlib.DEFLATED, -15).compress(b" " * MIB)
    with Socket(hasty) as socket:
        answer = socket.open(
            f"/ws/sessions/{session}", "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits", key=KEY
        )
        assert answer.status == 101
        assert "sec-websocket-extensions" not in answer.headers
        assert socket.say(frame(TEXT, bomb, rsv1=True)).closed_with() == 1002


# -- what cannot be read ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (frame(BINARY, b"{}"), 4400),
        (frame(TEXT, b"{"), 4400),
        (frame(TEXT, b"[]"), 4400),
        (frame(TEXT, b'{"action": 1}'), 4400),
        (frame(TEXT, b"\xff\xfe"), 1007),
        (frame(3, b""), 1002),
        (frame(MORE, b"x"), 1002),
        (frame(PING, b"x" * 126), 1002),
        (b"\x81\x02{}", 1002),  # not masked
    ],
)
def test_what_is_no_command_closes_the_socket(hasty: Server, session: str, data: bytes, code: int) -> None:
    with opened(hasty, session) as socket:
        assert socket.say(data).closed_with() == code


@pytest.mark.parametrize("query", ["?api_key=x", "?token=x", "?key=x", "?after=a&after=b", "?after=nonsense"])
def test_the_address_takes_nothing_but_what_it_takes(hasty: Server, session: str, query: str) -> None:
    with Socket(hasty) as socket:
        assert socket.open(f"/ws/sessions/{session}{query}", key=KEY).status == 101
        assert socket.closed_with() == 4400


@pytest.mark.parametrize(
    ("path", "status"),
    [("/", 404), ("/ws", 404), ("/ws/sessions/%00", 404), ("/ws/sessions/x?after=%00", 400),
     (f"/ws/sessions/x?{'a' * 8_000}", 101), (f"/ws/sessions/x?{'a' * 8_192}", 400)],
)  # fmt: skip
def test_a_handshake_elsewhere_is_refused_in_the_error_body(hasty: Server, path: str, status: int) -> None:
    with Socket(hasty) as socket:
        answer = socket.open(path, key=KEY)
        assert answer.status == status
        if status != 101:
            assert_error(answer, status, answer.document["code"])


# -- what is too much ------------------------------------------------------------------------------------------------


def test_a_flood_of_commands_keeps_nobody_else_waiting(hasty: Server, session: str) -> None:
    before = resident_kib(hasty)
    with opened(hasty, session) as flood, opened(hasty, session) as other:
        flood.socket.setblocking(False)
        sent = 0
        for i in range(50):
            with suppress(OSError):
                sent += flood.socket.send(command(action="ping", ref="x") * 20_000)
            assert other.say(command(action="ping", ref=str(i))).answer_to(str(i))["ok"]
        assert resident_kib(hasty) - before < 50 * 1024
    assert sent > 20_000


def test_pings_whose_answers_nobody_takes_are_not_piled_up(hasty: Server, session: str) -> None:
    before = resident_kib(hasty)
    pings = frame(PING, b"p" * 125) * 8_000
    taken = 0
    with opened(hasty, session) as socket:
        socket.socket.setblocking(False)
        # Until they are not read on, which shows in that nothing more is taken for some seconds.
        while taken < 200 * MIB and select([], [socket.socket], [], 3)[1]:
            taken += socket.socket.send(pings[taken % len(pings) :])
        assert taken < 100 * MIB
        assert resident_kib(hasty) - before < 50 * 1024


def test_strangers_at_the_door_are_sent_away_and_leave_nothing(hasty: Server, session: str) -> None:
    before = resident_kib(hasty)
    for _ in range(5):
        with ExitStack() as stack:
            sockets = [stack.enter_context(Socket(hasty)) for _ in range(40)]
            for socket in sockets:
                assert socket.open(f"/ws/sessions/{session}").status == 101
                assert socket.closed_with() == 4401
    assert resident_kib(hasty) - before < 50 * 1024
    web = hasty.pids("web")[0]
    assert len(list(Path(f"/proc/{web}/fd").iterdir())) < 200
