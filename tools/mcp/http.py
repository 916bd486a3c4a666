"""The HTTP client for an MCP server: guarded, without redirects, and it tells the wire what goes wrong."""

from collections.abc import AsyncIterator
from http import HTTPStatus

import httpx2

from core.url_guard import AnswerTooLong, BlockedUrl, GuardedTransport
from runtime.configuration import current
from tools.mcp.failure import Broken, Wire, transport_reason

_FAILURES = (BlockedUrl, AnswerTooLong, httpx2.TransportError)


def http_client(wire: Wire, token: str | None, *, seconds: float, max_bytes: int) -> httpx2.AsyncClient:
    """A client for one connection. `seconds` bounds every exchange, a stream of events among them, and
    `max_bytes` each answer; `token` is sent along."""
    guarded = GuardedTransport(current().guard, max_seconds=seconds, max_bytes=max_bytes)
    headers = {"authorization": f"Bearer {token}"} if token else {}
    return httpx2.AsyncClient(
        transport=_Watched(guarded, wire), headers=headers, timeout=seconds, trust_env=False, follow_redirects=False
    )


class _Watched(httpx2.AsyncBaseTransport):
    def __init__(self, transport: httpx2.AsyncBaseTransport, wire: Wire):
        self._transport = transport
        self._wire = wire

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        try:
            response = await self._transport.handle_async_request(request)
        except _FAILURES as error:
            self._wire.note(request, transport_reason(error))
            raise
        if refusal := _refusal(response):
            await response.aclose()
            self._wire.note(request, refusal)
            raise Broken(refusal)
        self._wire.note(request, _status(response) if response.is_error else "")
        assert isinstance(response.stream, httpx2.AsyncByteStream)
        response.stream = _WatchedStream(response.stream, request, self._wire)
        return response

    async def aclose(self) -> None:
        await self._transport.aclose()


class _WatchedStream(httpx2.AsyncByteStream):
    def __init__(self, stream: httpx2.AsyncByteStream, request: httpx2.Request, wire: Wire):
        self._stream = stream
        self._request = request
        self._wire = wire

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for chunk in self._stream:
                yield chunk
            if self._request.method == "GET":
                self._wire.note(self._request, "its stream of events has ended")
        except _FAILURES as error:
            self._wire.note(self._request, transport_reason(error))
            raise

    async def aclose(self) -> None:
        await self._stream.aclose()


def _refusal(response: httpx2.Response) -> str:
    # The library would follow a redirect that stays with the host.
    if response.has_redirect_location:
        return "it answers with a redirect, which is not followed"
    return ""


def _status(response: httpx2.Response) -> str:
    try:
        phrase = HTTPStatus(response.status_code).phrase
    except ValueError:
        phrase = ""
    return f"it answered {response.status_code} {phrase}".rstrip()
