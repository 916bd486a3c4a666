"""`/healthz` and `/readyz`: open to everybody, answered by the event loop."""

import asyncio
from functools import lru_cache
from typing import Any

import redis
from django.db.migrations.loader import MigrationLoader

from core.db import DATABASE_DOWN, Operation, Query, operation
from core.hot import HotRequest, HotResponse, Router
from core.redis import async_client
from runs.queries import live_workers

CHECK_TIMEOUT_S = 3.0

router = Router()


@router.route("GET", "/healthz", scope=None)
async def healthz(request: HotRequest) -> HotResponse:
    """The process answers. It asks nothing else, so that an outage elsewhere restarts nothing here."""
    return HotResponse({"status": "ok"})


@router.route("GET", "/readyz", scope=None)
async def readyz(request: HotRequest) -> HotResponse:
    """Whether requests can be served: 503 without the database or with migrations that were not applied.

    Runs are accepted without a worker and without Redis, so those are told as warnings.
    """
    (database, migrations, workers), broker = await asyncio.gather(_database(), _redis())
    checks = {"database": database, "redis": broker, "migrations": migrations, "workers": workers}
    states = {check["status"] for check in checks.values()}
    if "failed" in states:
        return HotResponse({"status": "unavailable", "checks": checks}, 503, {"Retry-After": "1"})
    return HotResponse({"status": "degraded" if "warning" in states else "ok", "checks": checks})


def _check(status: str, detail: str | None = None) -> dict[str, Any]:
    return {"status": status, "detail": detail}


async def _database() -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    unknown = _check("failed", "Not known without the database.")
    try:
        async with asyncio.timeout(CHECK_TIMEOUT_S):
            applied = await _applied_migrations().arun()
            missing = _shipped_migrations() - applied
            if missing:
                detail = f"Not applied: {', '.join(sorted('.'.join(name) for name in missing))}."
                return _check("ok"), _check("failed", detail), unknown
            workers = await live_workers().arun()
    except (*DATABASE_DOWN, TimeoutError):
        return _check("failed", "The database cannot be reached."), unknown, unknown
    if workers == 0:
        return _check("ok"), _check("ok"), _check("warning", "No worker is alive; runs wait.")
    return _check("ok"), _check("ok"), _check("ok")


@lru_cache(maxsize=1)
def _shipped_migrations() -> frozenset[tuple[str, str]]:
    """The last migration of each app, read from the disk once."""
    return frozenset(MigrationLoader(None).graph.leaf_nodes())


@operation()
def _applied_migrations() -> Operation[frozenset[tuple[str, str]]]:
    found = yield Query("SELECT to_regclass('django_migrations') IS NOT NULL AS migrated")
    if not found[0]["migrated"]:
        return frozenset()
    rows = yield Query("SELECT app, name FROM django_migrations")
    return frozenset((row["app"], row["name"]) for row in rows)


async def _redis() -> dict[str, Any]:
    client = async_client(connections=1)
    try:
        async with asyncio.timeout(CHECK_TIMEOUT_S):
            await client.ping()
    except (redis.RedisError, TimeoutError, OSError):
        return _check("warning", "Redis cannot be reached; runs start and stream more slowly.")
    finally:
        await client.aclose()
    return _check("ok")
