"""What a run's model calls pass on their way out."""

import asyncio
import time
from collections.abc import Coroutine, Mapping
from types import TracebackType
from typing import Any

from core.ids import new_id
from core.redis import async_client
from runs.worker.telemetry import Counted, count
from runs.worker.traffic.breaker import Circuit, is_unwell
from runs.worker.traffic.limiter import REFRESH_S, Limiter
from runs.worker.traffic.shared import Shared
from runtime.contract import Usage
from runtime.errors import ModelError, MustWait
from runtime.providers.limits import Limit, limits_for

# How long a run may wait in its slot for room at a provider; for longer it leaves, and the slot is free for others.
WAIT_S = 2.0
# What other workers see of a circuit is as old as this, in seconds.
REPORT_S = 1.0
MAX_CIRCUITS = 1_000


class Traffic:
    """The limits and circuits of one process. Made and used inside one event loop."""

    def __init__(self, limits: Mapping[str, Limit]):
        self._limits = limits
        self._shared = Shared(async_client(connections=2))
        self._limiter = Limiter(limits, self._shared)
        self._circuits: dict[tuple[str, str, str], Circuit] = {}
        self._sending: set[asyncio.Task[None]] = set()

    def call(self, run_id: str, provider: str, model: str, place: str, *, wait_s: float = WAIT_S) -> "Call":
        """To be entered around a call of the model; entering may wait for up to `wait_s` seconds.

        Raises MustWait where the provider takes no more calls, ModelUnavailable where calls have been failing.
        """
        names = limits_for(self._limits, provider, model) if self._limits else []
        return Call(self, self._circuit(provider, model, place), self._limiter, names, run_id, wait_s)

    async def run(self) -> None:
        """Refresh slots and report until cancelled."""
        refreshed = time.monotonic()
        while True:
            await asyncio.sleep(REPORT_S)
            for circuit in list(self._circuits.values()):
                await circuit.report()
            if time.monotonic() - refreshed >= REFRESH_S:
                refreshed = time.monotonic()
                await self._limiter.keep()

    def send(self, message: Coroutine[Any, Any, None]) -> None:
        """Tell Redis without having the run wait for it."""
        task = asyncio.create_task(message)
        self._sending.add(task)
        task.add_done_callback(self._sending.discard)

    async def settle(self) -> None:
        """Wait until all that was to be sent is sent."""
        await asyncio.gather(*self._sending)

    async def close(self) -> None:
        """Send what is left, then let go of the connection."""
        await self.settle()
        await self._shared.close()

    def _circuit(self, provider: str, model: str, place: str) -> Circuit:
        key = (provider, model, place)
        circuit = self._circuits.get(key)
        if circuit is None:
            # Places are made up by whoever writes assistants. What is forgotten here is still known in Redis.
            if len(self._circuits) >= MAX_CIRCUITS:
                self._circuits.clear()
            circuit = self._circuits[key] = Circuit(self._shared, *key)
        return circuit


class Call:
    """One call of a model (`runtime.contract.ModelCall`)."""

    __slots__ = ("_began", "_circuit", "_id", "_is_probe", "_limiter", "_names", "_tokens", "_traffic", "_wait", "_who")

    def __init__(self, traffic: Traffic, circuit: Circuit, limiter: Limiter, names: list[str], who: str, wait_s: float):
        self._traffic, self._circuit, self._limiter = traffic, circuit, limiter
        self._names, self._who, self._wait = names, who, wait_s
        self._tokens = 0

    def used(self, usage: Usage) -> None:
        self._tokens += usage.input_tokens + usage.output_tokens

    async def __aenter__(self) -> "Call":
        self._id = str(new_id()) if self._names or self._circuit.is_open else ""
        self._is_probe = await self._circuit.enter(self._id)
        if self._names:
            try:
                await self._limiter.enter(self._names, self._id, self._who, self._wait)
            except BaseException as reason:
                if not isinstance(reason, MustWait):
                    # It may have been let in just as its run was stopped.
                    self._traffic.send(self._limiter.leave(self._names, self._id, self._who, 0, 0))
                if self._is_probe:
                    self._traffic.send(self._circuit.give_up_probe(self._id))
                raise
        self._began = time.monotonic()
        count(Counted.LLM_REQUEST)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        took_s = time.monotonic() - self._began
        if error is None or isinstance(error, Exception):
            count(Counted.LLM_RESPONSE if error is None else Counted.LLM_ERROR)
        if self._names:
            self._limiter.left(self._names, self._id, self._tokens)
            self._traffic.send(self._limiter.leave(self._names, self._id, self._who, self._tokens, took_s))
        if is_unwell(error, took_s):
            await (self._circuit.probed(well=False) if self._is_probe else self._circuit.failed())
        elif error is None or isinstance(error, ModelError):
            if self._is_probe:
                await self._circuit.probed(well=True)
            else:
                self._circuit.ended_well()
        elif self._is_probe:
            self._traffic.send(self._circuit.give_up_probe(self._id))
