"""Streams at once: leases that all processes count, and that end with those who hold them."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack

import pytest

from accounts.counters import Counters
from accounts.identity import Identity
from accounts.limits import Holder, Limits
from accounts.streams import _KEEP, LEASE_S, Streams
from core.errors import RateLimited
from core.ids import new_id
from core.redis import client, key

AWAY = "redis://127.0.0.1:1/0"
Process = Callable[..., Streams]


@pytest.fixture
async def process() -> AsyncIterator[Process]:
    """The streams of another web process, each time."""
    async with AsyncExitStack() as stack:

        def new(url: str | None = None) -> Streams:
            counters = Counters(url)
            stack.push_async_callback(counters.aclose)
            streams = Streams(counters)
            stack.push_async_callback(streams.close)
            return streams

        yield new


def caller(of_key: int | None = None, of_workspace: int | None = None) -> Identity:
    bounds = [("key", of_key), ("workspace", of_workspace)]
    limits = [Holder(kind, new_id(), Limits(streams=n)) for kind, n in bounds if n]  # type: ignore[arg-type]
    return Identity(new_id(), frozenset({"*"}), "key:test", limits=tuple(limits))


def leases(identity: Identity) -> int:
    return int(client().zcard(key(f"streams:{identity.limits[0].id}")))


async def refused(streams: Streams, identity: Identity) -> bool:
    try:
        await streams.take(identity)
    except RateLimited:
        return True
    return False


async def test_of_fifty_at_once_ten_are_opened(process: Process) -> None:
    limited, web, other = caller(10), process(), process()
    outcomes = await asyncio.gather(*(refused(one, limited) for one in (web, other) for _ in range(25)))
    assert outcomes.count(False) == 10


async def test_one_that_ends_makes_room(process: Process) -> None:
    limited, web = caller(2), process()
    end, _ = [await web.take(limited) for _ in range(2)]
    assert await refused(web, limited)
    end()
    await web.close()
    assert not await refused(web, limited)
    assert leases(limited) == 2


async def test_who_is_refused_is_told_whose_limit_it_was_and_holds_nothing(process: Process) -> None:
    both, web = caller(5, 1), process()
    await web.take(both)
    with pytest.raises(RateLimited) as fault:
        await web.take(both)
    assert fault.value.detail == (
        "The workspace may have 1 stream open at once (limits.streams); "
        "try again when one has ended, in 1 s at the earliest."
    )
    assert fault.value.limit
    assert (fault.value.limit.allowed, fault.value.limit.reset_s) == (1, 1)
    assert leases(both) == 1


async def test_the_leases_of_a_killed_process_end_by_themselves(process: Process) -> None:
    limited = caller(1)
    await process().take(limited)
    window = key(f"streams:{limited.limits[0].id}")
    assert 0 < client().pttl(window) <= LEASE_S * 1_000
    [(stream, ends)] = client().zrange(window, 0, -1, withscores=True)
    client().zadd(window, {stream: ends - LEASE_S * 1_000})
    assert not await refused(process(), limited)


async def test_leases_last_while_their_process_refreshes_them(process: Process) -> None:
    limited, web = caller(1), process()
    await web.take(limited)
    window = key(f"streams:{limited.limits[0].id}")
    [(stream, ends)] = client().zrange(window, 0, -1, withscores=True)
    client().zadd(window, {stream: ends - 40_000})
    await web.refresh()
    [(_, refreshed)] = client().zrange(window, 0, -1, withscores=True)
    assert refreshed >= ends


async def test_an_emptied_redis_gets_the_leases_back(process: Process) -> None:
    limited, web = caller(1), process()
    await web.take(limited)
    client().delete(key(f"streams:{limited.limits[0].id}"))
    await web.refresh()
    assert await refused(process(), limited)


async def test_a_stream_that_ends_while_leases_are_refreshed_gets_none_again(process: Process) -> None:
    class Late(Counters):
        """Refreshes only when the end of the stream has been told."""

        async def arun(self, script: str, keys: Sequence[str], args: Sequence[str | int]) -> list[int] | None:
            if script == _KEEP:
                end()
                await asyncio.gather(*web._freeing)
            return await super().arun(script, keys, args)

    counters = Late()
    limited, web = caller(1), Streams(counters)
    end = await web.take(limited)
    await web.refresh()
    assert leases(limited) == 0
    await web.close()
    await counters.aclose()


async def test_without_redis_a_process_goes_by_its_own_streams(process: Process) -> None:
    limited, web = caller(3), process(AWAY)
    outcomes = await asyncio.gather(*(refused(web, limited) for _ in range(10)))
    assert outcomes.count(False) == 3
    assert not await refused(process(AWAY), limited)


async def test_who_has_no_limit_is_not_counted(process: Process) -> None:
    web = process()
    end = await web.take(caller())
    end()
    assert web._held == {}
    assert web._keeper is None
