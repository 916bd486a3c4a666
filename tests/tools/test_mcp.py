import asyncio
import logging
import socket
import threading

import pytest
from starlette.types import Receive, Scope, Send

from tests.stubs.mcp_server import McpStub, answering, failing, hang, redirecting
from tests.tools.mcp_entries import HTTP_TRANSPORTS, LONG, SHORT, allow, ask, at, real, url
from tools.mcp import probe_all
from tools.mcp.connection import connect
from tools.mcp.failure import McpFailure
from tools.mcp.probe import probe

pytestmark = pytest.mark.usefixtures("mcp_settings")
TOKEN = "the-token-of-the-database"
ENDLESS = answering(b": comment\n" * 10_000, kind=b"text/event-stream")


# -- reachable -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("transport", [*HTTP_TRANSPORTS, "stdio"])
def test_a_server_that_lists_its_tools_is_reachable(stub: McpStub, transport: str) -> None:
    assert ask(real(stub, transport)) == ""


def test_a_server_that_answers_in_json_is_reachable() -> None:
    with McpStub(json_response=True) as stub:
        assert ask(at(url(stub))) == ""


def test_a_server_that_knows_no_handshake_is_reachable() -> None:
    refusal = failing(-32022, "Unsupported protocol version", {"supported": ["2026-07-28"], "requested": "2025-11-25"})
    with McpStub(methods={"initialize": refusal}) as stub:
        assert ask(at(url(stub))) == ""
        assert [request.body["method"] for request in stub.asked] == ["initialize", "server/discover", "tools/list"]


def test_a_bad_farewell_does_not_matter() -> None:
    async def stay(scope: Scope, receive: Receive, send: Send) -> None:
        await (hang if scope["method"] == "DELETE" else stub.mcp)(scope, receive, send)

    with McpStub({"/mcp": stay}) as stub:
        assert ask(at(url(stub))) == ""


def test_findings_come_in_the_order_of_the_servers(stub: McpStub) -> None:
    servers = [at(url(stub, "/nothing")), at(url(stub)), at(url(stub, "/page"), "sse"), at(url(stub, "/sse"), "sse")]
    found = probe_all(servers, seconds=LONG)
    assert [bool(message) for message in found] == [True, False, True, False]
    assert probe_all([]) == []


