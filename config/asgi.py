"""The web role: edge -> hot routes | Django | websockets, and the lifespan of what they share."""

import asyncio
import os
from contextlib import suppress
from typing import Any

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
django_app = get_asgi_application()

# Django must be set up before the apps' modules are imported.
from channels.routing import URLRouter  # noqa: E402
from django.conf import settings  # noqa: E402
from django.urls import re_path  # noqa: E402

from accounts.authentication import authenticate_hot, authenticate_scope  # noqa: E402
from accounts.counters import COUNTERS  # noqa: E402
from accounts.rates import acount_request  # noqa: E402
from accounts.streams import STREAMS  # noqa: E402
from accounts.watch import WATCH  # noqa: E402
from assistants.hosted import ensure_defaults_everywhere  # noqa: E402
from config import status  # noqa: E402
from config.env import ENV  # noqa: E402
from core.asgi import App, Receive, Scope, Send, own_path, refuse_handshake  # noqa: E402
from core.callers import from_callers  # noqa: E402
from core.cors import Cors  # noqa: E402
from core.db import close_pool, open_pool  # noqa: E402
from core.edge import Edge  # noqa: E402
from core.errors import NotFound  # noqa: E402
from core.garbage import keep_what_is_loaded  # noqa: E402
from core.hot import Router  # noqa: E402
from core.mount import Mount  # noqa: E402
from protocols.langgraph import deployment  # noqa: E402
from protocols.langgraph import door as langgraph  # noqa: E402
from protocols.langgraph.v2.routing import websocket_urlpatterns as langgraph_sockets  # noqa: E402
from runs import hot as runs_hot  # noqa: E402
from runs.live import hub  # noqa: E402
from runs.routing import websocket_urlpatterns  # noqa: E402
from scheduling.trigger_calls import enabled_trigger  # noqa: E402
from scheduling.triggers import PREFIX  # noqa: E402
from sessions import hot as sessions_hot  # noqa: E402

POOL_SIZE = 16
TRIGGERS = "/triggers/"
CALLED = TRIGGERS + PREFIX

router = Router(authenticate_hot, admit=acount_request)
for part in (status.router, sessions_hot.router, runs_hot.router):
    router.include(part)


async def no_such_socket(scope: Scope, receive: Receive, send: Send) -> None:
    await refuse_handshake(send, NotFound(), scope)


websockets: App = URLRouter([*websocket_urlpatterns, *langgraph_sockets, re_path("", no_such_socket)])  # type: ignore[arg-type]


async def lifespan(receive: Receive, send: Send) -> None:
    """Open what the async routes share, and close it when the server stops."""
    assert (await receive())["type"] == "lifespan.startup"
    await open_pool(size=POOL_SIZE)
    try:
        async with deployment.running():
            background = asyncio.gather(hub().run(), WATCH.run(), ensure_defaults_everywhere())
            keep_what_is_loaded()
            await send({"type": "lifespan.startup.complete"})
            await receive()
            background.cancel()
            with suppress(asyncio.CancelledError):
                await background
    except deployment.BrokenDeploymentError as fault:
        await close_pool()
        await send({"type": "lifespan.startup.failed", "message": str(fault)})
        return
    await STREAMS.close()
    await COUNTERS.aclose()
    await close_pool()
    await send({"type": "lifespan.shutdown.complete"})


async def known_caller(scope: Scope) -> None:
    """Raises for a request whose sender nobody knows. Who calls a trigger shows no more, so far, than its address."""
    path = own_path(scope)
    if path.startswith(CALLED):
        await enabled_trigger(path.removeprefix(TRIGGERS)).arun()
    else:
        await authenticate_scope(scope)


async def serve(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "http":
        if langgraph.is_ours(scope):
            await langgraph.serve(scope, receive, send)
        elif not await router.handle(scope, receive, send):
            # Django reads a body whole before any view asks who sends it.
            await django_app(scope, from_callers(scope, receive, known_caller), send)  # type: ignore[arg-type]
    elif scope["type"] == "websocket":
        await websockets(scope, receive, send)
    else:
        await lifespan(receive, send)


mounted: App = Mount(serve, ENV.mount_prefix) if ENV.mount_prefix else serve
edge: App = Edge(
    mounted, max_body_bytes=ENV.max_body_bytes, uploads=f"{ENV.mount_prefix}/admin/", https=settings.OVER_HTTPS
)
application: Any = Cors(edge, ENV.cors_origins) if ENV.cors_origins else edge
