"""The async routes: the few that carry the load, without Django's request object and a thread per request.

    router = Router(authenticate=authenticate, admit=acount_request)

    @router.route("POST", "/sessions/{session_id}/runs", scope="runs:write")
    async def create(request: HotRequest) -> HotResponse:
        ...

Django serves the same addresses to browsers (browsable API) and answers whatever is not taken here. Errors
that a handler raises are answered by `core.edge`.
"""

import asyncio
import re
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol
from urllib.parse import parse_qsl
from uuid import UUID

from core.asgi import Receive, Scope, Send, header_map, own_path, request_id, send_document
from core.errors import BadRequest, FieldError, Invalid, UnsupportedMediaType
from core.ids import path_id
from core.strict_json import media_type, parse_json

Authenticate = Callable[[Scope, dict[str, str]], Awaitable["Caller | None"]]
Admit = Callable[[Any], Awaitable[None]]


class Caller(Protocol):
    """Who asks, as far as routing needs to know."""

    def require(self, scope: str) -> None: ...


def refuse_key(headers: Mapping[str, str]) -> None:
    """Raise `BadRequest` for an `Idempotency-Key`, on a write that does not take one.

    Who sends it relies on it: to ignore it would carry something out twice.
    """
    if "idempotency-key" in headers:
        raise BadRequest("Idempotency-Key is for requests that create something; this one does not take it.")


class ClientGoneError(Exception):
    """The client left before its request had arrived whole; nobody is there to be answered."""


@dataclass(slots=True)
class HotRequest:
    """A request read whole. Header names are in lower case; `identity` is None only on open routes."""

    method: str
    path: str
    params: dict[str, str]
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes
    identity: Any
    request_id: str

    def json(self) -> Any:
        """The body's document, None for an empty body.

        Raises `UnsupportedMediaType` and `BadRequest`.
        """
        if not self.body:
            return None
        content_type = self.headers.get("content-type", "")
        if content_type != "application/json" and media_type(content_type) != "application/json":
            raise UnsupportedMediaType
        return parse_json(self.body)

    def id(self, name: str) -> UUID:
        """The id in the path; raises `NotFound` for a malformed one, as for an unknown one."""
        return path_id(self.params[name])

    def only_query(self, *names: str) -> None:
        """Raise `Invalid` for a query key that is not one of `names`."""
        unknown = [name for name in self.query if name not in names]
        if unknown:
            errors = [FieldError(("query", name), "Unknown query parameter.") for name in unknown]
            raise Invalid(f"Unknown query parameter {unknown[0]!r}.", errors=errors)


@dataclass(slots=True)
class HotResponse:
    """A JSON answer."""

    document: Any
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class HotStream:
    """An answer in pieces, server-sent events as a rule: each frame is bytes ready to be sent; when the client leaves,
    `frames` is closed.

    `ended` is called once the stream is over, also where no frame was ever asked for.
    """

    frames: AsyncIterator[bytes]
    headers: dict[str, str] = field(default_factory=dict)
    ended: Callable[[], None] | None = None
    media_type: str = "text/event-stream; charset=utf-8"


Handler = Callable[[HotRequest], Awaitable[HotResponse | HotStream]]


@dataclass(frozen=True, slots=True)
class _Route:
    pattern: re.Pattern[str]
    handler: Handler
    scope: str | None
    idempotent: bool
    besides: frozenset[str]
    path: str
    body: Any


