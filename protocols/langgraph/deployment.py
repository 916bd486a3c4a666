"""What langgraph.json says of this door: who comes in, routes of the deployment's own, how long documents are kept."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

from core.asgi import App, Message, Scope
from graphs.loading import load
from graphs.registry import config
from protocols.langgraph import auth
from runtime.langgraph_json import read_source
from sessions.models import TtlStrategy
from sessions.threads import Ttl
from webhooks.langgraph import deployments_headers

log = logging.getLogger(__name__)


class BrokenDeploymentError(Exception):
    """What langgraph.json names cannot be used; the message says what, in one line."""


class _Current:
    app: App | None = None
    # What the application's lifespan gives to its requests.
    state: dict[str, Any] = {}


class StoreTtl(NamedTuple):
    """For how many minutes a document is kept where its writer does not say, and whether reading begins that anew."""

    default_minutes: float | None
    refresh_on_read: bool


def store_ttl() -> StoreTtl:
    """The defaults of the store."""
    given = config().store.get("ttl", {})
    return StoreTtl(given.get("default_ttl"), given.get("refresh_on_read", True))


def thread_ttl() -> Ttl | None:
    """How long threads are kept whose client does not say it (`checkpointer.ttl`); None: for ever."""
    given = config().checkpointer.get("ttl", {})
    if (minutes := given.get("default_ttl")) is None:
        return None
    return Ttl(max(1, round(minutes * 60)), TtlStrategy(given.get("strategy", TtlStrategy.DELETE)))


def own_app() -> App | None:
    """The deployment's own application, for what this door does not serve."""
    return _Current.app


def own_routes_ask() -> bool:
    """Whether callers of its routes must be known, too (`http.enable_custom_route_auth`)."""
    return bool(config().http.get("enable_custom_route_auth"))


def for_own_app(scope: Scope, user: Any) -> Scope:
    """The request as Starlette's applications read one, with their state and who asks."""
    inner = {**scope, "state": {**_Current.state, **scope.get("state", {})}}
    if user is not None:
        inner |= {"user": user, "auth": _Credentials(list(user["permissions"]))}
    return inner


class _Credentials(NamedTuple):
    """As `starlette.authentication.AuthCredentials`."""

    scopes: list[str]


def prepare() -> None:
    """Import what langgraph.json names beside its graphs; blocking. Raises BrokenDeploymentError."""
    given = config()
    try:
        deployments_headers()
        auth.install(_named("auth.path", given.auth.get("path")))
    except ValueError as fault:
        raise BrokenDeploymentError(str(fault)) from fault
    _Current.app, _Current.state = _named("http.app", given.http.get("app")), {}
    if _Current.app is not None and not callable(_Current.app):
        raise BrokenDeploymentError("http.app: it is no ASGI application.")


def _named(what: str, path: str | None) -> Any:
    if path is None:
        return None
    given = config()
    source = read_source(path, given.folder, what)
    try:
        return load(source, given.paths)
    except Exception as error:
        # Whatever the deployment's own code raises.
        raise BrokenDeploymentError(f"{what}: {source} cannot be loaded: {type(error).__name__}: {error}") from error


@asynccontextmanager
async def running() -> AsyncIterator[None]:
    """What langgraph.json names is ready, and its application's lifespan goes on. Raises BrokenDeploymentError."""
    await asyncio.to_thread(prepare)
    if _Current.app is None:
        yield
        return
    lifespan = _Lifespan(_Current.app)
    _Current.state = await lifespan.begin()
    try:
        yield
    finally:
        await lifespan.end()


class _Lifespan:
    """The lifespan protocol of ASGI, from the server's side."""

    def __init__(self, app: App):
        self._app = app
        self._state: dict[str, Any] = {}
        self._to_app: asyncio.Queue[Message] = asyncio.Queue()
        self._from_app: asyncio.Queue[Message] = asyncio.Queue()
        self._task: asyncio.Task[None] | None = None

    async def begin(self) -> dict[str, Any]:
        """Start the application; gives what it keeps for its requests. One that knows no lifespan has none."""
        scope = {"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.0"}, "state": self._state}
        self._task = asyncio.create_task(self._carry_out(scope))
        await self._to_app.put({"type": "lifespan.startup"})
        answer = asyncio.create_task(self._from_app.get())
        await asyncio.wait([answer, self._task], return_when=asyncio.FIRST_COMPLETED)
        if not answer.done():
            answer.cancel()
            self._task = None
        elif answer.result()["type"] == "lifespan.startup.failed":
            raise BrokenDeploymentError(f"http.app: it did not start: {answer.result().get('message', '')}")
        return self._state

    async def end(self) -> None:
        if self._task is not None:
            await self._to_app.put({"type": "lifespan.shutdown"})
            await asyncio.wait([self._task])

    async def _carry_out(self, scope: Scope) -> None:
        try:
            await self._app(scope, self._to_app.get, self._from_app.put)
        except Exception:
            # Somebody else's application; one that knows no lifespan raises, by the protocol.
            log.debug("the application of http.app has no lifespan", exc_info=True)
