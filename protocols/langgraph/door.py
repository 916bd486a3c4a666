"""The door at `/langgraph`: its routes, who may come in, and its error body `{"detail": "..."}`.

A module of routes has a `router` of its own, which `ROUTES` below takes over.
"""

import re
from typing import Any

from accounts.rates import acount_request
from core.asgi import Message, Receive, Scope, Send, error_headers, header_map, own_path, send_document
from core.errors import AppError, MethodNotAllowed, NotFound
from core.hot import Router
from core.http import as_app_error
from core.redaction import everywhere
from protocols.langgraph import (
    assistant_graphs,
    assistants,
    crons,
    deployment,
    info,
    run_streams,
    runs,
    state,
    store,
    thread_streams,
    threads,
    waiting,
)
from protocols.langgraph.auth import Refused, User, user_of
from protocols.langgraph.callers import PREFIX, authenticate
from protocols.langgraph.v2 import commands, streams

# Query keys that clients repeat.
_LISTS = ("select", "stream_mode", "stream_modes")


router = Router(authenticate, admit=acount_request, lists=_LISTS)
ROUTES: tuple[Router, ...] = (
    assistants.router,
    assistant_graphs.router,
    threads.router,
    state.router,
    runs.router,
    run_streams.router,
    waiting.router,
    crons.router,
    thread_streams.router,
    streams.router,
    commands.router,
    store.router,
    info.router,
)
info.describes(router)
for part in ROUTES:
    router.include(part)


def is_ours(scope: Scope) -> bool:
    """Whether the request is for this door."""
    path = own_path(scope)
    return path == PREFIX or path.startswith(f"{PREFIX}/")


async def serve(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer a request below `/langgraph`. Raises what nobody expected, and whatever comes after an answer began."""
    inner: Scope = {**scope, "root_path": f"{scope.get('root_path', '')}{PREFIX}"}
    answer = _Answer(send)
    try:
        if not await router.handle(inner, receive, answer.send):
            await _elsewhere(inner, receive, answer)
    except Exception as exception:
        error = as_app_error(exception)
        if error is None or error.status >= 500 or answer.started:
            raise
        more = error.headers if isinstance(error, Refused) else {}
        await send_document(answer.send, _document(error), error.status, {**error_headers(error), **more})


async def _elsewhere(scope: Scope, receive: Receive, answer: "_Answer") -> None:
    """What is served here by another method, or with or without a slash; else the deployment's own routes."""
    path = own_path(scope) or "/"
    if (app := deployment.own_app()) is None or router.methods(path) or router.methods(_other(path)):
        await _refuse(scope, answer)
        return
    user = None
    if deployment.own_routes_ask():
        identity = await authenticate(scope, header_map(scope["headers"]))
        user = identity.user or user_of(identity.actor, identity.scopes)
    await app(deployment.for_own_app(scope, user and User(user)), receive, answer.send)


def _other(path: str) -> str:
    return path.rstrip("/") if path.endswith("/") else f"{path}/"


async def _refuse(scope: Scope, answer: "_Answer") -> None:
    path = own_path(scope) or "/"
    if methods := router.methods(path):
        error: AppError = MethodNotAllowed("Method Not Allowed")
        await send_document(answer.send, _document(error), error.status, {"allow": ", ".join(methods)})
        return
    other = _other(path)
    if path != "/" and router.methods(other):
        query = scope["query_string"].decode("latin-1")
        location = f"{scope['root_path']}{other}{'?' if query else ''}{query}"
        await send_document(answer.send, None, 307, {"location": location})
        return
    raise NotFound("Not Found")


def _document(error: AppError) -> dict[str, Any]:
    """The error as this protocol tells it: one text, with the places of what is wrong."""
    places = [f"{_place(fault.loc)}: {fault.message}" for fault in error.errors if fault.loc]
    return {"detail": everywhere.text("\n".join(places) or error.detail)}


def _place(loc: tuple[str | int, ...]) -> str:
    """Where in the body; without what tells apart the forms that a value may have, which no client knows."""
    return ".".join(str(part) for part in loc if not re.search(r"[\[(]", str(part)))


class _Answer:
    """Sends, and knows whether an answer has begun."""

    def __init__(self, send: Send):
        self._send = send
        self.started = False

    async def send(self, message: Message) -> None:
        self.started = True
        await self._send(message)