def test_all_are_asked_at_the_same_time() -> None:
    met = threading.Barrier(2)

    async def meet(scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.to_thread(met.wait, LONG)
        await answering(b"", status=404)(scope, receive, send)

    with McpStub({"/one": meet, "/two": meet}, {"server/discover": answering(b"", status=404)}) as stub:
        probe_all([at(url(stub, "/one")), at(url(stub, "/two"))], seconds=LONG)
    assert not met.broken


async def test_a_session_tells_who_the_server_is_and_calls_its_tools(stub: McpStub) -> None:
    async with connect(at(url(stub)), seconds=LONG, max_bytes=100_000) as session:
        assert session.server_info is not None
        assert (session.server_info.name, session.server_info.version) == ("stub", "1.2.3")
        answer = await session.call_tool("add", {"a": 1, "b": 2})
    assert answer.content[0].text == "3"  # type: ignore[union-attr]


async def test_what_the_body_raises_comes_out_of_a_session(stub: McpStub) -> None:
    with pytest.raises(ZeroDivisionError):
        async with connect(at(url(stub)), seconds=LONG, max_bytes=100_000):
            raise ZeroDivisionError


async def test_a_session_whose_server_goes_away_ends() -> None:
    broken = {"tools/call": answering(b"", status=502)}
    with McpStub(methods=broken) as stub, pytest.raises(McpFailure, match="it answered 502 Bad Gateway"):
        async with connect(real(stub, "sse"), seconds=LONG, max_bytes=100_000) as session:
            await session.call_tool("add", {"a": 1, "b": 2})


# -- not reachable ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("transport", HTTP_TRANSPORTS)
def test_nobody_at_the_port(transport: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    server = at(f"http://127.0.0.1:{port}/mcp?key=mine", transport)
    reached = f"http://127.0.0.1:{port}/mcp"
    assert ask(server) == f"The MCP server 'db' cannot be reached at {reached}: connection refused."


@pytest.mark.parametrize("transport", HTTP_TRANSPORTS)
def test_an_address_that_nothing_is_at(stub: McpStub, transport: str) -> None:
    assert ask(at(url(stub, "/nothing"), transport)).endswith("/nothing: it answered 404 Not Found.")


@pytest.mark.parametrize(
    ("transport", "told"),
    [
        ("streamable_http", "it answered with an error: Unexpected content type: text/html."),
        ("sse", "what answers is no stream of events."),
    ],
)
def test_a_web_page(stub: McpStub, transport: str, told: str) -> None:
    assert ask(at(url(stub, "/page"), transport)).endswith(told)


@pytest.mark.parametrize("path", ["/redirect", "/away"])
@pytest.mark.parametrize("transport", HTTP_TRANSPORTS)
def test_redirects_are_not_followed(transport: str, path: str) -> None:
    with McpStub() as trap, McpStub({"/redirect": redirecting("/mcp"), "/away": redirecting(url(trap))}) as stub:
        assert "redirect, which is not followed" in ask(at(url(stub, path), transport))
        assert {request.path for request in stub.asked} == {path}
        assert not trap.asked


@pytest.mark.parametrize("transport", HTTP_TRANSPORTS)
def test_a_server_that_hangs(stub: McpStub, transport: str) -> None:
    told = ask(at(url(stub, "/hang"), transport), seconds=SHORT)
    assert told.endswith("/hang: there was no answer within 0.3 seconds.")


@pytest.mark.parametrize("method", ["notifications/initialized", "tools/list"])
@pytest.mark.parametrize("transport", HTTP_TRANSPORTS)
def test_a_server_that_hangs_later(transport: str, method: str) -> None:
    with McpStub(methods={method: hang}) as stub:
        assert "no answer within 1 seconds" in ask(real(stub, transport), seconds=1)


@pytest.mark.parametrize("method", ["initialize", "tools/list"])
@pytest.mark.parametrize("transport", HTTP_TRANSPORTS)
def test_a_server_that_refuses(transport: str, method: str) -> None:
    with McpStub(methods={method: answering(b"", status=401)}) as stub:
        assert ask(real(stub, transport)).endswith("it answered 401 Unauthorized.")


@pytest.mark.parametrize("transport", HTTP_TRANSPORTS)
async def test_a_giant_answer(transport: str) -> None:
    with McpStub({"/big": answering(b"x" * 100_000), "/endless": ENDLESS}) as stub:
        path = "/endless" if transport == "sse" else "/big"
        told = await probe(at(url(stub, path), transport), seconds=LONG, max_bytes=50_000)
    assert told.endswith("The answer is longer than 50000 bytes.")


async def test_a_giant_stream_of_events_as_an_answer() -> None:
    with McpStub({"/endless": ENDLESS}) as stub:
        told = await probe(at(url(stub, "/endless")), seconds=LONG, max_bytes=50_000)
    assert told.endswith("The answer is longer than 50000 bytes.")


@pytest.mark.parametrize("transport", HTTP_TRANSPORTS)
def test_a_compressed_answer_is_not_unpacked(transport: str) -> None:
    with McpStub({"/packed": answering(b"", content_encoding=b"gzip")}) as stub:
        assert "compressed although" in ask(at(url(stub, "/packed"), transport))


@pytest.mark.parametrize(
    "body",
    [b"", b"nonsense", b"[]", b"[" * 100_000, b'{"jsonrpc": "2.0", "id": 1, "result": {}}', b'{"result": 1}'],
    ids=["empty", "nonsense", "list", "deep", "no-greeting", "no-json-rpc"],
)
def test_an_answer_that_makes_no_sense(body: bytes) -> None:
    with McpStub({"/odd": answering(body)}) as stub:
        assert ask(at(url(stub, "/odd"))).endswith("what it answers is not MCP.")


@pytest.mark.parametrize("events", [b"", b": welcome\n\n"])
def test_a_stream_of_events_that_ends_before_it_has_begun(events: bytes) -> None:
    with McpStub({"/odd": answering(events, kind=b"text/event-stream")}) as stub:
        assert ask(at(url(stub, "/odd"), "sse")).endswith("its stream of events has ended.")


@pytest.mark.parametrize("events", [b"data: 1\n\n", b"event: message\ndata: x\n\n"])
def test_events_that_make_no_sense(events: bytes) -> None:
    with McpStub({"/odd": answering(events, kind=b"text/event-stream")}) as stub:
        assert "cannot be reached" in ask(at(url(stub, "/odd"), "sse"), seconds=SHORT)


def test_a_stream_of_events_that_leads_elsewhere() -> None:
    with McpStub() as trap:
        events = f"event: endpoint\ndata: {url(trap)}\n\n".encode()
        with McpStub({"/odd": answering(events, kind=b"text/event-stream")}) as stub:
            assert ask(at(url(stub, "/odd"), "sse"), seconds=SHORT)
        assert not trap.asked


@pytest.mark.parametrize("transport", HTTP_TRANSPORTS)
def test_an_internal_address_is_not_called(stub: McpStub, transport: str) -> None:
    allow(hosts=())
    before = len(stub.asked)
    told = ask(at(url(stub), transport))
    assert told.endswith(": The server does not connect to the internal address 127.0.0.1.")
    assert len(stub.asked) == before


def test_a_name_of_an_internal_address_is_not_called(monkeypatch: pytest.MonkeyPatch, stub: McpStub) -> None:
    port = int(stub.address.partition(":")[2])
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [(2, 1, 6, "", ("127.0.0.1", port))])
    before = len(stub.asked)
    assert "it is an internal address" in ask(at(f"http://tools.example:{port}/mcp"))
    assert len(stub.asked) == before


@pytest.mark.parametrize("address", ["http://[::/mcp", "http://127.0.0.1:99999/mcp", "http://user@127.0.0.1/mcp"])
def test_an_address_that_is_none(address: str) -> None:
    assert ask(at(address)).startswith("The MCP server 'db' cannot be reached at http://")


def test_a_name_server_that_hangs_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    released = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: released.wait(LONG) and [])
    try:
        assert "no answer within 0.3 seconds" in ask(at("http://tools.example/mcp"), seconds=SHORT)
        assert not released.is_set()
    finally:
        released.set()


