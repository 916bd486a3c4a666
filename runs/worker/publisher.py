"""Telling the web processes what happens now, in small batches.

The Redis stream is a carrier, never the record: what it forgets is read from PostgreSQL by sequence number. One
capped stream for all runs means one blocking read per web process, however many clients it serves, and no gap
between subscribing and the first event.
"""

import asyncio
import logging
from typing import TYPE_CHECKING

import orjson
from redis.exceptions import RedisError

from core.redis import async_client, key
from runs.live import MAX_ENTRIES, STREAM

if TYPE_CHECKING:
    from runs.worker.journal import Journal

log = logging.getLogger(__name__)

# Tokens that come within this time travel together: ten times the events for a delay nobody sees.
BATCH_S = 0.004


class Publisher:
    """Collects what the journals have to tell and sends it, one stream entry a run and batch."""

    def __init__(self) -> None:
        self._redis = async_client(connections=2)
        self._dirty: dict[str, Journal] = {}
        self._soon: asyncio.TimerHandle | None = None
        self._now = asyncio.Event()
        self._down = False

    def tell(self, journal: "Journal", *, urgent: bool = False) -> None:
        """The journal has events to send: at once where `urgent`, else with the next batch."""
        self._dirty[journal.run_id] = journal
        if urgent:
            self._now.set()
        elif self._soon is None and not self._now.is_set():
            self._soon = asyncio.get_running_loop().call_later(BATCH_S, self._now.set)

    async def run(self) -> None:
        """Send until cancelled."""
        while True:
            await self._now.wait()
            self._now.clear()
            if self._soon is not None:
                self._soon.cancel()
                self._soon = None
            await self._send()

    async def close(self) -> None:
        """Send what is left, then let go of the connection."""
        await self._send()
        await self._redis.aclose()

    async def _send(self) -> None:
        journals, self._dirty = self._dirty, {}
        pipe = self._redis.pipeline(transaction=False)
        for journal in journals.values():
            if events := journal.take():
                pipe.xadd(
                    key(STREAM),
                    {"s": journal.session_id, "r": journal.run_id, "e": orjson.dumps(events)},
                    maxlen=MAX_ENTRIES,
                    approximate=True,
                )
        if not len(pipe):
            return
        try:
            await pipe.execute()
            self._down = False
        except (RedisError, OSError) as error:
            # Readers notice the silence and read the committed events from PostgreSQL.
            if not self._down:
                log.warning("Redis does not take live events: %s", error)
            self._down = True
