"""The circuit breaker: a model that keeps failing is not called for a while, and then by one call at a time.

While all goes well nothing leaves the process: calls are counted here and reported once a second. A failure is
reported at once, and its answer, like that of each report, says whether the circuit is open for all workers.
"""

import json
import logging
import random
import time
from hashlib import blake2s

from runs.worker.traffic import scripts
from runs.worker.traffic.shared import Shared, shared_key
from runs.worker.traffic.window import Window
from runtime.errors import ModelError, ModelUnavailable

log = logging.getLogger(__name__)

# Long enough to have seen enough calls, short enough to forget an outage that is over.
WINDOW_S = 30.0
# Fewer calls prove nothing: of three, two fail now and then.
LEAST_CALLS = 20
# For how long nobody calls: time for the provider to recover, and little enough to be waited for by a retry.
OPEN_S = 15.0
# A probe that takes longer is taken for lost, with its worker, and another call may try.
PROBE_S = 30.0
# While one call probes, the others ask again after so long.
ASK_AGAIN_S = 5.0
# An open circuit that nobody asks for is forgotten.
REMEMBERED_S = 300.0
# An assistant may give up as soon as it likes: a timeout sooner than this says nothing of the provider.
PATIENCE_S = 10.0

# What says that the provider is unwell: never a refusal (429, 401, 400), which is an answer.
UNWELL = frozenset({"timeout", "connection", "server_error"})

CIRCUITS = "circuits"

_ASK_TIMES_MS = (int(PROBE_S * 1000), int(ASK_AGAIN_S * 1000))


class Circuit:
    """One model at one place, as this process knows it."""

    def __init__(self, shared: Shared, provider: str, model: str, place: str, *, open_s: float = OPEN_S):
        name = json.dumps([provider, model, place])
        digest = blake2s(name.encode(), digest_size=12).hexdigest()
        self.provider, self.model = provider, model
        self.is_open = False
        self._listed_as = json.dumps([provider, digest])
        self._keys = [shared_key("circuit", digest, kind) for kind in ("calls", "failures", "state")]
        self._shared = shared
        self._open_s = open_s
        self._closed_until_asked = 0.0  # until then nobody is let through
        self._unreported = 0
        self._probing = False
        # What this process saw itself, for when Redis is away.
        self._calls, self._failures = Window(WINDOW_S), Window(WINDOW_S)

    async def enter(self, call: str) -> bool:
        """Let the call through; gives whether it is a probe. Raises ModelUnavailable."""
        if not self.is_open:
            return False
        now = time.monotonic()
        if now >= self._closed_until_asked:
            answer = await self._shared.run(scripts.ASK, self._keys[2:], [call, *_ASK_TIMES_MS])
            state, left_ms = answer or self._ask_own()
            if state == 2:
                self._probing = True
                return True
            self._take(state, left_ms)
            if not state:
                return False
        raise self._unavailable(self._closed_until_asked - time.monotonic())

    def ended_well(self) -> None:
        """A call ended as it should, and it was no probe."""
        self._unreported += 1
        self._calls.add(1, time.monotonic())

    async def probed(self, *, well: bool) -> None:
        """The probe has ended."""
        self._probing = False
        if well:
            self._calls.clear()
            self._failures.clear()
        await self._report(0, "well" if well else "failed")

    async def failed(self) -> None:
        """A call failed in a way that says that the provider is unwell, and it was no probe."""
        now = time.monotonic()
        self._calls.add(1, now)
        self._failures.add(1, now)
        await self._report(1, "")

    async def give_up_probe(self, call: str) -> None:
        """The probe ended in a way that says nothing."""
        self._probing = False
        await self._shared.run(scripts.GIVE_UP_PROBE, self._keys[2:], [call])

    async def report(self) -> None:
        """Tell the other workers of the calls that ended well since the last report, and hear of theirs."""
        if self._unreported:
            await self._report(0, "")

    async def _report(self, failed: int, probe: str) -> None:
        well, self._unreported = self._unreported, 0
        times = [int(seconds * 1000) for seconds in (self._open_s, REMEMBERED_S)]
        answer = await self._shared.run(
            scripts.REPORT,
            [*self._keys, shared_key(CIRCUITS)],
            [well, failed, probe, int(WINDOW_S * 1000), LEAST_CALLS, *times, self._listed_as],
        )
        self._take(*(answer or self._judge_own(failed, probe)))

    def _take(self, state: int, left_ms: int) -> None:
        if state and not self.is_open:
            log.warning("%s's %s keeps failing and is left alone for a while.", self.provider, self.model)
        self.is_open = bool(state)
        self._closed_until_asked = time.monotonic() + left_ms / 1000

    def _judge_own(self, failed: int, probe: str) -> tuple[int, int]:
        now = time.monotonic()
        opened = 1, int(self._open_s * 1000)
        if probe:
            return (0, 0) if probe == "well" else opened
        if self.is_open:
            return 1, max(0, int((self._closed_until_asked - now) * 1000))
        made, bad = self._calls.total(now), self._failures.total(now)
        return opened if failed and made >= LEAST_CALLS and bad * 2 >= made else (0, 0)

    def _ask_own(self) -> tuple[int, int]:
        return (1, int(ASK_AGAIN_S * 1000)) if self._probing else (2, 0)

    def _unavailable(self, left_s: float) -> ModelUnavailable:
        # With jitter: what failed together should not come back together.
        again_s = max(left_s, 0.0) * (1 + random.random() / 4)  # noqa: S311 - jitter, not a secret
        return ModelUnavailable(
            f"{self.provider}'s {self.model} has been failing and is left alone for {again_s:.0f} s.",
            retry_after_s=again_s,
        )


def is_unwell(error: BaseException | None, took_s: float) -> bool:
    """Whether a call that ended so, after `took_s` seconds, says that its provider is unwell."""
    if not isinstance(error, ModelError) or error.kind not in UNWELL or isinstance(error, ModelUnavailable):
        return False
    return error.kind != "timeout" or took_s >= PATIENCE_S
