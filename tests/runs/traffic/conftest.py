from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack

import pytest
from pytest_django import Settings

from core.ids import new_id
from core.redis import async_client
from runs.worker.traffic.shared import Shared

NewShared = Callable[[], Shared]


@pytest.fixture(autouse=True)
def _own_keys(settings: Settings) -> None:
    """What is counted in Redis is counted for one test."""
    settings.REDIS_KEY_PREFIX = f"test-{new_id()}"


@pytest.fixture
async def shared() -> AsyncIterator[NewShared]:
    """The way to Redis of another worker, each time."""
    async with AsyncExitStack() as stack:

        def new() -> Shared:
            one = Shared(async_client(connections=2))
            stack.push_async_callback(one.close)
            return one

        yield new


@pytest.fixture
def no_redis(settings: Settings) -> None:
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
