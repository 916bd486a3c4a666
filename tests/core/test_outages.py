"""Connections that PostgreSQL has ended, as its restart ends all of them: the first request that finds one may fail."""

import asyncio
from typing import Any

import psycopg
import pytest
from django.db import connection

from core.db import AsyncPool, close_pool, open_pool
from tests.api import Api
from tests.servers import wait_for

pytestmark = pytest.mark.django_db(transaction=True)


def end(pids: list[int], url: str) -> None:
    with psycopg.connect(url) as conn:
        conn.execute("SELECT pg_terminate_backend(pid, 5000) FROM unnest(%s) AS pid", [pids])


async def ask(pool: AsyncPool, together: asyncio.Barrier | None = None) -> int:
    async with pool.connection() as conn:
        if together is not None:
            await together.wait()
        await conn.execute("SELECT 1")
        return conn.info.backend_pid


async def test_one_broken_connection_of_the_async_pool_tells_of_the_others(settings: Any) -> None:
    pool = await open_pool(size=4)
    try:
        together = asyncio.Barrier(4)
        pids = await asyncio.gather(*(ask(pool, together) for _ in range(4)))
        await asyncio.to_thread(end, pids, settings.DATABASE_URL)
        with pytest.raises(psycopg.OperationalError):
            await ask(pool)
        for _ in range(20):
            await asyncio.sleep(0.01)
            await ask(pool)
    finally:
        await close_pool()


def test_one_broken_connection_of_djangos_pool_tells_of_the_others(api: Api, settings: Any) -> None:
    # A pool of its own: in an older one others would be in front of these.
    connection.close()
    connection.close_pool()
    pool = connection.pool
    pool.open()
    held = [pool.getconn() for _ in range(4)]
    for conn in held:
        pool.putconn(conn)
    wait_for(lambda: pool.get_stats()["pool_available"] >= 4)
    end([conn.info.backend_pid for conn in held], settings.DATABASE_URL)
    statuses = [api.client.get("/assistants").status_code for _ in range(8)]
    assert sorted(statuses) == [*[200] * 7, 503]


async def test_a_pool_does_not_wait_longer_and_longer_before_it_connects() -> None:
    pool = await open_pool(size=1)
    try:
        assert pool.reconnect_timeout <= pool.timeout
    finally:
        await close_pool()


async def stand_still(pool: AsyncPool, meanwhile: psycopg.AsyncConnection[Any]) -> None:
    """In a transaction that holds a lock, until another has got that."""
    lock = "SELECT pg_advisory_xact_lock(1)"
    async with pool.connection() as stuck, stuck.pipeline(), stuck.transaction():
        # In a pipeline nothing is known to be done before its answer is fetched.
        await (await stuck.execute(lock)).fetchone()
        async with meanwhile.transaction():
            await meanwhile.execute(lock)
        await stuck.execute("SELECT 1")


async def test_who_stands_still_in_a_transaction_loses_its_locks(settings: Any) -> None:
    settings.TRANSACTION_S = 0.1
    pool = await open_pool(size=2)
    try:
        async with asyncio.timeout(10), pool.connection() as other:
            with pytest.raises(psycopg.OperationalError):
                await stand_still(pool, other)
        await ask(pool)
    finally:
        await close_pool()
