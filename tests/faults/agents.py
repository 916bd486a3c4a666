"""The agent of the faults: a plan of steps, each of which is counted by a ledger outside the server.

The run's message is the plan, a JSON object:
    {"ledger": url, "steps": 10, "sleep": 0.1, "tokens": 0, "bytes": 0}
Step n asks the ledger for `/<run id>/<n>`, which answers after `sleep` seconds, tells `tokens` tokens, and says
`bytes` characters. What else it may do is for faults: at the step `at` (0 if not given) it does
    "ask": it asks a person before it begins; "die": the process ends; "hang": it waits for so many seconds; "block":
    it blocks its event loop for so long.

The tool `pay` asks the ledger for `/<run id>/pay`, and is never called twice.
"""

import asyncio
import json
import os
import signal
import time
from typing import Any

import httpx
from pydantic import BaseModel

from runtime.contract import BaseAgent, Message, State, Step, StepIO, Tool, ToolContext
from runtime.functional import entrypoint, interrupt, task
from runtime.registry import register_agent
from tools.registry import register

_PATIENCE_S = 120.0


@register_agent("Stepper")
class Stepper(BaseAgent):
    """Carries out the plan."""

    async def step(self, state: State, io: StepIO) -> Step:
        plan = json.loads(state.messages[state.run_start].text)
        nth = sum(message.role == "assistant" for message in state.messages[state.run_start :])
        if plan.get("ask") and nth == plan.get("at", 0) and state.resume is None:
            return Step(kind="custom", interrupt={"type": "custom", "value": nth})
        await _tell(plan, io.run_id, io.session_id, nth)
        if nth == plan.get("at", 0):
            await _misbehave(plan)
        message_id = io.new_id()
        words = [f"word{i} " for i in range(plan.get("tokens", 0))]
        for word in words:
            io.token(message_id, word)
            await asyncio.sleep(plan.get("token_s", 0.005))
        text = "".join(words) or f"step {nth}".ljust(plan.get("bytes", 0), ".")
        said = Message(id=message_id, role="assistant", content=text)
        return Step(kind="custom", messages=[said], done=nth + 1 >= plan.get("steps", 1))


@task
async def tell(plan: dict[str, Any], run_id: str, session_id: str, nth: int) -> int:
    await _tell(plan, run_id, session_id, nth)
    return nth


@entrypoint("Taskwise")
async def taskwise(text: str, *, io: StepIO) -> str:
    """Carries out the plan in one step: each step of the plan is a task of the function. It can only ask."""
    plan = json.loads(text)
    told = []
    for nth in range(plan.get("steps", 1)):
        if plan.get("ask") and nth == plan.get("at", 0):
            interrupt(nth)
        told.append(await tell(plan, io.run_id, io.session_id, nth))
    return " ".join(map(str, told))


async def _tell(plan: dict[str, Any], run_id: str, session_id: str, nth: int) -> None:
    """Have the ledger count it."""
    if url := plan.get("ledger"):
        # To load certificates takes longer than all else that a step does.
        async with httpx.AsyncClient(timeout=_PATIENCE_S, verify=False) as client:
            # Who it is goes along, so that the ledger knows two that carry out one run.
            query = {"sleep": plan.get("sleep", 0), "pid": os.getpid(), "session": session_id}
            (await client.get(f"{url}/{run_id}/{nth}", params=query)).raise_for_status()


async def _misbehave(plan: dict[str, float]) -> None:
    if plan.get("die"):
        os.kill(os.getpid(), signal.SIGKILL)  # as the kernel does when memory is exhausted
    if plan.get("hang"):
        await asyncio.sleep(plan["hang"])
    if plan.get("block"):
        time.sleep(plan["block"])  # noqa: ASYNC251 - that is its point


class PayArgs(BaseModel):
    ledger: str
    sleep: float = 0


class Pay(Tool):
    """What must not happen twice."""

    name, description, once, Args = "pay", "Pays.", True, PayArgs

    async def acall(self, args: PayArgs, context: ToolContext) -> str:
        async with httpx.AsyncClient(timeout=_PATIENCE_S, verify=False) as client:
            query = {"sleep": args.sleep, "pid": os.getpid(), "session": context.io.session_id}
            return (await client.get(f"{args.ledger}/{context.io.run_id}/pay", params=query)).text


register(Pay())
