"""The way to what all workers count together."""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from typing import Any

import redis.asyncio
from redis.exceptions import RedisError

from core.redis import key
from runs.worker.traffic import scripts

log = logging.getLogger(__name__)

# A model call does not wait for Redis for longer, in seconds.
TIMEOUT_S = 1.0
# For how long Redis is left alone after it did not answer: in an outage not every call is to try it.
PAUSE_S = 2.0

Argument = str | int


def shared_key(*parts: str) -> str:
    return key(":".join(["traffic", *parts]))


class Shared:
    """Carries out scripts in Redis, one after the other, in the order in which they were asked for.

    The order matters: a call's slot must not be refreshed after it has been given back.
    """

    def __init__(self, client: "redis.asyncio.Redis"):
        self._client = client
        self._turn = asyncio.Lock()
        self._scripts = {
            text: client.register_script(text)
            for text in (scripts.ENTER, scripts.LEAVE, scripts.KEEP, scripts.REPORT, scripts.ASK, scripts.GIVE_UP_PROBE)
        }
        self._away_until = 0.0
        self._away = False

    async def run(self, script: str, keys: Sequence[str], args: Sequence[Argument]) -> list[int] | None:
        """What the script gives, or None where Redis does not answer."""
        return await self.run_late(script, lambda: (keys, args))

    async def run_late(
        self, script: str, with_: Callable[[], tuple[Sequence[str], Sequence[Argument]]]
    ) -> list[int] | None:
        """The same with keys and arguments of the moment at which it has its turn."""
        async with self._turn:
            if time.monotonic() < self._away_until:
                return None
            keys, args = with_()
            try:
                async with asyncio.timeout(TIMEOUT_S):
                    answer: Any = await self._scripts[script](keys=list(keys), args=list(args))
            except (RedisError, OSError) as error:
                self._away_until = time.monotonic() + PAUSE_S
                if not self._away:
                    log.warning("Redis does not count model calls; this worker goes by its own count: %s", error)
                self._away = True
                return None
            self._away = False
            return [int(number) for number in answer]

    async def close(self) -> None:
        await self._client.aclose()
