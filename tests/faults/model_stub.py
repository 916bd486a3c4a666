"""A model that fails every so often, in each of the ways in which models fail."""

import random
import threading
import time
from collections import Counter
from typing import Any

from tests.stubs.openai import chunks
from tests.stubs.server import Asked, ModelStub, Reply

RETRY_AFTER_S = 1
HANG_S = 5.0

TOOL_CALL = ("call-1", "calculator", '{"expression": "6 * 7"}')
ASKS = Reply("let me see", tool_calls=[TOOL_CALL])
ANSWERS = Reply("it is what everybody knows it to be: forty two")
# What a client has heard in the end, when all that failed is dropped.
WHOLE = f"{ASKS.text} {ANSWERS.text} "


class FaultyModel(ModelStub):
    """Asks for a sum, then answers. So often as `rate` says, by chance, it fails instead; `faults` counts how.

    Each run has a session, and a message, of its own: by that it is known. `too_early` are those that came back before
    the time that they were given.
    """

    def __init__(self, rate: float, seed: int = 1):
        super().__init__(chunks)
        # The usual 5 are refused some of those that come at once.
        self._server.socket.listen(256)
        self.faults: Counter[str] = Counter()
        self.too_early: list[str] = []
        self._rate = rate
        self._chance = random.Random(seed)
        self._choosing = threading.Lock()
        self._not_before: dict[str, float] = {}

    def reply_to(self, asked: Asked) -> Reply:
        messages: list[dict[str, Any]] = asked.body["messages"]
        run = next(message["content"] for message in messages if message["role"] == "user")
        knows = messages[-1]["role"] == "tool" and "42" in messages[-1]["content"]
        healthy = ANSWERS if knows else ASKS
        with self._choosing:
            if time.monotonic() < self._not_before.pop(run, 0):
                self.too_early.append(run)
            if self._chance.random() >= self._rate:
                return healthy
            name = self._chance.choice(["429 with Retry-After", "429", "500", "timeout", "cut", "broken JSON"])
            if name == "broken JSON" and knows:
                name = "cut"
            self.faults[name] += 1
            if name == "429 with Retry-After":
                self._not_before[run] = time.monotonic() + RETRY_AFTER_S
        return _FAULTS[name] if name != "cut" else Reply(healthy.text, tool_calls=healthy.tool_calls, cut_after=2)


_FAULTS = {
    "429 with Retry-After": Reply(status=429, headers={"retry-after": str(RETRY_AFTER_S)}),
    "429": Reply(status=429),
    "500": Reply(status=500),
    "timeout": Reply("too late", hang_s=HANG_S),
    "broken JSON": Reply(tool_calls=[("call-1", "calculator", '{"expression": "6 * ')]),
}
