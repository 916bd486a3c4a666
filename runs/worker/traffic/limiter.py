"""Keeping to the limits of a provider: a call is let in, waits a little, or its run comes back later."""

import asyncio
import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from runs.worker.traffic import scripts
from runs.worker.traffic.shared import Argument, Shared, shared_key
from runs.worker.traffic.window import Window
from runtime.errors import MustWait
from runtime.providers.limits import Limit

# A slot that nobody refreshes for so long is free again: its worker is gone. Refreshed often enough to miss one.
SLOT_S = 25.0
REFRESH_S = 8.0
WINDOW_S = 60.0
# How long a call that waits in its run's slot waits before it asks again, beyond the time at which there may be room.
ASK_AGAIN_S = (0.05, 0.2)
# Runs that come back later spread over as long as it may take to serve all that wait, but over no less than the first,
# so that trying does not cost more than it brings, and no more than the second, so that room does not stay empty.
SPREAD_S = (1.0, 60.0)
# One that waits counts among those that wait until it should be back: after the window and the spread, at the latest.
REMEMBERED_S = 130.0


@dataclass(frozen=True, slots=True)
class Refusal:
    """In how many seconds there may be room (0: nobody knows), and in how many all that wait may be served."""

    wait_s: float
    spread_s: float

    @property
    def ask_again_s(self) -> float:
        """When a call that stays should ask again; with jitter, or those that wait would always ask together."""
        return self.wait_s + random.uniform(*ASK_AGAIN_S)  # noqa: S311 - jitter, not a secret

    @property
    def come_back_s(self) -> float:
        """When a run that leaves should come back: as many come back at a time as there is room for."""
        least, most = SPREAD_S
        spread_s = min(max(self.spread_s, least), most)
        return max(self.wait_s, least) + random.uniform(0, spread_s)  # noqa: S311 - jitter, not a secret


class OwnCount:
    """This process's own traffic under one name, for when Redis is away."""

    def __init__(self, limit: Limit, window_s: float):
        self.limit = limit
        self.calls_on = 0
        self._calls, self._tokens = Window(window_s), Window(window_s)

    def refusal(self, now: float) -> Refusal | None:
        limit, wait_s = self.limit, 0.0
        if limit.calls_per_minute:
            wait_s = self._calls.room_in_s(limit.calls_per_minute, now)
        if limit.tokens_per_minute:
            wait_s = max(wait_s, self._tokens.room_in_s(limit.tokens_per_minute, now))
        full = limit.concurrent_calls is not None and self.calls_on >= limit.concurrent_calls
        return Refusal(wait_s, spread_s=0.0) if full or wait_s > 0 else None

    def enter(self, now: float) -> None:
        self.calls_on += 1
        self._calls.add(1, now)

    def leave(self, tokens: int, now: float) -> None:
        self.calls_on -= 1
        self._tokens.add(tokens, now)


class Limiter:
    """Lets the calls of this process in, as far as all workers together may make them."""

    def __init__(
        self, limits: Mapping[str, Limit], shared: Shared, *, slot_s: float = SLOT_S, window_s: float = WINDOW_S
    ):
        self._own = {name: OwnCount(limit, window_s) for name, limit in limits.items()}
        self._shared = shared
        self._slot_ms, self._window_ms = int(slot_s * 1000), int(window_s * 1000)
        self._calls_on: dict[str, dict[str, None]] = {name: {} for name in limits}

    async def enter(self, names: Sequence[str], call: str, waiter: str, wait_s: float) -> None:
        """Let the call in under all the names, waiting for that for up to `wait_s` seconds.

        `waiter` names who waits, the same at each try. Raises MustWait, at once where more wait than would be
        served in that time.
        """
        deadline = time.monotonic() + wait_s
        while refusal := await self._refusal(names, call, waiter):
            pause_s = refusal.ask_again_s
            if refusal.spread_s > wait_s or time.monotonic() + pause_s > deadline:
                raise MustWait(f"{names[0]} takes no more calls now.", retry_after_s=refusal.come_back_s)
            await asyncio.sleep(pause_s)
        # Nothing is awaited between the answer and this: what was let in counts before anybody else asks.
        now = time.monotonic()
        for name in names:
            self._own[name].enter(now)
            self._calls_on[name][call] = None

    def left(self, names: Sequence[str], call: str, tokens: int) -> None:
        """The call has ended; `leave` tells the other workers."""
        now = time.monotonic()
        for name in names:
            self._own[name].leave(tokens, now)
            del self._calls_on[name][call]

    async def leave(self, names: Sequence[str], call: str, waiter: str, tokens: int) -> None:
        """Give the call's slots back to all workers, and count its tokens; nobody waits for it any more."""
        keys = [shared_key(name, kind) for name in names for kind in ("slots", "tokens", "waiting")]
        await self._shared.run(scripts.LEAVE, keys, [call, waiter, tokens, self._window_ms])

    async def keep(self) -> None:
        """Refresh the slots of the calls that go on."""
        for name, calls in self._calls_on.items():
            if calls:
                await self._shared.run_late(scripts.KEEP, partial(self._slots, name))

    def _slots(self, name: str) -> tuple[list[str], list[Argument]]:
        return [shared_key(name, "slots")], [self._slot_ms, *self._calls_on[name]]

    async def _refusal(self, names: Sequence[str], call: str, waiter: str) -> Refusal | None:
        keys = [shared_key(name, kind) for name in names for kind in ("slots", "calls", "tokens", "waiting")]
        args: list[Argument] = [call, waiter, self._slot_ms, self._window_ms, int(REMEMBERED_S * 1000)]
        for name in names:
            limit = self._own[name].limit
            args += [limit.concurrent_calls or 0, limit.calls_per_minute or 0, limit.tokens_per_minute or 0]
        answer = await self._shared.run(scripts.ENTER, keys, args)
        if answer is None:
            now = time.monotonic()
            refusals = [refusal for name in names if (refusal := self._own[name].refusal(now))]
            return max(refusals, key=lambda refusal: refusal.wait_s, default=None)
        let_in, wait_ms, spread_ms = answer
        return None if let_in else Refusal(wait_ms / 1000, spread_ms / 1000)
