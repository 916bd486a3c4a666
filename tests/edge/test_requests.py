"""Requests that are broken, or larger, slower or more than one answers: told so in the one error body, or let go."""

import time
from contextlib import ExitStack, suppress
from pathlib import Path
from select import select

import httpx
import pytest

from tests.edge.conftest import BODY_S
from tests.edge.wire import Answer, Wire, assert_error, head
from tests.servers import KEY, Server

pytestmark = pytest.mark.servers

MIB = 1_048_576
JSON = "Content-Type: application/json"
WRONG_KEY = "sk_wrong_0123456789abcdef0123"
# Who may take a body where: an async route, Django's routes, a form; and as whom.
TARGETS = ["/assistants", "/sessions/01a1b2c3-d4e5-7f60-8abc-0123456789ab/runs", "/login", "/nowhere", "/healthz"]


def ask(server: Server, data: bytes) -> Answer:
    with Wire(server) as wire:
        return wire.say(data).answer()


def resident_kib(server: Server) -> int:
    """What the web process has in memory."""
    status = Path(f"/proc/{server.pids('web')[0]}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0])


# -- what cannot be read ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "request_",
    [
        b"nonsense\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 40,  # TLS
        head("GET /healthz HTTP/9.9"),
        head("GET http:// HTTP/1.1"),
        head("POST /login HTTP/1.1", "Content-Length: -5"),
        head("POST /login HTTP/1.1", "Content-Length: 5", "Content-Length: 6"),
        head("POST /login HTTP/1.1", "Content-Length: 5", "Transfer-Encoding: chunked"),
        head("POST /login HTTP/1.1", "Transfer-Encoding: chunked") + b"xyz\r\n",
        head("GET /healthz HTTP/1.1", "Bad Header: 1"),
    ],
)
def test_what_is_not_http_is_a_400_in_the_error_body(hasty: Server, request_: bytes) -> None:
    with Wire(hasty) as wire:
        assert_error(wire.say(request_).answer(), 400, "bad_request")
        assert wire.ends()


@pytest.mark.parametrize(
    "target",
    ["/%2e%2e/%2e%2e/etc/passwd", "/../../etc/passwd", "//evil.example/x", "/static/../manage.py", "/static/%2e%2e/x",
     "/runs%2fx", "/%c0%af", "/%ff", "/%00", "/a%00b", "///", "/static//etc/passwd", "/runs/%2f..%2fadmin"],
)  # fmt: skip
def test_an_odd_path_leads_nowhere(hasty: Server, target: str) -> None:
    assert_error(ask(hasty, head(f"GET {target} HTTP/1.1", key=KEY)), 404, "not_found")


@pytest.mark.parametrize("host", ["", "a b", "exa mple.com", "[::1", "evil.example/x", "%00", "a@b"])
def test_nonsense_for_a_host_is_refused_or_makes_no_difference(hasty: Server, host: str) -> None:
    assert ask(hasty, head("GET /healthz HTTP/1.1", f"Host: {host}")).status in {200, 400}
    assert_error(ask(hasty, head("GET /assistants HTTP/1.1", f"Host: {host}", key=KEY)), 400, "bad_request")


def test_a_target_with_a_scheme_and_http_1_0_are_served(hasty: Server) -> None:
    assert ask(hasty, head(f"GET {hasty.url}/healthz HTTP/1.1")).status == 200
    with Wire(hasty) as wire:
        assert wire.say(head("GET /healthz HTTP/1.0")).answer().status == 200
        assert wire.ends()


# -- what is too large -----------------------------------------------------------------------------------------------


def test_a_long_address_and_large_headers_are_refused(hasty: Server) -> None:
    assert_error(ask(hasty, head(f"GET /{'a' * 8_192} HTTP/1.1")), 414, "bad_request")
    assert_error(ask(hasty, head(f"GET /healthz?{'a' * 8_192} HTTP/1.1")), 414, "bad_request")
    assert_error(ask(hasty, head("GET /healthz HTTP/1.1", f"X: {'a' * 65_536}")), 431, "bad_request")
    many = [f"X-{i}: {i}" for i in range(10_000)]
    assert_error(ask(hasty, head("GET /healthz HTTP/1.1", *many)), 431, "bad_request")


@pytest.mark.parametrize("endless", ["GET /", "GET / HTTP/1.1\r\nX: ", "POST /login HTTP/1.1\r\nX: y\r\n"])
def test_a_head_without_an_end_is_not_read_on(hasty: Server, endless: str) -> None:
    with Wire(hasty) as wire:
        wire.say(endless.encode())
        for _ in range(100):
            wire.say(b"X-Y: zzzzzzzz\r\n" * 7_000 if endless.endswith("\n") else b"z" * 100_000)
        assert_error(wire.answer(), 431, "bad_request")


