"""The outermost layer: what holds for every request, whoever answers it.

A request gets its id here, its body is measured here as it arrives, what nobody caught becomes the error body, and
every answer gets the headers that tell a browser what it may not do with it.
"""

import asyncio
import logging
import re
from urllib.parse import unquote_to_bytes
from uuid import uuid4

from django.conf import settings
from structlog.contextvars import bound_contextvars

from core.asgi import (
    KEY_HEADERS,
    SECURITY_HEADERS,
    App,
    Message,
    Receive,
    Scope,
    Send,
    client_address,
    refuse_handshake,
    send_error,
)
from core.counting import one_more_wrong
from core.errors import AppError, BadRequest, Internal, NotFound, RateLimited, TooLarge, UnsupportedMediaType
from core.http import as_app_error

log = logging.getLogger("agent_server.http")

Headers = tuple[tuple[bytes, bytes], ...]

_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,128}")
# In bytes: a path with its query, and all headers together.
LONGEST_TARGET = 8_192
LARGEST_HEAD = 65_536
# RFC 6797: for a year only https is used for this name.
HSTS = (b"strict-transport-security", b"max-age=31536000")
# A client that is still sending may lose an early answer, so some more of its body is read, for this long.
DRAIN_S = 2.0


class TargetTooLong(BadRequest):
    """The path and query have more than 8192 bytes."""

    status = 414


class HeadTooLarge(BadRequest):
    """The headers have more than 65536 bytes."""

    status = 431


class Edge:
    """Wraps the whole ASGI application.

    `max_body_bytes` bounds a body, whatever its headers claim (default: Django's own setting). `uploads` is the path
    under which forms may carry files; elsewhere a multipart body is 415. `https`: browsers are told to come by https
    only.
    """

    def __init__(self, app: App, *, max_body_bytes: int | None = None, uploads: str = "/admin/", https: bool = False):
        self._app = app
        self._max_body = max_body_bytes or settings.DATA_UPLOAD_MAX_MEMORY_SIZE
        self._uploads = uploads
        self._headers = (*SECURITY_HEADERS, HSTS) if https else SECURITY_HEADERS

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in {"http", "websocket"}:
            await self._app(scope, receive, send)
            return
        identifier = _request_id(scope)
        scope.setdefault("state", {})["request_id"] = identifier
        with bound_contextvars(request_id=identifier):
            if scope["type"] == "http":
                await self._http(scope, receive, send)
            else:
                await self._websocket(scope, receive, send)

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = _Body(receive, self._max_body)
        answer = _Answer(send, scope, self._headers)
        try:
            _refuse(scope)
            _refuse_body(scope, self._max_body, self._uploads)
            await self._app(scope, body.receive, answer.send)
            return
        except Exception as exception:
            if answer.started:
                # The server logs it and cuts the connection: half an answer must not pass for a whole one.
                raise
            error = as_app_error(exception)
            if error is None:
                log.exception("Unhandled error")
                error = Internal()
            elif error.status == 503:
                log.error("The database cannot be reached: %s", exception)
        await body.drain(scope)
        # Whoever goes on sending is let go: what is left of the body would be read as long as it lasts.
        await send_error(answer.send, error, scope, {} if body.ended else {"connection": "close"})

    async def _websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            _refuse(scope)
        except AppError as error:
            await refuse_handshake(send, error, scope)
            return
        try:
            await self._app(scope, receive, send)
        except Exception:
            log.exception("Unhandled error in a websocket")
            # The server closes the socket with 1011 when the application fails.
            raise


def _request_id(scope: Scope) -> str:
    for name, value in scope["headers"]:
        if name == b"x-request-id" and _REQUEST_ID.fullmatch(value):
            given: str = value.decode("ascii")
            return given
    return uuid4().hex


def _refuse(scope: Scope) -> None:
    # PostgreSQL stores no NUL, and no name or filter has one.
    if "\x00" in scope["path"]:
        raise NotFound
    query = scope["query_string"]
    if len(scope["path"]) + len(query) > LONGEST_TARGET:
        raise TargetTooLong
    if sum(len(name) + len(value) + 4 for name, value in scope["headers"]) > LARGEST_HEAD:
        raise HeadTooLarge
    if b"%00" in query or b"\x00" in query or not query.isascii():
        raise BadRequest("The query has a NUL character or one that is not percent-encoded.")
    if b"%" in query and not _is_utf8(unquote_to_bytes(query)):
        raise BadRequest("The query is not UTF-8.")


def _refuse_body(scope: Scope, max_body: int, uploads: str) -> None:
    for name, value in scope["headers"]:
        if name == b"content-length":
            if not value.isdigit():
                raise BadRequest("The Content-Length header is not a number.")
            if len(value) > 18 or int(value) > max_body:
                raise _too_large(max_body)
        elif name == b"content-encoding" and value.strip().lower() not in {b"", b"identity"}:
            raise UnsupportedMediaType
        elif name == b"content-type" and _is_multipart(value) and not scope["path"].startswith(uploads):
            # Its parts would be read before the view is asked, and nothing but the admin takes any.
            raise UnsupportedMediaType("A multipart body is not taken here.")


def _is_multipart(media_type: bytes) -> bool:
    return media_type.lstrip()[:10].lower() == b"multipart/"


def _is_utf8(text: bytes) -> bool:
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True


def _too_large(limit: int) -> AppError:
    return TooLarge(f"The body has more than {limit} bytes.")


class _Body:
    """The receiving side: counts the body's bytes as they arrive."""

    __slots__ = ("_limit", "_receive", "_received", "ended")

    def __init__(self, receive: Receive, limit: int):
        self._receive = receive
        self._limit = limit
        self._received = 0
        self.ended = False

    async def receive(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.request":
            self._received += len(message.get("body", b""))
            if self._received > self._limit:
                raise _too_large(self._limit)
            self.ended = not message.get("more_body", False)
        else:
            self.ended = True
        return message

    async def drain(self, scope: Scope) -> None:
        """Read and drop the rest of the body: as much as the limit, and not for long."""
        # Who asks first (Expect: 100-continue) is still waiting and has sent nothing.
        if self.ended or any(name == b"expect" for name, _ in scope["headers"]):
            return
        self._received = 0
        try:
            async with asyncio.timeout(DRAIN_S):
                while not self.ended:
                    await self.receive()
        except (TimeoutError, TooLarge):
            return


class _Answer:
    """The sending side: adds the headers that every answer has, where it does not have its own."""

    __slots__ = ("_headers", "_muted", "_scope", "_send", "started")

    def __init__(self, send: Send, scope: Scope, headers: Headers):
        self._send = send
        self._scope = scope
        self._headers = headers
        self._muted = False
        self.started = False

    async def send(self, message: Message) -> None:
        if self._muted:
            return
        if message["type"] == "http.response.start":
            if message["status"] == 401 and (wait_s := self._wrong_too_often()):
                error = RateLimited("Too many wrong keys came from this address.", retry_after=wait_s)
                await send_error(self.send, error, self._scope)
                self._muted = True  # the other answer's body
                return
            self.started = True
            own = list(message.get("headers", ()))
            names = {name.lower() for name, _ in own}
            message["headers"] = [
                *own,
                (b"x-request-id", self._scope["state"]["request_id"].encode("ascii")),
                *(header for header in self._headers if header[0] not in names),
            ]
        await self._send(message)

    def _wrong_too_often(self) -> int:
        if not any(name in KEY_HEADERS for name, _ in self._scope["headers"]):
            return 0  # asked without a key, which is no guess at one
        return one_more_wrong(client_address(self._scope))
