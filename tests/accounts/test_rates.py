"""Requests a minute: exact, shared by all processes, and held while Redis is away."""

import asyncio
import os
import signal
import tempfile
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import redis
from django.db import connection
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from accounts import counters as module
from accounts.counters import Counters
from accounts.identity import Identity
from accounts.limits import Holder, Limits
from accounts.models import RequestCount, Workspace
from accounts.rates import _room_in_s, acount_request, count_request, forget_counts
from accounts.services import limit_workspace
from config.serve.data_dir import DataDir
from config.serve.redis import Redis
from core.errors import RateLimited
from core.ids import new_id
from core.redis import client, key
from tests.accounts.conftest import ApiFor, in_thread
from tests.api import assert_refused

AWAY = "redis://127.0.0.1:1/0"


def caller(of_key: int | None = None, of_workspace: int | None = None) -> Identity:
    bounds = [("key", of_key), ("workspace", of_workspace)]
    limits = [Holder(kind, new_id(), Limits(requests_per_minute=n)) for kind, n in bounds if n]  # type: ignore[arg-type]
    return Identity(new_id(), frozenset({"*"}), "key:test", limits=tuple(limits))


def passes(identity: Identity, counters: Counters) -> bool:
    try:
        count_request(identity, counters)
    except RateLimited:
        return False
    return True


async def apasses(identity: Identity, counters: Counters) -> bool:
    try:
        await acount_request(identity, counters)
    except RateLimited:
        return False
    return True


@pytest.fixture
async def counters() -> AsyncIterator[Counters]:
    counters = Counters()
    yield counters
    await counters.aclose()


# -- Redis counts ------------------------------------------------------------------------------------------------------


async def test_of_fifty_at_once_ten_pass(counters: Counters) -> None:
    limited = caller(10)
    assert sum(await asyncio.gather(*(apasses(limited, counters) for _ in range(50)))) == 10


async def test_threads_and_event_loops_of_all_processes_count_together(counters: Counters) -> None:
    limited, others = caller(10), Counters()
    with ThreadPoolExecutor(8) as threads:
        run = asyncio.get_running_loop().run_in_executor
        outcomes = await asyncio.gather(
            *(apasses(limited, counters) for _ in range(20)),
            *(run(threads, passes, limited, others) for _ in range(20)),
        )
    assert sum(outcomes) == 10


def test_who_is_refused_by_one_limit_does_not_count_for_the_other() -> None:
    counters, both = Counters(), caller(2, 4)
    key_holder, workspace_holder = both.limits
    other_key = Identity(new_id(), frozenset(), "key:other", limits=(workspace_holder,))
    assert [passes(both, counters) for _ in range(4)] == [True, True, False, False]
    assert [passes(other_key, counters) for _ in range(3)] == [True, True, False]
    with pytest.raises(RateLimited, match="The key takes 2 requests a minute"):
        count_request(Identity(new_id(), frozenset(), "key", limits=(key_holder,)), counters)


def age(holder: Holder, seconds: int) -> None:
    """Have the requests of a holder made that much earlier."""
    window = key(f"requests:{holder.id}")
    for second, text in client().hgetall(window).items():
        made, last = text.split()
        client().hdel(window, second)
        client().hset(window, str(int(second) - seconds), f"{int(made)} {int(last) - seconds * 1_000}")


def test_the_window_slides_and_tells_when_there_is_room() -> None:
    counters, limited = Counters(), caller(2)
    assert passes(limited, counters)
    age(limited.limits[0], 40)
    assert passes(limited, counters)
    with pytest.raises(RateLimited) as refused:
        count_request(limited, counters)
    assert refused.value.limit
    assert refused.value.limit.allowed == 2
    assert 1 <= refused.value.limit.reset_s <= 20
    age(limited.limits[0], 20)
    assert [passes(limited, counters) for _ in range(2)] == [True, False]


def test_what_is_kept_of_a_window_does_not_grow_with_its_limit() -> None:
    counters, limited = Counters(), caller(10_000)
    for _ in range(50):
        passes(limited, counters)
    window = key(f"requests:{limited.limits[0].id}")
    fields = client().hgetall(window)
    assert len(fields) < 10
    assert sum(int(text.split()[0]) for text in fields.values()) == 50
    assert 0 < client().ttl(window) <= 61


@pytest.mark.django_db
def test_who_has_no_limit_is_not_counted(django_assert_num_queries: DjangoAssertNumQueries) -> None:
    streams_only = Identity(new_id(), frozenset(), "key", limits=(Holder("key", new_id(), Limits(streams=1)),))
    with django_assert_num_queries(0):
        for unlimited in (caller(), streams_only):
            count_request(unlimited, Counters(AWAY))


# -- PostgreSQL counts -------------------------------------------------------------------------------------------------