def test_the_frame_around_a_body_is_not_read_on_either(hasty: Server) -> None:
    chunked = head("POST /assistants HTTP/1.1", JSON, "Transfer-Encoding: chunked", key=KEY)
    for start, more in ((b"1;", b"x" * 100_000), (b"2\r\n{}\r\n0\r\n", b"X-Y: zzzzzzzz\r\n" * 7_000)):
        with Wire(hasty) as wire:
            wire.say(chunked + start)
            for _ in range(50):
                wire.say(more)
            assert wire.answer().status in {400, 431}


def test_a_body_that_says_it_is_too_large_is_a_413(hasty: Server) -> None:
    with ExitStack() as stack:
        wires = [
            stack.enter_context(Wire(hasty)).say(
                head(f"POST {target} HTTP/1.1", JSON, f"Content-Length: {50 * MIB}", key=key)
            )
            for target in TARGETS
            for key in (None, WRONG_KEY, KEY)
        ]
        for wire in wires:
            assert_error(wire.answer(), 413, "too_large")


@pytest.mark.parametrize("key", [None, WRONG_KEY])
def test_a_stranger_is_not_read_beyond_a_forms_worth(hasty: Server, key: str | None) -> None:
    # All of them at once: each is listened to for a while after its answer.
    with ExitStack() as stack:
        told, chunked = ([stack.enter_context(Wire(hasty)) for _ in TARGETS] for _ in range(2))
        for wire, target in zip(told, TARGETS, strict=True):
            wire.say(head(f"POST {target} HTTP/1.1", JSON, f"Content-Length: {5 * MIB}", key=key))
        for wire, target in zip(chunked, TARGETS, strict=True):
            wire.say(head(f"POST {target} HTTP/1.1", JSON, "Transfer-Encoding: chunked", key=key))
            wire.say((b"%x\r\n" % 65_536 + b" " * 65_536 + b"\r\n") * 20)
        for wire in (*told, *chunked):
            # To the first of them before a byte of the body was sent.
            assert_error(wire.answer(), 401, "unauthenticated")


def test_who_has_a_key_may_send_as_much_as_is_allowed_and_no_more(hasty: Server) -> None:
    large = b'{"name": "x", "description": "' + b"d" * (9 * MIB) + b'"}'
    whole = head("POST /assistants HTTP/1.1", JSON, f"Content-Length: {len(large)}", key=KEY) + large
    assert ask(hasty, whole).status == 422
    with Wire(hasty) as wire:
        wire.say(head("POST /assistants HTTP/1.1", JSON, "Transfer-Encoding: chunked", key=KEY))
        for _ in range(12):
            wire.say(b"%x\r\n" % MIB + b" " * MIB + b"\r\n")
        assert_error(wire.answer(), 413, "too_large")


def test_a_body_of_very_many_very_small_chunks_is_a_body(hasty: Server) -> None:
    body = b'{"name": "x", "description": "' + b"d" * 500_000 + b'"}'
    with Wire(hasty) as wire:
        wire.say(head("POST /assistants HTTP/1.1", JSON, "Transfer-Encoding: chunked", key=KEY))
        wire.say(b"".join(b"1\r\n%c\r\n" % byte for byte in body) + b"0\r\n\r\n")
        assert_error(wire.answer(), 422, "invalid")


def test_many_large_offers_leave_the_memory_as_it_was(hasty: Server) -> None:
    offer = b" " * MIB
    before = resident_kib(hasty)
    taken, most = 0, before
    with ExitStack() as stack:
        wires = [stack.enter_context(Wire(hasty)) for _ in range(200)]
        for i, wire in enumerate(wires):
            target, key = TARGETS[i % len(TARGETS)], (None, WRONG_KEY)[i % 2]
            offered = head(f"POST {target} HTTP/1.1", JSON, "Transfer-Encoding: chunked", key=key)
            wire.say(offered + b"%x\r\n" % (50 * MIB))
            wire.socket.setblocking(False)
        for _ in range(20):
            for wire in wires:
                with suppress(OSError):
                    taken += wire.socket.send(offer)  # as much as is taken
            most = max(most, resident_kib(hasty))
    assert taken > 200 * MIB
    assert most - before < 100 * 1024
    assert hasty.client.get("/healthz").status_code == 200


