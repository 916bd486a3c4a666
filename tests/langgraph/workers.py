"""A worker by hand for tests of the door: its runs end when the test says so, and whoever waits hears of it."""

import asyncio
from typing import Any

from runs.announce import announce
from runs.worker.outcomes import Failed, Finished
from runtime.contract import Step
from runtime.errors import AgentError
from tests.runs.hand import Hand, Held
from tests.runs.worker import in_thread


class Worker:
    """Carries out the oldest run that may be claimed. A graph's outcome is what the agent type `Graph` would give."""

    def __init__(self, hand: Hand) -> None:
        self.hand = hand

    async def claims(self) -> Held:
        """Waits until there is a run to claim."""
        async with asyncio.timeout(10):
            while not (held := await self.hand.claim_all()):  # noqa: ASYNC110 - others are to come to their turn
                await asyncio.sleep(0.01)
        return held[0]

    async def ends(self, held: Held | None = None, *, values: Any = None, says: str | None = None) -> None:
        """A graph's run with these values, or a native one with what the model said."""
        held = held or await self.claims()
        if says is not None:
            await held.says(says, done=True)
        else:
            await held.commit(Finished(Step(kind="custom", changes=values, done=True, structured=values)))
        await self._told(held)

    async def asks(self, *interrupts: dict[str, Any], values: dict[str, Any], held: Held | None = None) -> None:
        """A graph's run asks this; nothing: it stands at a breakpoint."""
        held = held or await self.claims()
        asked = {"type": "custom", "value": {"interrupts": list(interrupts), "next": ["node"]}}
        await held.commit(Finished(Step(kind="custom", changes=values, interrupt=asked)))
        await self._told(held)

    async def approval(self, held: Held | None = None) -> None:
        """A native run asks whether it may call a tool."""
        held = held or await self.claims()
        await held.calls("delete_file")
        await held.asks(
            type="approval",
            action_requests=[
                {"tool_name": "delete_file", "tool_call_id": "call_delete_file", "arguments": {}, "display_text": "?"}
            ],
            review_configs={"delete_file": {"allowed_decisions": ["approve", "edit", "reject"], "args_schema": None}},
        )
        await self._told(held)

    async def fails(self, raised: str, message: str) -> None:
        held = await self.claims()
        error = type(raised, (AgentError,), {"code": "graph_error"})
        await held.commit(Failed(error(message)))
        await self._told(held)

    async def _told(self, held: Held) -> None:
        await in_thread(announce, held.claimed["session_id"], held.claimed["id"])
