"""The runner inside a Celery worker: started after the pool, stopped before it, woken by the doorbell."""

import asyncio
import logging
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import uvloop
from celery import bootsteps
from django.conf import settings
from kombu import Consumer

from assistants.config import GRAPH
from core.garbage import keep_what_is_loaded
from runs.doorbell import queue
from runs.pools import COMMON, Pool
from runs.worker.runner import Runner
from runs.worker.watchdog import EXIT_CODE, Watchdog
from runtime.configuration import current
from runtime.providers.connection import close_connections
from runtime.registry import agent_class

log = logging.getLogger(__name__)

# How long handing back may take after the grace period, in seconds, before the process ends anyway.
HAND_BACK_S = 5
# For name look-ups and the runner's own blocking calls.
SPARE_THREADS = 8


class RunnerStep(bootsteps.StartStopStep):
    """Runs one event loop, with one runner, on a thread of its own. `runs` is what it takes; None takes none."""

    requires = ("celery.worker.components:Pool",)
    current: Runner | None = None

    def __init__(self, worker: Any, *, runs: Pool | None = COMMON, **options: Any) -> None:
        super().__init__(worker, **options)
        self._pool = runs or COMMON
        self._takes_runs = runs is not None and settings.RUNNER_SLOTS > 0

    def include_if(self, worker: Any) -> bool:
        return self._takes_runs

    def start(self, worker: Any) -> None:
        self._thread = threading.Thread(target=self._run, name="runner", daemon=True)
        self._thread.start()

    def stop(self, worker: Any) -> None:
        """Drain: finish within the grace period, hand back the rest."""
        runner = RunnerStep.current
        if runner is not None and self._thread.is_alive():
            draining = asyncio.run_coroutine_threadsafe(runner.drain(settings.RUNNER_GRACE_S), self._loop)
            try:
                draining.result(settings.RUNNER_GRACE_S + HAND_BACK_S)
            except TimeoutError:
                log.error("Runs were not handed back in time; they will be rescued.")
            self._thread.join(timeout=HAND_BACK_S)

    def _run(self) -> None:
        try:
            uvloop.run(self._work())
        except Exception:
            # The edge: a worker whose loop is dead must not go on looking alive.
            log.exception("The runner died; the process ends so that its runs are rescued.")
            os._exit(EXIT_CODE)

    async def _work(self) -> None:
        # langchain takes a third of a second to import: now, rather than while the first runs wait for their loop.
        agent_class("ReactAgent")
        if current().langgraph.graphs and (self._pool.types is None or GRAPH in self._pool.types):
            agent_class(GRAPH).prepare()
        keep_what_is_loaded()
        self._loop = asyncio.get_running_loop()
        # Blocking tools: each slot may have one, and the usual default is a handful for all.
        self._loop.set_default_executor(ThreadPoolExecutor(settings.RUNNER_SLOTS + SPARE_THREADS, "tool"))
        runner = Runner(slots=settings.RUNNER_SLOTS, pool=self._pool)
        RunnerStep.current = runner
        watchdog = Watchdog(settings.RUNNER_LOOP_HANG_S)
        watchdog.start()
        try:
            await runner.run()
            await close_connections()
        finally:
            watchdog.stop()


class DoorbellStep(bootsteps.ConsumerStep):
    """Listens to the doorbell on the connection that the worker has anyway, without a task around each ring.

    A ring wakes one worker, for whatever waits: who carries out certain types only would swallow what is meant for
    others, so it looks by itself. One with labels takes what all take, too, and listens; for runs that need its labels
    it looks by itself as well, because another one may have heard.
    """

    def __init__(self, consumer: Any, *, runs: Pool | None = COMMON, **options: Any) -> None:
        super().__init__(consumer, **options)
        self.enabled = settings.RUNNER_SLOTS > 0 and runs is not None and runs.types is None

    def get_consumers(self, channel: Any) -> list[Consumer]:
        return [Consumer(channel, queues=[queue()], on_message=self._heard, no_ack=True)]

    def stop(self, consumer: Any) -> None:
        # After Redis has gone there is no connection left to cancel on; Celery then begins all of it anew.
        if consumer.connection is not None:
            super().stop(consumer)

    def _heard(self, message: Any) -> None:
        if RunnerStep.current is not None:
            RunnerStep.current.wake()
