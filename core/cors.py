"""Browsers of other origins: who may call, and what they may send and read.

No cookie is ever taken from another origin (`Access-Control-Allow-Credentials` is never sent): such pages send a key
or a ticket. A preflight carries neither, so it is answered here, before anybody asks who calls.
"""

from collections.abc import Collection

from core.asgi import SECURITY_HEADERS, App, Message, Receive, Scope, Send

ANY = "*"
MAX_AGE_S = 600
_METHODS = "GET, POST, PUT, PATCH, DELETE"
_REQUEST_HEADERS = (
    "Authorization, X-Api-Key, Content-Type, Idempotency-Key, If-Match, Last-Event-ID, X-Request-Id, Cache-Control"
)
_ANSWER_HEADERS = (
    "Location, Retry-After, X-RateLimit-Limit, X-RateLimit-Remaining, X-RateLimit-Reset, X-Request-Id, "
    "Idempotency-Replayed, Content-Location, X-Pagination-Total, X-Pagination-Next"
)


class Cors:
    """Wraps the whole ASGI application; `origins` may call it (`https://app.example.com`), or `*`: all."""

    def __init__(self, app: App, origins: Collection[str]):
        self._app = app
        self._origins = {origin.encode() for origin in origins}
        self._all = ANY in origins

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        origin = self._allowed_origin(scope)
        headers = self._headers(origin)

        async def add(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), *headers]
            await send(message)

        if origin is not None and _is_preflight(scope):
            await _answer_preflight(add)
        else:
            await self._app(scope, receive, add)

    def _allowed_origin(self, scope: Scope) -> bytes | None:
        if self._all:
            return b"*"
        origin = next((value for name, value in scope["headers"] if name == b"origin"), None)
        return origin if origin in self._origins else None

    def _headers(self, origin: bytes | None) -> list[tuple[bytes, bytes]]:
        """What lets the page read the answer; without an origin that may, nothing does."""
        # A cache must not give one origin what was said to another.
        headers = [] if self._all else [(b"vary", b"Origin")]
        if origin is not None:
            headers.append((b"access-control-allow-origin", origin))
            headers.append((b"access-control-expose-headers", _ANSWER_HEADERS.encode()))
        return headers


def _is_preflight(scope: Scope) -> bool:
    return scope["method"] == "OPTIONS" and any(
        name == b"access-control-request-method" for name, _ in scope["headers"]
    )


async def _answer_preflight(send: Send) -> None:
    headers = {
        "access-control-allow-methods": _METHODS,
        "access-control-allow-headers": _REQUEST_HEADERS,
        "access-control-max-age": str(MAX_AGE_S),
        "content-length": "0",
    }
    raw = [*((name.encode(), value.encode()) for name, value in headers.items()), *SECURITY_HEADERS]
    await send({"type": "http.response.start", "status": 204, "headers": raw})
    await send({"type": "http.response.body", "body": b""})