def test_a_form_has_a_bounded_number_of_fields_and_no_files(hasty: Server) -> None:
    with httpx.Client(base_url=hasty.url, timeout=30) as client:
        # Over https only, so that the client does not send it by itself.
        token = client.get("/login").cookies["csrftoken"]
        token = {"X-CSRFToken": token, "Cookie": f"csrftoken={token}"}
        assert client.post("/login", headers=token, data={f"f{i}": "" for i in range(900)}).status_code == 401
        many = client.post("/login", headers=token, data={f"f{i}": "" for i in range(5_000)})
        assert (many.status_code, many.json()["code"]) == (400, "bad_request")
        files = client.post("/login", headers=token, files={"f": b"x"})
        assert (files.status_code, files.json()["code"]) == (415, "unsupported_media_type")


# -- what does not come ----------------------------------------------------------------------------------------------


def test_a_head_that_does_not_come_is_let_go(hasty: Server) -> None:
    begun = [b"GE", b"GET / HTTP/1.1\r\nHost: x\r\nX: ", b"", b"\r\n\r\n"]
    with ExitStack() as stack:
        wires = [stack.enter_context(Wire(hasty)).say(data) for data in begun]
        for wire in wires[:2]:
            assert_error(wire.answer(), 408, "bad_request")
        assert all(wire.ends() for wire in wires)


def test_a_head_that_drips_is_let_go(hasty: Server) -> None:
    with Wire(hasty) as wire:
        wire.say(head("GET /healthz HTTP/1.1")).answer()
        wire.say(b"GET / HTTP/1.1\r\n")
        for _ in range(100):
            if select([wire.socket], [], [], 0.2)[0]:
                break
            wire.say(b"X: y\r\n")
        assert_error(wire.answer(), 408, "bad_request")


def test_a_body_that_does_not_come_is_let_go(hasty: Server) -> None:
    begun = [
        head("POST /assistants HTTP/1.1", JSON, "Content-Length: 100", key=KEY) + b"{",
        head("POST /assistants HTTP/1.1", JSON, "Transfer-Encoding: chunked", key=KEY) + b"5\r\n{",
        head("POST /login HTTP/1.1", "Content-Length: 100"),
    ]
    with ExitStack() as stack:
        wires = [stack.enter_context(Wire(hasty)).say(data) for data in begun]
        for wire in wires:
            assert_error(wire.answer(), 408, "bad_request")
            assert wire.ends()


def test_an_answer_that_takes_long_is_not_cut(hasty: Server, session: str) -> None:
    body = b'{"input": {"message": "Hello"}}'
    with Wire(hasty) as wire:
        made = wire.say(
            head(f"POST /sessions/{session}/runs HTTP/1.1", JSON, f"Content-Length: {len(body)}", key=KEY) + body
        ).answer()
        # Nobody carries the run out, so its stream says nothing for longer than a head or body may take; and what
        # comes after it waits as long.
        run = made.document["id"]
        wire.say(head(f"GET /runs/{run}/stream HTTP/1.1", key=KEY) + b"GET /healthz HT")
        heard = b""
        begun = time.monotonic()
        while (left := begun + BODY_S + 2 - time.monotonic()) > 0:
            if select([wire.socket], [], [], left)[0]:
                heard += wire.socket.recv(65_536)
        assert heard.startswith(b"HTTP/1.1 200")
        assert b"HTTP/1.1" not in heard[8:]
        assert not heard.endswith(b"0\r\n\r\n")


# -- more than one ---------------------------------------------------------------------------------------------------


def test_requests_sent_in_advance_are_answered_in_turn(hasty: Server) -> None:
    with Wire(hasty) as wire:
        wire.say(b"".join(head(f"GET /healthz?{i} HTTP/1.1", f"X-Request-Id: r{i}") for i in range(30)))
        assert [wire.answer().headers["x-request-id"] for _ in range(30)] == [f"r{i}" for i in range(30)]


def test_but_not_any_number_of_them(hasty: Server) -> None:
    with Wire(hasty) as wire:
        wire.say(head("GET /healthz HTTP/1.1") * 5_000)
        with pytest.raises((OSError, EOFError)):
            assert [wire.answer().status for _ in range(5_000)]


def test_a_body_longer_than_it_says_has_its_answer_and_is_the_last_on_its_connection(hasty: Server) -> None:
    body = b'{"name": ""}'
    understated = head("POST /assistants HTTP/1.1", JSON, f"Content-Length: {len(body)}", key=KEY)
    with Wire(hasty) as wire:
        wire.say(understated + body + b'{"more": 1}\r\n\r\n')
        assert_error(wire.answer(), 422, "invalid")
        assert wire.ends()
