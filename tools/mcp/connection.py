"""A session with an MCP server. Importing this loads the MCP library, which is slow: do it on first use."""

import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, contextmanager
from typing import Any

import anyio
import httpx2
from mcp import ClientSession, MCPError
from mcp.client.sse import sse_client
from mcp.client.streamable_http import streamable_http_client
from mcp_types import METHOD_NOT_FOUND, PARSE_ERROR, UNSUPPORTED_PROTOCOL_VERSION, Implementation

from core.url_guard import AnswerTooLong, BlockedUrl
from runtime.secrets import NO_SECRETS, Secrets
from tools.mcp import access
from tools.mcp.failure import Broken, McpFailure, Wire, no_answer, sentence, transport_reason
from tools.mcp.http import http_client
from tools.mcp.stdio import process_streams

# What the library logs of a failing server it says in the server's words, which may repeat a token. We tell it.
for _name in ("mcp", "client"):
    logging.getLogger(_name).setLevel(logging.CRITICAL + 1)

_US = Implementation(name="agent-server", version="0.1.0")
Streams = AbstractAsyncContextManager[tuple[Any, Any]]
# What servers answer to `initialize` that know only those versions of the protocol that have no handshake.
_WITHOUT_HANDSHAKE = frozenset({METHOD_NOT_FOUND, UNSUPPORTED_PROTOCOL_VERSION})
_FAILURES = (
    Broken,
    BlockedUrl,
    AnswerTooLong,
    MCPError,
    httpx2.HTTPError,
    anyio.BrokenResourceError,
    anyio.ClosedResourceError,
)
_NOT_MCP = "what it answers is not MCP"
# The library lets through what its parts raise at an answer that they did not expect.
_SENSELESS = (LookupError, RuntimeError, TypeError, ValueError)


@asynccontextmanager
async def connect(
    server: dict[str, Any], *, seconds: float, max_bytes: int, secrets: Secrets = NO_SECRETS
) -> AsyncIterator[ClientSession]:
    """A session with `server` (an entry of an assistant's `mcp_servers`), after the exchange of greetings.

    `secrets` are those that the entry may name.

    `seconds` bounds the time until then, and each HTTP exchange; SSE is one exchange as long as it lasts.
    `max_bytes` bounds each answer. Raises `McpFailure`, also where the connection fails under the body: this
    ends the body's wait. Other exceptions of the body come out as they are. Enter and leave it in one task.
    """
    token: str | None = None
    reason = ""
    with anyio.CancelScope(deadline=anyio.current_time() + seconds) as scope:
        wire = _wire(server, scope)
        try:
            token = access.token(server, secrets)
            async with AsyncExitStack() as stack:
                with understanding():
                    session = await _greeted(stack, server, wire, token, seconds, max_bytes)
                scope.deadline = float("inf")
                yield session
        except _FAILURES as error:
            reason = wire.failure or _reason(error)
        except ExceptionGroup as group:
            failures, others = group.split(_FAILURES)
            if failures is None or others is not None:
                # What the body raised, which the library has wrapped.
                raise _first(others or group) from group
            reason = wire.failure or _reason(_first(failures))
    if scope.cancelled_caught:
        reason = wire.failure or no_answer(seconds)
    if reason:
        raise McpFailure(sentence(server, reason, token))


@contextmanager
def understanding() -> Iterator[None]:
    """Around calls of a session: an answer that makes no sense ends the connection with `Broken`."""
    try:
        yield
    except _SENSELESS:
        raise Broken(_NOT_MCP) from None
    except ExceptionGroup as group:
        if group.subgroup(_SENSELESS) is None:
            raise
        raise Broken(_NOT_MCP) from None


def _wire(server: dict[str, Any], scope: anyio.CancelScope) -> Wire:
    if server["transport"] == "sse":
        # Here the library would wait for an answer that cannot come any more.
        return Wire(("GET", "POST"), scope.cancel)
    # A server need not offer the other exchanges of streamable HTTP.
    return Wire(("POST",))


async def _greeted(
    stack: AsyncExitStack, server: dict[str, Any], wire: Wire, token: str | None, seconds: float, max_bytes: int
) -> ClientSession:
    if server["transport"] == "stdio":
        command, environment = access.command(server), access.surroundings(server)
        streams: Streams = process_streams(command, environment, wire, max_bytes=max_bytes)
    else:
        client = http_client(wire, token, seconds=seconds, max_bytes=max_bytes)
        if server["transport"] == "sse":
            streams = sse_client(server["url"], httpx_client_factory=lambda *_, **__: client)
        else:
            await stack.enter_async_context(client)
            streams = streamable_http_client(server["url"], http_client=client)
    received, sent = await stack.enter_async_context(streams)
    session = await stack.enter_async_context(ClientSession(received, sent, client_info=_US))
    try:
        await session.initialize()
    except MCPError as error:
        if error.code not in _WITHOUT_HANDSHAKE:
            raise
        await session.discover()
    return session


def _reason(error: BaseException) -> str:
    if isinstance(error, MCPError):
        # The library's own, at length.
        if error.code == PARSE_ERROR:
            return _NOT_MCP
        return f"it answered with an error: {error.message}"
    if isinstance(error, httpx2.SSEError):
        return "what answers is no stream of events"
    if isinstance(error, BlockedUrl | AnswerTooLong | httpx2.HTTPError):
        return transport_reason(error)
    return str(error) or "the connection broke off"


def _first(group: BaseExceptionGroup[Exception]) -> BaseException:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
