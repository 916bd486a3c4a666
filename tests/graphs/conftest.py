"""What tests of hosted graphs share."""

from collections.abc import AsyncIterator

import pytest

from core.db import close_pool, open_pool


@pytest.fixture
async def async_pool(transactional_db: None) -> AsyncIterator[None]:
    await open_pool(size=2)
    yield
    await close_pool()