class Router:
    """Routes by method and path.

    `authenticate` gives the caller behind a scope and its headers, None for a request that is not for these routes,
    or raises. `admit` is asked once for each request of a caller who may make it, and raises where that is one too
    many. `lists`: query keys that may be given several times, whose values are then joined by commas.
    """

    def __init__(
        self, authenticate: Authenticate | None = None, *, admit: Admit | None = None, lists: Collection[str] = ()
    ):
        self._authenticate = authenticate
        self._admit = admit
        self._lists = frozenset(lists)
        self._routes: dict[str, list[_Route]] = {}

    def route(
        self,
        method: str,
        pattern: str,
        scope: str | None,
        *,
        idempotent: bool = False,
        besides: Collection[str] = (),
        body: Any = None,
    ) -> Callable[[Handler], Handler]:
        """Serve `method` at `pattern` ("/runs/{run_id}") to callers with `scope`; None opens it to all.

        `idempotent`: the handler honours an `Idempotency-Key`. `besides`: addresses that the pattern fits too and that
        are others', of other methods: there Django says that this one is not allowed. `body`: what it takes, as a
        pydantic model, for descriptions.
        """
        expression = re.compile(re.sub(r"\\{(\w+)\\}", r"(?P<\1>[^/]+)", re.escape(pattern)))

        def decorate(handler: Handler) -> Handler:
            self._routes.setdefault(method, []).append(
                _Route(expression, handler, scope, idempotent, frozenset(besides), pattern, body)
            )
            return handler

        return decorate

    def include(self, other: "Router") -> None:
        """Take over another router's routes; this one's authenticator serves them."""
        for method, routes in other._routes.items():
            self._routes.setdefault(method, []).extend(routes)

    def table(self) -> list[tuple[str, str, Handler, Any]]:
        """What is served, for descriptions: method, path, handler, and the model of its body, if it says one."""
        return [(method, r.path, r.handler, r.body) for method, routes in self._routes.items() for r in routes]

    def methods(self, path: str) -> list[str]:
        """The methods that are served at this path."""
        return sorted(
            method for method, routes in self._routes.items() if any(r.pattern.fullmatch(path) for r in routes)
        )

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> bool:
        """Answer, or return False with nothing consumed: then the request is Django's."""
        path = own_path(scope)
        for route in self._routes.get(scope["method"], ()):
            match = route.pattern.fullmatch(path)
            if match is not None and path not in route.besides:
                break
        else:
            return False
        headers = header_map(scope["headers"])
        identity = None
        # Before the body: who may not ask is not read.
        if route.scope is not None:
            assert self._authenticate is not None, "A router with closed routes needs an authenticator."
            identity = await self._authenticate(scope, headers)
            if identity is None:
                return False
            identity.require(route.scope)
            if self._admit is not None:
                await self._admit(identity)
        try:
            request = await self._read(scope, receive, route, match.groupdict(), headers, identity)
        except ClientGoneError:
            return True
        answer = await route.handler(request)
        if isinstance(answer, HotResponse):
            await send_document(send, answer.document, answer.status, answer.headers)
            return True
        try:
            await _stream(answer, receive, send)
        finally:
            if answer.ended is not None:
                answer.ended()
        return True

    async def _read(
        self,
        scope: Scope,
        receive: Receive,
        route: _Route,
        params: dict[str, str],
        headers: dict[str, str],
        identity: Caller | None,
    ) -> HotRequest:
        if scope["method"] != "GET" and not route.idempotent:
            refuse_key(headers)
        return HotRequest(
            method=scope["method"],
            path=own_path(scope),
            params=params,
            query=_query(scope["query_string"], self._lists),
            headers=headers,
            body=b"" if scope["method"] == "GET" else await _body(receive),
            identity=identity,
            request_id=request_id(scope),
        )


def _query(raw: bytes, lists: Collection[str]) -> dict[str, str]:
    if not raw:
        return {}
    query: dict[str, str] = {}
    for name, value in parse_qsl(raw.decode("latin-1"), keep_blank_values=True):
        if name in query and name not in lists:
            raise Invalid.at("query", name, message="Given twice.")
        query[name] = f"{query[name]},{value}" if name in query else value
    return query


async def _body(receive: Receive) -> bytes:
    message = await receive()
    if message["type"] == "http.request" and not message.get("more_body"):
        return bytes(message.get("body", b""))
    chunks = []
    while message["type"] == "http.request":
        chunks.append(message.get("body", b""))
        if not message.get("more_body"):
            return b"".join(chunks)
        message = await receive()
    raise ClientGoneError


async def _stream(stream: HotStream, receive: Receive, send: Send) -> None:
    # ASGI promises `http.disconnect` both when the client leaves and when the answer is complete, so that one
    # wait covers both; a stream costs one task beside the request's own.
    pump = asyncio.create_task(_pump(stream, send))
    try:
        while (await receive())["type"] != "http.disconnect":
            pass
    finally:
        pump.cancel()
        await asyncio.wait([pump])
    if not pump.cancelled():
        pump.result()


async def _pump(stream: HotStream, send: Send) -> None:
    headers = [
        (b"content-type", stream.media_type.encode("latin-1")),
        (b"cache-control", b"no-store"),
        (b"x-accel-buffering", b"no"),
        *((name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in stream.headers.items()),
    ]
    end = {"type": "http.response.body", "body": b""}
    try:
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        async for frame in stream.frames:
            await send({"type": "http.response.body", "body": frame, "more_body": True})
    except Exception:
        # The end of the answer ends the wait for the client too; the failure is raised there.
        await send(end)
        raise
    finally:
        if isinstance(stream.frames, AsyncGenerator):
            await stream.frames.aclose()
    await send(end)