# -- the token -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("transport", HTTP_TRANSPORTS)
def test_the_token_is_sent(monkeypatch: pytest.MonkeyPatch, transport: str) -> None:
    monkeypatch.setenv("MCP_TOKEN", f" {TOKEN}\n")
    with McpStub() as stub:
        assert ask({**real(stub, transport), "auth": {"type": "bearer", "token_env": "MCP_TOKEN"}}) == ""
        assert {request.headers["authorization"] for request in stub.asked} == {f"Bearer {TOKEN}"}


def test_without_auth_no_token_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MCP_TOKEN", TOKEN)
    with McpStub() as stub:
        assert ask(at(url(stub))) == ""
        assert not any("authorization" in request.headers for request in stub.asked)


@pytest.mark.parametrize(
    ("variable", "value", "told"),
    [
        ("MCP_TOKEN", None, "The environment variable MCP_TOKEN is not set"),
        ("MCP_TOKEN", " ", "The environment variable MCP_TOKEN is not set"),
        ("MCP_TOKEN", f"{TOKEN}\nX-Evil: 1", "What MCP_TOKEN holds cannot be sent as a key"),
        ("MCP_BOUND", TOKEN, "MCP_BOUND is not sent to 127.0.0.1"),
        ("DATABASE_PASSWORD", TOKEN, "DATABASE_PASSWORD may not be named: it must begin with one of OPENAI_"),
        ("OPENAI_API_KEY", TOKEN, "OPENAI_API_KEY is sent to its provider's own address only"),
    ],
)
def test_a_token_that_cannot_be_sent(
    monkeypatch: pytest.MonkeyPatch, stub: McpStub, variable: str, value: str | None, told: str
) -> None:
    monkeypatch.delenv(variable, raising=False)
    if value is not None:
        monkeypatch.setenv(variable, value)
    allow(secret_hosts=("MCP_BOUND=tools.example",))
    before = len(stub.asked)
    message = ask(at(url(stub), token_env=variable))
    assert told in message
    assert TOKEN not in message
    assert len(stub.asked) == before


@pytest.mark.parametrize("token", [TOKEN, "abc"])
@pytest.mark.parametrize("transport", HTTP_TRANSPORTS)
def test_a_server_that_repeats_the_token_is_not_quoted(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, transport: str, token: str
) -> None:
    monkeypatch.setenv("MCP_TOKEN", token)
    caplog.set_level(logging.DEBUG)
    for client in ("httpcore2", "httpx2"):  # as the server's own logging does
        caplog.set_level(logging.WARNING, client)
    said = f"Bearer {token}".encode()
    pages = {
        "/error": failing(-32600, f"no such token: Bearer {token}"),
        "/page": answering(b"", kind=said),
        "/json": answering(b'"' + said + b'"'),
        "/events": answering(b"event: endpoint\ndata: http://" + token.encode() + b"/\n\n", kind=b"text/event-stream"),
    }
    with McpStub(pages) as stub:
        told = [ask(at(url(stub, path), transport, token_env="MCP_TOKEN"), seconds=1) for path in pages]
    assert all(told)
    assert token not in " ".join(told)
    assert token not in caplog.text
