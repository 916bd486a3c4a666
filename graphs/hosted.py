"""One run of a hosted graph in one worker: a task that carries the graph out, and the steps in which it is stored.

The task goes its own way. What its checkpointer hands over is gathered here and given to the executor step by step, so
that it is committed in the executor's fenced transactions and nowhere else. What the graph streams is told at once.

Imports langgraph: imported where a graph is carried out only.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from langchain_core.runnables import RunnableConfig

from graphs.asking import asked_by
from graphs.given import command_of, config_of, context_of, input_of, place_of
from graphs.handover import Handover
from graphs.parts import Parts
from graphs.registry import config as hosting
from graphs.registry import graph_for
from graphs.rendering import render
from graphs.said import Said, Spent
from graphs.saver import Saver
from graphs.store import Store
from graphs.warm import heads
from runtime.contract import Json, Message, State, Step, StepIO
from runtime.errors import AgentError
from runtime.graph_rows import GraphRows

log = logging.getLogger(__name__)

# How long a graph that is stopped may take to end.
LEAVE_S = 1.0
# The session's state is an object; what is none stands there under this key, LangGraph's name for it.
ROOT = "__root__"


class GraphError(AgentError):
    """The graph raised; clients are told the class and the text of it, as by LangGraph's own server."""

    code = "graph_error"

    def __init__(self, error: BaseException):
        super().__init__(str(error))
        self._type = type(error).__name__

    @property
    def type_name(self) -> str:
        return self._type


