"""The few ASGI messages that are sent without Django."""

import math
from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping
from typing import Any
from uuid import uuid4

from core.errors import AppError
from core.strict_json import dump_json

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]
RawHeaders = Iterable[tuple[bytes, bytes]]

# What an answer says that does not say otherwise itself. Its data is private, it loads nothing and runs nothing, and no
# page may hold it in a frame; pages have policies of their own (`console.csp`).
SECURITY_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), display-capture=(), geolocation=(), microphone=(), payment=(), usb=()"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"x-frame-options", b"DENY"),
    (b"content-security-policy", b"default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"),
    (b"cache-control", b"no-store"),
)
# Where a key stands.
KEY_HEADERS = (b"authorization", b"x-api-key")


def header_map(raw: RawHeaders) -> dict[str, str]:
    """Headers by their lower-case names; a repeated one is joined, so that none is silently ignored."""
    headers: dict[str, str] = {}
    for raw_name, raw_value in raw:
        name, value = raw_name.decode("latin-1").lower(), raw_value.decode("latin-1")
        if name in headers:
            value = f"{headers[name]}{'; ' if name == 'cookie' else ', '}{value}"
        headers[name] = value
    return headers


def client_address(scope: Scope) -> str:
    """Who asks, as far as proxies that we believe tell it; empty where nobody knows, as over a Unix socket."""
    client = scope.get("client")
    return str(client[0]) if client else ""


def own_path(scope: Scope) -> str:
    """The path, without what everything is under (`core.mount`)."""
    path: str = scope["path"]
    return path.removeprefix(scope.get("root_path", ""))


def request_id(scope: Scope) -> str:
    """The id that the edge gave to this request, or a new one where there is no edge (in tests)."""
    given: str | None = scope.get("state", {}).get("request_id")
    return given or uuid4().hex


def error_headers(error: AppError) -> dict[str, str]:
    """The headers that go with an error's status."""
    headers = {}
    if error.status == 401:
        headers["www-authenticate"] = "Bearer"
    if error.retry_after is not None:
        headers["retry-after"] = str(max(1, math.ceil(error.retry_after)))
    if error.limit is not None:
        headers["x-ratelimit-limit"] = str(error.limit.allowed)
        headers["x-ratelimit-remaining"] = "0"
        headers["x-ratelimit-reset"] = headers["retry-after"]
    return headers


async def send_document(send: Send, document: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> None:
    """One whole JSON answer; one with the status 204 has no body."""
    body, raw = b"", []
    if status != 204:
        body = dump_json(document)
        raw = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    for name, value in (headers or {}).items():
        raw.append((name.lower().encode("latin-1"), value.encode("latin-1")))
    await send({"type": "http.response.start", "status": status, "headers": raw})
    await send({"type": "http.response.body", "body": body})


async def send_error(send: Send, error: AppError, scope: Scope, headers: Mapping[str, str] | None = None) -> None:
    """The one error body."""
    document = error.document(request_id(scope))
    await send_document(send, document, error.status, {**error_headers(error), **(headers or {})})


async def refuse_handshake(send: Send, error: AppError, scope: Scope) -> None:
    """Answer a websocket that was not accepted with the one error body, as HTTP."""
    if "websocket.http.response" not in scope.get("extensions", {}):
        await send({"type": "websocket.close"})
        return
    body = dump_json(error.document(request_id(scope)))
    headers = [
        (b"content-type", b"application/json"),
        (b"x-request-id", request_id(scope).encode("ascii")),
        *SECURITY_HEADERS,
    ]
    await send({"type": "websocket.http.response.start", "status": error.status, "headers": headers})
    await send({"type": "websocket.http.response.body", "body": body})
