"""The results of cacheable tools in a session: of two calls with the same arguments one is carried out.

They live in the session's values, so that they are the session's alone, go with its history when it is rolled back, and
come with it when it is forked.
"""

import asyncio
import json
from collections import defaultdict
from collections.abc import Awaitable, Callable
from copy import deepcopy
from hashlib import sha256
from typing import Any

from runtime.contract import BoundTool, ToolCall, ToolRecord
from runtime.middleware.base import ToolOutcome
from runtime.values import Values

# Bytes of one result, as JSON, and results of one session: the oldest go first.
MAX_BYTES = 64 * 1024
MAX_RESULTS = 200

# The session's value that holds the keys of the others, the oldest first.
_ORDER = "cache"


def digest(*parts: Any) -> str:
    """The same text for the same JSON, whatever the order of its keys."""
    return sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:32]


class ToolCache:
    """The session's results for one batch of calls; of those that are the same, one is carried out at a time."""

    def __init__(self, values: Values):
        self._values = values
        self._turns: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def through(
        self, call: ToolCall, bound: BoundTool, carry_out: Callable[[], Awaitable[ToolOutcome]]
    ) -> ToolOutcome:
        """The earlier result of such a call, or what comes of it now."""
        key = f"{_ORDER}:{call.name}:{digest(call.args, bound.parameters)}"
        async with self._turns[key]:
            if key in self._values:
                return ToolRecord(call, "ok", result=self._values[key], cached=True)
            outcome = await carry_out()
            if isinstance(outcome, ToolRecord) and outcome.status == "ok":
                self._keep(key, outcome.result)
            return outcome

    def _keep(self, key: str, result: Any) -> None:
        if len(json.dumps(result, ensure_ascii=False).encode(errors="replace")) > MAX_BYTES:
            return
        order: list[str] = self._values.get(_ORDER, [])
        while len(order) >= MAX_RESULTS:
            self._values.pop(order.pop(0), None)
        self._values[key] = deepcopy(result)
        self._values[_ORDER] = [*order, key]
