"""What the door tells of itself: `/ok`, `/info`, `/metrics`, and its description with a page to read it."""

import asyncio
from collections.abc import AsyncIterator
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from asgiref.sync import sync_to_async
from django.conf import settings
from django.db import connection

from core.db import DATABASE_DOWN, Operation, Query, operation
from core.errors import Internal, Invalid
from core.hot import HotRequest, HotResponse, HotStream, Router
from graphs.registry import config
from protocols.langgraph.openapi import describe
from runs.server_figures import prometheus, queue_figures

CHECK_S = 3.0
# Swagger UI, from files of our own, loads what is told to it and styles itself.
PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "connect-src 'self'; font-src 'self' data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>LangGraph API</title>
<link rel="stylesheet" href="{static}drf_spectacular_sidecar/swagger-ui-dist/swagger-ui.css"></head>
<body><div id="docs"></div>
<script src="{static}drf_spectacular_sidecar/swagger-ui-dist/swagger-ui-bundle.js"></script>
<script src="docs.js"></script></body></html>
"""
_SCRIPT = 'SwaggerUIBundle({url: "openapi.json", dom_id: "#docs", deepLinking: true});\n'

router = Router()


@router.route("GET", "", scope=None)
@router.route("GET", "/", scope=None)
@router.route("GET", "/ok", scope=None)
async def ok(request: HotRequest) -> HotResponse:
    """The server answers; with `check_db=1` the database does, too, else this is 500."""
    if request.query.get("check_db", "0") not in {"0", "1"}:
        raise Invalid.at("query", "check_db", message="0 or 1.")
    if request.query.get("check_db") == "1":
        try:
            async with asyncio.timeout(CHECK_S):
                await _ask_database().arun()
        except (*DATABASE_DOWN, TimeoutError):
            raise Internal("The database cannot be reached.") from None
    return HotResponse({"ok": True, "services": {}})


@operation()
def _ask_database() -> Operation[None]:
    yield Query("SELECT 1")


@router.route("GET", "/info", scope="assistants:read")
async def info(request: HotRequest) -> HotResponse:
    """Which server this is, and what it can do."""
    return HotResponse(_info())


@cache
def _info() -> dict[str, Any]:
    return {
        "version": settings.SPECTACULAR_SETTINGS["VERSION"],
        "langgraph_py_version": _version("langgraph"),
        "flags": {
            "assistants": True,
            "crons": True,
            "langsmith": False,
            "langsmith_tracing_replicas": False,
            "langsmith_tracing_session_on_runs": False,
        },
        "metadata": {},
        "host": {
            "kind": "self-hosted",
            "project_id": None,
            "host_revision_id": None,
            "revision_id": None,
            "tenant_id": None,
        },
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


@router.route("GET", "/metrics", scope="runs:read")
async def metrics(request: HotRequest) -> HotResponse | HotStream:
    """The server's figures in Prometheus' text format, or those of its queue as JSON."""
    request.identity.require_unbound("no figures of the server")
    wanted = request.query.get("format", "prometheus")
    if wanted == "json":
        return HotResponse(await _figures())
    if wanted != "prometheus":
        raise Invalid.at("query", "format", message="prometheus or json.")
    figures, media_type = await sync_to_async(_scrape, thread_sensitive=False)()
    return _whole(figures, media_type)


def _scrape() -> tuple[bytes, str]:
    try:
        return prometheus()
    finally:
        # No request ends here that would hand the thread's connection back to its pool.
        connection.close()


async def _figures() -> dict[str, Any]:
    found = await queue_figures().arun()
    return {
        "queue": {
            "n_pending": found["pending"],
            "n_running": found["running"],
            "pending_runs_wait_time_max_secs": found["longest_s"],
            "pending_runs_wait_time_med_secs": found["median_s"],
            "pending_unblocked_runs_wait_time_max_secs": found["longest_ready_s"],
        },
        "workers": {
            "max": found["slots"],
            "active": found["used"],
            "available": max(0, found["slots"] - found["used"]),
        },
    }


# -- its description ---------------------------------------------------------------------------------------------------


@router.route("GET", "/docs", scope="assistants:read")
async def docs(request: HotRequest) -> HotStream:
    """A page to read the description on."""
    page = _PAGE.format(static=settings.STATIC_URL)
    return _whole(page.encode(), "text/html; charset=utf-8", {"content-security-policy": PAGE_POLICY})


@router.route("GET", "/docs.js", scope="assistants:read")
async def docs_script(request: HotRequest) -> HotStream:
    """What that page runs: pages run no scripts of their own."""
    return _whole(_SCRIPT.encode(), "text/javascript; charset=utf-8")


def describes(door: Router) -> None:
    """Serve the description of all that `door` has; it is made once."""

    @router.route("GET", "/openapi.json", scope="assistants:read")
    async def openapi(request: HotRequest) -> HotResponse:
        """This description."""
        return HotResponse(described())

    @cache
    def described() -> dict[str, Any]:
        return describe(door.table(), config().auth.get("openapi") or {})


def _whole(content: bytes, media_type: str, headers: dict[str, str] | None = None) -> HotStream:
    async def frames() -> AsyncIterator[bytes]:
        yield content

    return HotStream(frames(), headers or {}, media_type=media_type)
