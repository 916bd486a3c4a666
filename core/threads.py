"""Django's ORM from an event loop."""

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

from django.db import connection

T = TypeVar("T")


async def in_thread(function: Callable[..., T], *args: Any, **kwargs: Any) -> T:
    """What the function gives, called in a thread, whose connection goes back to its pool."""

    def call() -> T:
        try:
            return function(*args, **kwargs)
        finally:
            # No request ends here that would do so.
            connection.close()

    return await asyncio.to_thread(call)