class Hosted:
    """A graph while it is carried out for one run.

    It holds what the graph's task uses, and nothing of that holds it: a run is most of what a worker makes, and is to
    be freed with its last step rather than by the garbage collector.
    """

    def __init__(self, assistant: Mapping[str, Any], state: State, io: StepIO):
        self._assistant = assistant
        self._state = state
        self._io = io
        self._handover = Handover(state.durability)
        self._parts = Parts(io, state.kwargs, self._handover.superstep_ended)
        self._spent = Spent()
        self._said: Said | None = None
        self._asked: dict[str, Json] | None = None
        self._on_their_way: deque[GraphRows] = deque()  # what steps took that may not be on disk
        self._saver: Saver
        self._task = asyncio.create_task(self._carry_out(), name=f"graph of run {io.run_id}")
        self._task.add_done_callback(self._ended)

    # -- the executor's side -----------------------------------------------------------------------------------------

    async def step(self, state: State) -> Step:
        """What is to be stored next. Raises GraphError, or what else ended the graph and is an AgentError."""
        self._state = state
        self._forget_stored()
        try:
            await self._handover.something()
        except asyncio.CancelledError:
            await self._stop()
            raise
        if not self._task.done():
            return self._taken()
        if (error := self._error()) is not None:
            raise error
        return self._last()

    def unfinished(self) -> Step:
        """What there is to store although no step took it. The graph ends: nobody would store what it does now."""
        self.leave()
        step = self._taken()
        if self._parts.values is not None:
            self._change(step)
        return step

    def leave(self) -> None:
        """The run is not carried out here any more."""
        self._handover.let_go()
        self._task.cancel()

    async def _stop(self) -> None:
        """End the graph, and wait briefly for what it hands over last."""
        self._handover.let_go()
        self._task.cancel()
        await asyncio.wait({self._task}, timeout=LEAVE_S)

    def _taken(self) -> Step:
        rows = self._handover.take(last=self._task.done())
        self._on_their_way.append(rows)
        messages = self._new_messages()
        step = Step("custom", messages=messages, graph=rows, model=self._spent.take())
        if self._said is not None:
            step.tool_calls = self._said.results(messages)
        return step

    def _last(self) -> Step:
        step = self._taken()
        values = self._change(step)
        if self._asked is not None:
            step.interrupt, step.next = self._asked, self._asked["value"]["next"]
        else:
            step.done, step.structured = True, values
            page, size = self._saver.head
            if page is not None:
                heads.keep(self._io.session_id, page, size)
        return step

    def _new_messages(self) -> list[Message]:
        if self._parts.values is None:
            return []
        if self._said is None:
            self._said = Said(self._io.run_id, self._state.messages)
        return self._said.new(self._parts.values)

    def _change(self, step: Step) -> Json:
        """Have the step bring the session's state to where the graph's stands; gives that."""
        values = render(self._parts.values)
        if isinstance(values, dict):
            values.pop("__interrupt__", None)
        shown = values if isinstance(values, dict) else {} if values is None else {ROOT: values}
        before = self._state.values
        step.changes = {key: value for key, value in shown.items() if key not in before or before[key] != value}
        step.removed = [key for key in before if key not in shown]
        return values

    def _error(self) -> AgentError | None:
        error = asyncio.CancelledError() if self._task.cancelled() else self._task.exception()
        if error is None or isinstance(error, AgentError):
            return error
        log.warning("run %s: the graph %s raised", self._io.run_id, self._assistant["graph_id"], exc_info=error)
        return GraphError(error)

    def _forget_stored(self) -> None:
        """Have the graph read from PostgreSQL what is there: with `async` the step before may be on its way."""
        while len(self._on_their_way) > (1 if self._state.durability == "async" else 0):
            self._saver.stored(self._on_their_way.popleft())

    # -- the graph's side --------------------------------------------------------------------------------------------

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._handover.end()
        if not task.cancelled():
            task.exception()  # is told by a step, if there is one to tell it

    async def _carry_out(self) -> None:
        state, io = self._state, self._io
        config = {**config_of(self._assistant, state, io), "callbacks": [self._spent]}
        context = context_of(self._assistant, state)
        warm = heads.take(io.session_id, state.graph_head)
        saver = self._saver = Saver(UUID(io.session_id), sink=self._handover, warm=warm)
        store = Store(io.workspace_id, io.user_id, ttl=hosting().store.get("ttl"))
        user = config["configurable"]["langgraph_auth_user"]
        asked = {**config, "context": context}
        opened = graph_for(self._assistant["graph_id"], asked, store=store, checkpointer=saver, user=user)
        async with opened as graph:
            given = await self._begin(graph, saver, config)
            options = {
                "context": context,
                "interrupt_before": state.kwargs.get("interrupt_before"),
                "interrupt_after": state.kwargs.get("interrupt_after"),
                "durability": state.durability,
            }
            await self._parts.tell_all(graph, given, config, options)
            if self._parts.asks:
                self._asked = asked_by(await graph.aget_state(self._place, subgraphs=True))

    @property
    def _place(self) -> RunnableConfig:
        """Where the thread stands."""
        return {"configurable": {"thread_id": self._io.session_id, "checkpoint_ns": ""}}

    async def _earlier(self, saver: Saver) -> dict[str, str]:
        """The graph's checkpoint at which a native client asked to begin, as keys of `configurable`; empty: the latest.

        With durability `sync` a step is stored before the graph tells what the superstep came to: where the session had
        not heard of the messages of the last one, it is the one before, so that both begin with the same.
        """
        if (earlier := self._state.graph_checkpoint_id) is None:
            return {}
        found = await saver.aget_tuple({"configurable": {**self._place["configurable"], "checkpoint_id": earlier}})
        if found is None or found.parent_config is None:
            return {"checkpoint_id": earlier}
        unheard = Said(self._io.run_id, self._state.messages).new(found.checkpoint["channel_values"])
        return {"checkpoint_id": found.parent_config["configurable"]["checkpoint_id"] if unheard else earlier}

    async def _begin(self, graph: Any, saver: Saver, config: dict[str, Any]) -> Any:
        """What the graph is given, and in `config` where: None, where it goes on from what the run has stored."""
        state, io = self._state, self._io
        place = self._place
        if state.resume is not None:
            snapshot = await graph.aget_state(place)
            # At a breakpoint nobody takes the answer: it would be the next one's who asks.
            return command_of({"resume": state.resume["value"]}) if snapshot.interrupts else None
        if io.attempt > 1 or state.begun:
            latest = await saver.aget_tuple(place)
            own = latest is not None and latest.metadata.get("run_id") == io.run_id
            # A command that changes nothing yet is stored with the checkpoint that it was given at.
            if own or (state.begun and state.kwargs.get("command")):
                return None
        config["configurable"] |= place_of(state) or await self._earlier(saver)
        return input_of(graph.channels, state, io)
