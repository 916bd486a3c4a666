"""What workers count of their work, for `/metrics`: how often an agent started, a model was asked, and so on.

Counting is an addition in memory. Every few seconds a worker adds what it has counted to one hash in Redis, where all
web processes read the sums. Where Redis loses it they begin at 0 again, as a counter may; what a worker has counted
while Redis is away it adds later.
"""

import asyncio
import logging
from collections import Counter
from enum import StrEnum

from redis.exceptions import RedisError

from core.redis import async_client, client, key

log = logging.getLogger(__name__)

SEND_S = 5.0
HASH = "telemetry"


class Counted(StrEnum):
    """The value of the label `event`. An agent's start and stop are those of a run's stay in a worker."""

    AGENT_START = "agent.start"
    AGENT_STOP = "agent.stop"
    AGENT_CRASH = "agent.crash"  # the agent raised what it may not, or its process died
    EXECUTION_START = "execution.start"  # a run began for the first time
    EXECUTION_STOP = "execution.stop"  # a run ended
    EXECUTION_INTERRUPT = "execution.interrupt"  # a run asks a person
    LLM_REQUEST = "llm.request"
    LLM_RESPONSE = "llm.response"
    LLM_ERROR = "llm.error"
    MIDDLEWARE_MESSAGE = "middleware.message.received"


_counts: Counter[str] = Counter()


def count(event: Counted, times: int = 1) -> None:
    """Count it, in this process."""
    _counts[event] += times


def counts() -> dict[str, int]:
    """What all workers have counted, by event. Raises redis.RedisError or OSError."""
    found = client().hgetall(key(HASH))
    return {event.value: int(found.get(event.encode(), 0)) for event in Counted}


class Telemetry:
    """Adds this process's counts to those of all. Made and used inside one event loop."""

    def __init__(self) -> None:
        self._redis = async_client(connections=1)
        self._down = False

    async def run(self) -> None:
        """Add them every few seconds until cancelled."""
        while True:
            await asyncio.sleep(SEND_S)
            await self.send()

    async def close(self) -> None:
        """Add what is left, then let go of the connection."""
        await self.send()
        await self._redis.aclose()

    async def send(self) -> None:
        """Add what was counted since the last time."""
        fresh = dict(_counts)
        if not fresh:
            return
        pipe = self._redis.pipeline(transaction=True)
        for event, times in fresh.items():
            pipe.hincrby(key(HASH), event, times)
        _counts.clear()
        try:
            await pipe.execute()
            self._down = False
        except (RedisError, OSError) as error:
            _counts.update(fresh)
            if not self._down:
                log.warning("Redis does not take what was counted: %s", error)
            self._down = True
