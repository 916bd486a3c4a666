"""Hearing the notices to all workers (`runs.notices`)."""

import asyncio
import logging
from collections.abc import Callable

from redis.exceptions import RedisError

from core.redis import async_client
from runs.notices import Notice, channel

log = logging.getLogger(__name__)

# How long it waits before it asks Redis whether the connection still stands, in seconds.
SILENCE_S = 5.0
OUTAGE_PAUSE_S = 1.0


async def listen(heard: Callable[[Notice], None]) -> None:
    """Give each notice to `heard` until cancelled. While Redis is away none comes, and nothing waits for one."""
    down = False
    while True:
        redis = async_client(connections=1, blocking=True)
        try:
            async with redis, redis.pubsub(ignore_subscribe_messages=True) as notices:
                await notices.subscribe(channel())
                down = False
                while True:
                    message = await notices.get_message(timeout=SILENCE_S)
                    if message is None:
                        await notices.ping()
                    elif message["type"] == "message":
                        _give(heard, message["data"])
        except (RedisError, OSError) as error:
            if not down:
                log.warning("Redis gives no notices; what they would tell is found by looking: %s", error)
            down = True
            await asyncio.sleep(OUTAGE_PAUSE_S)


def _give(heard: Callable[[Notice], None], raw: bytes) -> None:
    try:
        notice = Notice.parse(raw)
    except (KeyError, TypeError, ValueError):
        # Not of our making: one that cannot be read must not end the worker.
        log.warning("A notice cannot be read: %s", raw[:200])
        return
    heard(notice)
