"""Redis clients and key names. Redis carries; it never records."""

from functools import cache

import redis
import redis.asyncio
from django.conf import settings


def key(name: str) -> str:
    """`name` under this deployment's prefix."""
    return f"{settings.REDIS_KEY_PREFIX}:{name}"


def async_client(*, connections: int, blocking: bool = False) -> "redis.asyncio.Redis":
    """A client for an event loop. `blocking`: for reads that wait on the server, so without a read timeout."""
    return redis.asyncio.Redis.from_url(
        settings.REDIS_URL,
        max_connections=connections,
        socket_connect_timeout=2,
        socket_timeout=None if blocking else 5,
    )


@cache
def client() -> "redis.Redis":
    """The client that this process's threads share."""
    return redis.Redis.from_url(settings.REDIS_URL, socket_connect_timeout=2, socket_timeout=5)
