"""Agents that misbehave, or ask, on demand; servers load them by AGENT_SERVER_AGENTS."""

import asyncio
import json
import logging
import os
import time
from base64 import b64encode
from functools import cached_property

from pydantic import BaseModel

from runtime.configuration import current
from runtime.contract import BoundTool, Json, Message, State, Step, StepIO, Tool, ToolContext
from runtime.errors import AgentError
from runtime.react import ReactAgent
from runtime.registry import register_agent
from runtime.toolbox import Toolbox


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


class LogInArgs(BaseModel):
    url: str


class LogIn(Tool):
    """Calls a server with a key, and gives back what it answers."""

    name, description, Args = "log_in", "Logs in.", LogInArgs

    def __init__(self, key: str):
        self._key = key

    async def acall(self, args: LogInArgs, context: ToolContext) -> Json:
        answer = await current().guard.fetch("GET", args.url, headers={"authorization": f"Bearer {self._key}"})
        context.io.custom("answered", {"body": answer.text})
        if answer.status != 200:
            raise RuntimeError(answer.text)
        return {"body": answer.text}


@register_agent("Leaky")
class Leaky(ReactAgent):
    """A ReactAgent that has a tool with its secret, and tells the secret when it is told to `raise`, `refuse`, `ask`,
    `keep` or `log` it. Told to `raise ours` it tells one of the server's own."""

    @cached_property
    def secret(self) -> str:
        return next(iter(self.spec.secrets.values())).value

    @cached_property
    def toolbox(self) -> Toolbox:
        return Toolbox({"log_in": BoundTool(LogIn(self.secret))})

    async def step(self, state: State, io: StepIO) -> Step:
        told = f"The key is {self.secret}, Basic {b64encode(f'user:{self.secret}'.encode()).decode()}."
        match state.messages[-1].text:
            case "raise":
                raise RuntimeError(told)
            case "raise ours":
                raise RuntimeError(f"The key is {os.environ['AGENT_SERVER_BOOTSTRAP_KEY']}.")
            case "refuse":
                raise AgentError(told)
            case "ask":
                return Step(kind="custom", interrupt={"type": "custom", "value": [told]})
            case "keep":
                message = Message(id=io.new_id(), role="assistant", content=told, metadata={"told": told})
                changes = {"told": {told: told}}
                return Step(kind="custom", messages=[message], changes=changes, structured=[told], done=True)
            case "log":
                logging.getLogger("leaky").warning("Logged: %s", {"authorization": "Bearer not-known"}, exc_info=True)
                logging.getLogger("leaky").warning("Logged: %s", told)
                return Step(kind="custom", done=True)
        return await super().step(state, io)


@register_agent("Curious")
class Curious(ReactAgent):
    """A ReactAgent that asks a person after each tool's result, and when it is told to `ask`: what stands after that.

    It ends with what it was answered.
    """

    async def step(self, state: State, io: StepIO) -> Step:
        if state.resume is not None:
            answer = state.resume["value"] if "value" in state.resume else json.dumps(state.resume)
            told = Message(id=io.new_id(), role="assistant", content=str(answer))
            return Step(kind="custom", messages=[told], done=True)
        last = state.messages[-1]
        if last.text.startswith("ask {"):
            return Step(kind="custom", interrupt=json.loads(last.text.removeprefix("ask ")))
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
