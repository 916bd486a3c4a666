"""One dispatcher at a time in a process: whoever comes while it is at work tells it to look again."""

import asyncio
import threading
from collections.abc import Callable

from webhooks.dispatch.dispatcher import BOUNDS, Bounds, Dispatcher, never

_lock = threading.Lock()


class _Current:
    dispatcher: Dispatcher | None = None


def deliver(*, bounds: Bounds = BOUNDS, leaving: Callable[[], bool] = never) -> bool:
    """Send all that is due, on this thread; gives whether it did, and not another one of this process.

    `leaving`: asked now and then, from the thread's event loop; once it is true no more is begun.
    Raises `psycopg.OperationalError` in an outage of PostgreSQL: what was under way is due again after its lease.
    """
    while True:
        with _lock:
            if _Current.dispatcher is not None:
                _Current.dispatcher.wake()
                return False
            dispatcher = _Current.dispatcher = Dispatcher(bounds, leaving)
        try:
            asyncio.run(dispatcher.run())
        finally:
            with _lock:
                _Current.dispatcher = None
        # Whoever rang between its last look and here did not begin one, trusting in it.
        if leaving() or not dispatcher.rung:
            return True
