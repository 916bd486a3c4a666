"""Two who do something at the same time, on connections of their own."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import wait as wait_for
from typing import Any

from django.db import connection, transaction


def meanwhile(first: Callable[[], Any], second: Callable[[], Any]) -> Future[Any]:
    """Begin `second` while `first` is done and not committed; gives what becomes of it."""

    def call() -> Any:
        try:
            return second()
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as pool:
        with transaction.atomic():
            first()
            future = pool.submit(call)
            wait_for([future], timeout=0.5)
            assert not future.done(), "The second did not wait for the first."
        wait_for([future], timeout=10)
    return future
