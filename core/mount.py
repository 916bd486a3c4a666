"""Everything under one path, on a host that has others (`MOUNT_PREFIX`)."""

from django.conf import settings

from core.asgi import App, Receive, Scope, Send, refuse_handshake
from core.errors import NotFound


def address(path: str) -> str:
    """The path of one of our own addresses as clients ask for it."""
    return f"{settings.MOUNT_PREFIX}{path}"


class Mount:
    """Tells `app` by the `root_path` of a request that `prefix` in its path is not ours; what is not under it is 404.

    The prefix alone is our `/`.
    """

    def __init__(self, app: App, prefix: str):
        self._app = app
        self._prefix = prefix

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in {"http", "websocket"}:
            await self._app(scope, receive, send)
            return
        before, prefix, rest = scope["path"].partition(self._prefix)
        if before or not prefix or rest[:1] not in {"", "/"}:
            if scope["type"] == "http":
                raise NotFound
            await refuse_handshake(send, NotFound(), scope)
            return
        await self._app({**scope, "path": f"{prefix}{rest or '/'}", "root_path": prefix}, receive, send)
