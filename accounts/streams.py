"""Streams at once: open event streams and websockets of a caller's key and workspace.

Each open one is a lease in Redis, which counts them for all processes. A process refreshes its leases; those of one
that was killed end by themselves. While Redis is away each process goes by the streams that it holds itself: it knows
all of these, also those that were opened before, which a table would have to be told of first.
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable
from functools import partial
from typing import Any
from uuid import UUID

from accounts.counters import COUNTERS, NOW, Counters
from accounts.identity import Identity
from accounts.limits import reached
from core.errors import RateLimited
from core.ids import new_id
from core.redis import key

LEASE_S = 45
REFRESH_S = 15.0
# When a stream ends nobody knows.
RETRY_AFTER_S = 1

# KEYS: the leases of each holder. ARGV: the stream's id, the milliseconds of a lease, and how many each may have.
# Gives {0}: it has a lease of all of them; or {the number of the first that has no room}: then of none.
_TAKE = f"""
{NOW}
for i, key in ipairs(KEYS) do
    redis.call('ZREMRANGEBYSCORE', key, '-inf', now)
    if redis.call('ZCARD', key) >= tonumber(ARGV[i + 2]) then return {{i}} end
end
for _, key in ipairs(KEYS) do
    redis.call('ZADD', key, now + ARGV[2], ARGV[1])
    redis.call('PEXPIRE', key, ARGV[2])
end
return {{0}}
"""

# KEYS: the leases of a holder. ARGV: the milliseconds of a lease, and the streams that go on. One that an empty Redis
# has forgotten gets its lease back.
_KEEP = f"""
{NOW}
for i = 2, #ARGV do redis.call('ZADD', KEYS[1], now + ARGV[1], ARGV[i]) end
redis.call('PEXPIRE', KEYS[1], ARGV[1])
return {{}}
"""

# KEYS: the leases of each holder. ARGV: the streams that have ended.
_FREE = """
for _, key in ipairs(KEYS) do redis.call('ZREM', key, unpack(ARGV)) end
return {}
"""


class Streams:
    """The limited streams of this process. Used inside event loops only."""

    def __init__(self, counters: Counters) -> None:
        self._counters = counters
        self._held: dict[UUID, set[str]] = defaultdict(set)
        self._keeper: asyncio.Task[None] | None = None
        self._freeing: set[asyncio.Task[Any]] = set()

    async def take(self, identity: Identity) -> Callable[[], None]:
        """Let the caller open a stream; what is given back is to be called once, when it has ended.

        Raises RateLimited where the key or the workspace has as many as it may have.
        """
        bounds = [(h, h.limits.streams) for h in identity.limits if h.limits.streams is not None]
        if not bounds:
            return _nothing
        stream, holders = str(new_id()), [holder.id for holder, _ in bounds]
        allowed = [most for _, most in bounds]
        full_here = _first_full([len(self._held.get(holder, ())) for holder in holders], allowed)
        # Before the question: while it is asked, others of this process are to count it.
        self._hold(stream, holders)
        try:
            answer = await self._counters.arun(_TAKE, _keys(holders), [stream, LEASE_S * 1_000, *allowed])
        except BaseException:
            self._free(stream, holders)
            raise
        full = full_here if answer is None else answer[0]
        if full:
            self._let_go(stream, holders)
            holder, most = bounds[full - 1]
            raise _too_many(holder.kind, most)
        return partial(self._free, stream, holders)

    async def refresh(self) -> None:
        """Have all leases of this process last from now."""
        for holder in list(self._held):
            if streams := list(self._held.get(holder, ())):
                await self._counters.arun(_KEEP, _keys([holder]), [LEASE_S * 1_000, *streams])
                # Those that have ended meanwhile may have got a lease again.
                if ended := [stream for stream in streams if stream not in self._held.get(holder, ())]:
                    await self._counters.arun(_FREE, _keys([holder]), ended)

    async def close(self) -> None:
        """End what goes on in the background, once what has ended is free."""
        if self._keeper is not None:
            self._keeper.cancel()
        await asyncio.gather(*self._freeing)

    def _hold(self, stream: str, holders: list[UUID]) -> None:
        for holder in holders:
            self._held[holder].add(stream)
        if self._keeper is None or self._keeper.done() or self._keeper.get_loop() is not asyncio.get_running_loop():
            self._keeper = asyncio.create_task(self._keep())

    def _let_go(self, stream: str, holders: list[UUID]) -> None:
        for holder in holders:
            self._held[holder].discard(stream)
            if not self._held[holder]:
                del self._held[holder]

    def _free(self, stream: str, holders: list[UUID]) -> None:
        self._let_go(stream, holders)
        # Whoever ends a stream does not wait for it: where it fails, the lease ends by itself.
        task = asyncio.create_task(self._counters.arun(_FREE, _keys(holders), [stream]))
        self._freeing.add(task)
        task.add_done_callback(self._freeing.discard)

    async def _keep(self) -> None:
        """Refresh the leases while there are any."""
        while True:
            await asyncio.sleep(REFRESH_S)
            if not self._held:
                return
            await self.refresh()


STREAMS = Streams(COUNTERS)


async def take_stream(identity: Identity) -> Callable[[], None]:
    """`Streams.take` of this process."""
    return await STREAMS.take(identity) if identity.limits else _nothing


def _first_full(held: list[int], allowed: list[int]) -> int:
    """The number of the first holder that has no room, 0 where all have."""
    return next((i for i, (own, most) in enumerate(zip(held, allowed, strict=True), 1) if own >= most), 0)


def _nothing() -> None:
    """The end of a stream that nobody counts."""


def _keys(holders: list[UUID]) -> list[str]:
    return [key(f"streams:{holder}") for holder in holders]


def _too_many(kind: str, most: int) -> RateLimited:
    limit = reached(most, RETRY_AFTER_S)
    what = f"The {kind} may have {most} stream{'' if most == 1 else 's'} open at once (limits.streams)"
    return RateLimited(f"{what}; try again when one has ended, in {limit.reset_s} s at the earliest.", limit=limit)