async def test_without_redis_ten_of_fifty_pass_too(pool: None) -> None:
    limited, counters = caller(10, 30), Counters(AWAY)
    assert sum(await asyncio.gather(*(apasses(limited, counters) for _ in range(50)))) == 10
    assert await in_thread(passes, limited, counters) is False


@pytest.mark.django_db
def test_without_redis_who_is_refused_by_one_limit_does_not_count_for_the_other() -> None:
    counters, both = Counters(AWAY), caller(2, 4)
    other_key = Identity(new_id(), frozenset(), "key:other", limits=(both.limits[1],))
    assert [passes(both, counters) for _ in range(4)] == [True, True, False, False]
    assert [passes(other_key, counters) for _ in range(3)] == [True, True, False]


@pytest.mark.parametrize(
    ("allowed", "requests", "earlier", "elapsed_s", "left_s"),
    [
        (10, 10, 0, 5.0, 0.0),
        (10, 11, 0, 5.0, 55.0),
        (10, 1, 10, 0.0, 0.0),
        (10, 1, 20, 0.0, 30.0),
        (10, 6, 10, 10.0, 20.0),
        (10, 6, 10, 30.1, 0.0),
        (10, 6, 9, 0.0, 60 * 4 / 9),
    ],
)
def test_the_minute_before_counts_in_part(
    allowed: int, requests: int, earlier: int, elapsed_s: float, left_s: float
) -> None:
    assert _room_in_s(allowed, requests, earlier, elapsed_s) == pytest.approx(left_s)


@pytest.mark.django_db
def test_what_no_window_holds_is_forgotten() -> None:
    now = timezone.now()
    for minutes in (0, 1, 10):
        RequestCount.objects.create(
            holder_id=new_id(), minute=now - timezone.timedelta(minutes=minutes), requests=minutes + 1
        )
    forget_counts().run()
    assert sorted(RequestCount.objects.values_list("requests", flat=True)) == [1, 2]


@pytest.mark.django_db
def test_the_table_is_not_logged() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT relpersistence FROM pg_class WHERE relname = 'request_counts'")
        assert cursor.fetchone() == ("u",)


@pytest.fixture
def own_redis() -> Iterator[Redis]:
    """A Redis that a test may kill."""
    with tempfile.TemporaryDirectory(prefix="agent-server-redis-") as folder:
        data = DataDir(Path(folder))
        data.create()
        engine = Redis(data)
        engine.start()
        yield engine
        engine.stop()


def kill(engine: Redis) -> None:
    assert engine.process
    os.kill(engine.process.pid, signal.SIGKILL)
    engine.process.wait()


@pytest.mark.django_db
def test_limits_hold_while_redis_is_dead_and_when_it_is_back(own_redis: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PAUSE_S", 0.0)
    counters, limited = Counters(own_redis.url), caller(3)
    assert [passes(limited, counters) for _ in range(4)] == [True, True, True, False]
    kill(own_redis)
    assert [passes(limited, counters) for _ in range(4)] == [True, True, True, False]
    own_redis.start()
    assert passes(limited, counters) is False  # its file remembers
    with redis.Redis.from_url(own_redis.url) as direct:
        direct.flushall()
    assert [passes(limited, counters) for _ in range(4)] == [True, True, True, False]


# -- DRF ---------------------------------------------------------------------------------------------------------------


def test_a_request_beyond_the_limit_is_refused_and_told_when_to_come_back(api_for: ApiFor) -> None:
    api = api_for("*", limits=Limits(requests_per_minute=2))
    assert [api.get("/api-keys").status_code for _ in range(2)] == [200, 200]
    answer = api.post("/api-keys", {"name": "x", "scopes": ["*"]}, format="json")
    assert_refused(answer, 429, "rate_limited")
    wait_s = int(answer.headers["retry-after"])
    assert 1 <= wait_s <= 60
    assert answer.headers["x-ratelimit-limit"] == "2"
    assert answer.headers["x-ratelimit-remaining"] == "0"
    assert answer.headers["x-ratelimit-reset"] == str(wait_s)
    assert answer.json()["detail"] == (
        f"The key takes 2 requests a minute (limits.requests_per_minute); try again in {wait_s} s."
    )
    assert api_for("*").get("/api-keys").status_code == 200


def test_all_keys_of_a_workspace_share_its_limit(workspace: Workspace, api_for: ApiFor) -> None:
    limit_workspace(Identity(workspace.id, frozenset("*"), "user:root"), Limits(requests_per_minute=2))
    assert [api_for("*").get("/api-keys").status_code for _ in range(3)] == [200, 200, 429]


def test_who_may_not_ask_does_not_use_the_limit_up(api_for: ApiFor) -> None:
    api: Any = api_for("keys:read", limits=Limits(requests_per_minute=1))
    assert [api.get("/assistants").status_code for _ in range(3)] == [403] * 3
    assert api.get("/api-keys").status_code == 200
