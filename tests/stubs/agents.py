"""Agents that misbehave on demand; servers load them by AGENT_SERVER_AGENTS."""

import asyncio
import os
import time

from runtime.contract import Message, State, Step, StepIO
from runtime.react import ReactAgent
from runtime.registry import register_agent


@register_agent("Moody")
class Moody(ReactAgent):
    """A ReactAgent, but told to `die` it takes its process with it, and told to `block 3` its loop, for 3 seconds.

    Asked for its `pid` it gives the number of the process that it lives in.
    """

    async def step(self, state: State, io: StepIO) -> Step:
        word, _, seconds = state.messages[-1].text.partition(" ")
        if word == "die":
            await asyncio.sleep(0.2)
            os._exit(1)
        if word == "pid":
            told = Message(id=io.new_id(), role="assistant", content=str(os.getpid()))
            return Step(kind="custom", messages=[told], done=True)
        if word == "block":
            time.sleep(float(seconds))  # noqa: ASYNC251 - that is its point
        return await super().step(state, io)
