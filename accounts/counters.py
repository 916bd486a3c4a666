"""The way to what all processes count together: scripts in Redis, for threads and for event loops alike."""

import asyncio
import logging
import time
from collections.abc import Sequence
from typing import Any
from weakref import WeakKeyDictionary

import redis
import redis.asyncio
from django.conf import settings
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

log = logging.getLogger(__name__)

# A request does not wait for Redis for longer, in seconds.
TIMEOUT_S = 1.0
# For how long Redis is left alone after it did not answer; then one request asks it, and the others go on without.
PAUSE_S = 2.0
# Of an event loop, at once; the others wait for their turn, which is a fraction of a millisecond away.
CONNECTIONS = 8

# For scripts: the milliseconds of Redis' own clock.
NOW = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
"""

Argument = str | int


class Counters:
    """Carries out scripts that give whole numbers. Each answers None while Redis does not."""

    def __init__(self, url: str | None = None) -> None:
        self._url = url
        self._away = False
        self._away_until = 0.0
        self._client: redis.Redis | None = None
        self._clients: WeakKeyDictionary[asyncio.AbstractEventLoop, redis.asyncio.Redis] = WeakKeyDictionary()
        self._scripts: WeakKeyDictionary[object, dict[str, Any]] = WeakKeyDictionary()

    def run(self, script: str, keys: Sequence[str], args: Sequence[Argument]) -> list[int] | None:
        """From a thread."""
        if not self._may_ask():
            return None
        if self._client is None:
            pool = redis.ConnectionPool.from_url(
                self._address(),
                socket_connect_timeout=TIMEOUT_S,
                socket_timeout=TIMEOUT_S,
                # Once more, for a connection that Redis has closed.
                retry=Retry(NoBackoff(), 1),
            )
            self._client = redis.Redis(connection_pool=pool)
        try:
            answer: Any = self._script(self._client, script)(keys=list(keys), args=list(args))
        except (RedisError, OSError) as fault:
            self._lost(fault)
            return None
        return self._heard(answer)

    async def arun(self, script: str, keys: Sequence[str], args: Sequence[Argument]) -> list[int] | None:
        """From an event loop."""
        if not self._may_ask():
            return None
        loop = asyncio.get_running_loop()
        client = self._clients.get(loop)
        if client is None:
            pool: Any = redis.asyncio.BlockingConnectionPool.from_url(
                self._address(),
                max_connections=CONNECTIONS,
                timeout=TIMEOUT_S,
                socket_connect_timeout=TIMEOUT_S,
                socket_timeout=TIMEOUT_S,
                retry=AsyncRetry(NoBackoff(), 1),
            )
            client = self._clients[loop] = redis.asyncio.Redis(connection_pool=pool)
        try:
            async with asyncio.timeout(TIMEOUT_S):
                answer: Any = await self._script(client, script)(keys=list(keys), args=list(args))
        except (RedisError, OSError) as fault:
            self._lost(fault)
            return None
        return self._heard(answer)

    async def aclose(self) -> None:
        """Let go of this event loop's connections."""
        client = self._clients.pop(asyncio.get_running_loop(), None)
        if client is not None:
            await client.aclose()
            await client.connection_pool.disconnect()

    def _address(self) -> str:
        return self._url or settings.REDIS_URL

    def _script(self, client: Any, text: str) -> Any:
        known = self._scripts.setdefault(client, {})
        if text not in known:
            known[text] = client.register_script(text)
        return known[text]

    def _may_ask(self) -> bool:
        now = time.monotonic()
        if now < self._away_until:
            return False
        if self._away:
            self._away_until = now + PAUSE_S
        return True

    def _lost(self, fault: Exception) -> None:
        if not self._away:
            log.warning("Redis does not count requests and streams: %s", fault)
        self._away = True
        self._away_until = time.monotonic() + PAUSE_S

    def _heard(self, answer: Any) -> list[int]:
        if self._away:
            log.warning("Redis counts requests and streams again.")
        self._away = False
        self._away_until = 0.0
        return [int(number) for number in answer]


COUNTERS = Counters()
