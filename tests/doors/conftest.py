"""One world for all of these tests: they leave it as it was, or work on objects of their own."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.db import connections

from accounts.credentials import MEMORY
from core.counting import WRONG_CREDENTIALS
from core.db import close_pool, open_pool
from core.redis import client as redis_client
from tests.doors.world import World
from tests.quick import empty_the_tables


@pytest.fixture(scope="package")
def db(django_db_setup: None, django_db_blocker: Any) -> Iterator[None]:
    """The database for all of these tests together, and committed: the async routes have connections of their own."""
    with django_db_blocker.unblock():
        yield
        empty_the_tables()


@pytest.fixture(autouse=True)
def _nobody_is_slowed_down() -> None:
    """There are more wrong keys and links here, and in tests before these, than one address may try in a minute."""
    WRONG_CREDENTIALS.clear()
    redis_client().flushdb()


@pytest.fixture(scope="package")
def world(db: None) -> Iterator[World]:
    with asyncio.Runner() as loop:
        loop.run(open_pool(size=4))
        try:
            yield World(loop)
        finally:
            loop.run(close_pool())
            # Django's side of the application has a thread of its own, and that a connection.
            loop.run(sync_to_async(connections.close_all)())
            MEMORY.clear()
