"""Every route that the server has, as its own tables say it."""

import re
from collections.abc import Iterator
from typing import Any

from django.urls import URLPattern, URLResolver, get_resolver
from rest_framework.views import APIView

from config.asgi import router
from protocols.langgraph.v2.routing import websocket_urlpatterns as langgraph_sockets
from runs.routing import websocket_urlpatterns

_PARAMETER = re.compile(r"<(?:\w+:)?(\w+)>")
METHODS = ("get", "post", "put", "patch", "delete")
ADMIN = "/admin/"


def _walk(patterns: list[URLPattern | URLResolver], before: str = "/") -> Iterator[tuple[str, Any]]:
    for pattern in patterns:
        path = before + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            yield from _walk(pattern.url_patterns, path)
        else:
            yield _PARAMETER.sub(r"{\1}", path), pattern.callback


def _django() -> list[tuple[str, Any]]:
    return list(_walk(get_resolver().url_patterns))


def api_routes() -> set[tuple[str, str]]:
    """Method and path of everything that DRF serves; those that the async routes take first are among them."""
    found = set()
    for path, callback in _django():
        view = getattr(callback, "cls", None)
        if view is not None and issubclass(view, APIView):
            served = getattr(callback, "actions", None) or [name for name in METHODS if hasattr(view, name)]
            found |= {(method.upper(), path) for method in served if method != "head"}
    return found


def pages() -> set[str]:
    """The paths of all else that Django serves, without the admin's."""
    found = {path for path, callback in _django() if not hasattr(callback, "cls")}
    return {path for path in found if not path.startswith(ADMIN)}


def admin_pages() -> list[str]:
    """The admin's paths; those that are written as expressions are left to `tests/doors/test_pages.py`."""
    return sorted({path for path, _ in _django() if path.startswith(ADMIN) and "(?P<" not in path})


def hot_routes() -> dict[tuple[str, str], str | None]:
    """Method and path of the async routes, with the scope that they ask for."""
    return {
        (method, re.sub(r"\(\?P<(\w+)>[^)]*\)", r"{\1}", route.pattern.pattern).replace("\\", "")): route.scope
        for method, routes in router._routes.items()
        for route in routes
    }


def sockets() -> set[str]:
    """The paths of the websockets."""
    return {path for path, _ in _walk([*websocket_urlpatterns, *langgraph_sockets])}
