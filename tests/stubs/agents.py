"""Agents that misbehave, or ask, on demand; servers load them by AGENT_SERVER_AGENTS."""

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


@register_agent("Curious")
class Curious(ReactAgent):
    """A ReactAgent that asks a person after each tool's result, and when it is told to `ask`.

    It ends with what it was answered.
    """

    async def step(self, state: State, io: StepIO) -> Step:
        if state.resume is not None:
            told = Message(id=io.new_id(), role="assistant", content=str(state.resume["value"]))
            return Step(kind="custom", messages=[told], done=True)
        last = state.messages[-1]
        if last.role == "tool" or last.text == "ask":
            return Step(kind="custom", interrupt={"type": "custom", "value": "Go on?"})
        if last.text == "ask for nothing":
            return Step(kind="custom", interrupt={"type": "custom"})
        if last.text == "ask and end":
            return Step(kind="custom", interrupt={"type": "custom", "value": None}, done=True)
        return await super().step(state, io)


@register_agent("Clumsy")
class Clumsy(ReactAgent):
    """A ReactAgent, but asked for `changes`, `structured`, a `message` or an `event` it makes one that is not JSON."""

    async def step(self, state: State, io: StepIO) -> Step:
        strange = {"value": 2**70}
        match state.messages[-1].text:
            case "changes":
                return Step(kind="custom", changes=strange)
            case "structured":
                return Step(kind="custom", structured=strange, done=True)
            case "message":
                told = Message(id=io.new_id(), role="assistant", content="", metadata=strange)
                return Step(kind="custom", messages=[told], done=True)
            case "event":
                io.custom("strange", strange)
        return await super().step(state, io)
