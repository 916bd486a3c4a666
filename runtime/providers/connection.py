"""The connections to models: guarded, shared by all assistants of an event loop, and silent about the server."""

import asyncio
from weakref import WeakKeyDictionary

import httpx2

from core.url_guard import MAX_BYTES, MAX_SECONDS, GuardedTransport
from runtime.providers.access import Access, guard

# All that a compatible server needs. Whatever else the SDKs read from the environment (an organization, custom
# headers) was meant for the provider.
_SENT = frozenset(
    {
        "accept",
        "accept-encoding",
        "anthropic-beta",
        "anthropic-version",
        "connection",
        "content-length",
        "content-type",
        "host",
        "transfer-encoding",
        "user-agent",
    }
)

_transports: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[frozenset[str], GuardedTransport]] = WeakKeyDictionary()


def http_client(reached: Access, key_header: tuple[str, str], timeout_s: float) -> httpx2.AsyncClient:
    """A client for one model. `key_header` (name, value) is the only credential that it sends to an address which
    is neither the provider's nor the operator's; `timeout_s` bounds each wait."""
    shared = _shared_transport()
    transport = shared if reached.own else _ProtocolOnly(shared, key_header)
    return httpx2.AsyncClient(transport=transport, timeout=timeout_s, trust_env=False, follow_redirects=False)


async def close_connections() -> None:
    """Close the model connections of the running event loop; a worker does so before it ends."""
    for transport in _transports.pop(asyncio.get_running_loop(), {}).values():
        await transport.aclose()


class _ProtocolOnly(httpx2.AsyncBaseTransport):
    """Sends only the headers of the protocol. A copy of the request, because the SDKs read their own again."""

    def __init__(self, transport: httpx2.AsyncBaseTransport, key_header: tuple[str, str]):
        self._transport = transport
        self._key_header = key_header

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        headers = [(name, value) for name, value in request.headers.multi_items() if name.lower() in _SENT]
        sent = httpx2.Request(
            request.method,
            request.url,
            headers=[*headers, self._key_header],
            stream=request.stream,
            extensions=request.extensions,
        )
        return await self._transport.handle_async_request(sent)


def _shared_transport() -> GuardedTransport:
    # Shared, so that a new version of an assistant does not open connections of its own.
    chosen = guard()
    by_allowlist = _transports.setdefault(asyncio.get_running_loop(), {})
    key = chosen.allowlist.entries
    if key not in by_allowlist:
        by_allowlist[key] = GuardedTransport(chosen, max_seconds=MAX_SECONDS, max_bytes=MAX_BYTES)
    return by_allowlist[key]
