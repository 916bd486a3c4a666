"""Ends a process whose event loop does not answer any more, so that others go on with its runs.

The heartbeat has a thread of its own and keeps the lease meanwhile: a loop that is blocked for a moment loses nothing,
and one that is blocked for good would keep its runs for good.
"""

import asyncio
import logging
import os
import sys
import threading
import time
import traceback

log = logging.getLogger(__name__)

TICK_S = 0.5
# A longer tick says that this thread did not run either: the whole process was stopped, or starved, not the loop.
JUMP_S = 3 * TICK_S
EXIT_CODE = 70


class Watchdog:
    """Watches the loop that it was made in, from a thread of its own, until `stop()`.

    `patience_s`: for so many seconds the loop may leave a question unanswered.
    """

    def __init__(self, patience_s: float) -> None:
        self._patience_s = patience_s
        self._loop = asyncio.get_running_loop()
        self._loops_thread = threading.get_ident()
        self._answered = threading.Event()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watchdog", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Look away; call it before the loop is closed."""
        self._stopped.set()
        self._thread.join()

    def _run(self) -> None:
        silent_s = 0.0
        self._ask()
        asleep = time.monotonic()
        while not self._stopped.wait(TICK_S):
            awake = time.monotonic()
            tick_s, asleep = awake - asleep, awake
            if self._answered.is_set():
                silent_s = 0.0
                self._ask()
            elif tick_s > JUMP_S:
                silent_s = 0.0
            else:
                silent_s += tick_s
                if silent_s > self._patience_s:
                    self._end()

    def _ask(self) -> None:
        self._answered.clear()
        self._loop.call_soon_threadsafe(self._answered.set)

    def _end(self) -> None:
        frame = sys._current_frames().get(self._loops_thread)
        stack = "".join(traceback.format_stack(frame)) if frame else "It has ended.\n"
        log.critical(
            "The event loop has not answered for %g s; the process ends so that others go on. It is at:\n%s",
            self._patience_s,
            stack,
        )
        os._exit(EXIT_CODE)
