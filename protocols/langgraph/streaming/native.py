"""What a native assistant's run tells, as frames: as if it were a graph of the nodes `model` and `tools`."""

from collections.abc import Collection, Iterable
from typing import Any
from uuid import UUID

from core.db import Row
from protocols.langgraph.interrupts import interrupts_of, task_id
from protocols.langgraph.messages import langchain_message, langchain_messages
from protocols.langgraph.streaming.frames import About, Frame, frame
from protocols.langgraph.streaming.native_messages import NODES, NativeMessages
from protocols.langgraph.streaming.places import OF_MODE
from protocols.langgraph.streaming.reading import read_beginning, read_checkpoint
from runs.events import Event
from runs.worker.claim import TRANSFERRING

# The modes that show what a step did; the others need no more than the log.
_OF_STEPS = frozenset({"values", "updates", "tasks", "checkpoints", "debug", "state_update"})
# What a checkpoint is to these clients: `loop`, but for these.
_SOURCES = {"input": "input", "fork": "fork"}
_NODES = {"model": "model", "tools": "tools", "update": "agent"}
# Of the server's own, which no agent has told.
_OURS = frozenset({TRANSFERRING, "node_transferred"})
# What the input's checkpoint is, whatever the run.
_OF_INPUT: Row = {"changes": {}, "removed": [], "next": ["model"]}
_INPUT = frozenset({"metadata", "status"})


def _is_input(event: Event) -> bool:
    """Whether it may still belong to what the run begins with."""
    return event.event in _INPUT or (event.event == "message" and event.data["role"] == "user")


def _node(source: str, fresh: list[dict[str, Any]]) -> str | None:
    """The node that wrote a checkpoint; None where none did."""
    if source == "interrupt" and fresh:
        return NODES.get(fresh[0]["type"])
    return _NODES.get(source)


def _tool_ended(data: dict[str, Any]) -> dict[str, Any]:
    """The end of a tool call, as LangGraph's mode `tools` tells it."""
    key = {"tool_call_id": data["id"]}
    if data["status"] != "ok":
        return {"event": "tool-error", **key, "message": str(data["error"] or data["status"])}
    output = {"type": "tool", "content": data["result"], "name": data["name"], **key, "status": "success"}
    return {"event": "tool-finished", **key, "output": output}


class NativeRun:
    """One run of a native assistant, for a reader of these modes."""

    folds = True

    def __init__(self, about: About, modes: Collection[str]):
        self._about = about
        self._modes = modes
        self._shows_steps = bool(_OF_STEPS & set(modes))
        self._messages = NativeMessages(modes)
        self._session_id = ""
        self._step = 1  # LangGraph's number of the step in flight, from the run's beginning on
        self._values: dict[str, Any] = {}  # once the run began
        self._fresh: list[dict[str, Any]] = []  # messages since the last checkpoint
        self._began = False
        self._checkpoint_id: str | None = None
        self._counted = -1  # its step as LangGraph counts: that of a thread's first input is -1
        self._waiting: dict[str, str] = {}  # ids of the tasks that the last checkpoint said would follow

    async def feed(self, event: Event) -> Iterable[Frame]:
        """The frames of an event that are wanted."""
        frames: list[Frame] = []
        data = event.data
        if self._shows_steps and not self._began and not _is_input(event):
            frames += await self._begin(event)
        match event.event:
            case "token":
                frames += self._messages.token(data, self._step)
            case "message":
                frames += self._messages.message(data, self._step)
                self._fresh.append(langchain_message(data))
            case "metadata":
                self._claimed(event)
            case "superseded":
                self._messages.give_up()
            case "checkpoint":
                frames += await self._checkpoint(event)
            case "interrupt":
                frames += await self._interrupt(event)
            case "tool_call":
                call = {"tool_call_id": data["id"], "tool_name": data["name"], "input": data["args"]}
                frames += self._only("tools", {"event": "tool-started", **call})
            case "tool_result":
                frames += self._only("tools", _tool_ended(data))
            case "custom" if "custom" in self._modes and data["name"] not in _OURS:
                frames.append(frame(OF_MODE["custom"], "custom", {"name": data["name"], "value": data["value"]}))
        return sorted(frames, key=lambda frame: frame.slot)

    def _claimed(self, event: Event) -> None:
        self._messages.give_up()
        self._fresh = []
        if self._checkpoint_id is None:
            # Nothing is stored of it: it begins again, and tells its input again.
            self._began = False
        self._session_id = event.data["session_id"]
        self._messages.origin = {
            "graph_id": self._about.graph_id,
            "assistant_id": event.data["assistant_id"],
            "thread_id": self._session_id,
            "run_id": event.run_id,
            "run_attempt": event.data["attempt"],
        }

    async def _begin(self, event: Event) -> Iterable[Frame]:
        """The state with the run's input, as soon as anything follows it: its checkpoint comes with the first step."""
        self._began = True
        values, messages = await read_beginning(UUID(event.run_id)).arun()
        self._values = {**values, "messages": langchain_messages(messages) + self._fresh}
        self._fresh = []
        return self._shown_values(event)

    async def _checkpoint(self, event: Event) -> Iterable[Frame]:
        data = event.data
        source = data["source"]
        if source in _NODES:
            self._step += 1
        self._checkpoint_id, self._counted = data["checkpoint_id"], data["step"] - 2
        if not self._shows_steps:
            return ()
        row = _OF_INPUT if source == "input" else await read_checkpoint(UUID(data["checkpoint_id"])).arun()
        fresh, self._fresh = self._fresh, []
        self._values = {
            **{name: value for name, value in self._values.items() if name not in row["removed"]},
            **row["changes"],
            "messages": [*self._values["messages"], *fresh],
        }
        frames: list[Frame] = []
        if (node := _node(source, fresh)) is not None:
            update = {**({"messages": fresh} if fresh else {}), **row["changes"]}
            frames += self._finished_task(event, node, update)
            frames += self._only("updates", {node: update})
        if source in _NODES or fresh or row["changes"]:
            frames += self._shown_values(event)
        self._waiting = {name: task_id(data["checkpoint_id"], name) for name in row["next"]}
        return [*frames, *self._shown_checkpoint(event), *self._begun_tasks(event)]

    async def _interrupt(self, event: Event) -> Iterable[Frame]:
        if not self._shows_steps:
            return ()
        asked = interrupts_of(event.run_id, event.data, self._checkpoint_id)
        told = [{"value": one["value"], "id": one["id"], "response_schema": None} for one in asked]
        frames = [*self._only("updates", {"__interrupt__": told})]
        node = next(iter(self._waiting), "interrupt")
        for one in asked:
            result: dict[str, Any] = {"name": node, "error": None, "result": {}, "interrupts": told}
            frames += self._told_task(event, "task_result", {"id": one["task_id"], **result})
        return [*frames, *self._shown_values(event, {"__interrupt__": told})]

    def _only(self, mode: str, data: Any) -> Iterable[Frame]:
        return (frame(OF_MODE[mode], mode, data),) if mode in self._modes else ()

    def _shown_values(self, event: Event, more: dict[str, Any] | None = None) -> Iterable[Frame]:
        values = {**self._values, **(more or {})}
        yield from self._only("values", values)
        if "state_update" in self._modes:
            yield from self._only("state_update", {"run_id": event.run_id, "values": values})

    # -- tasks, checkpoints and both of them for debuggers -------------------------------------------------------------

    def _finished_task(self, event: Event, node: str, update: dict[str, Any]) -> Iterable[Frame]:
        known = self._waiting.get(node) or task_id(event.data.get("parent_id"), node)
        result: dict[str, Any] = {"id": known, "name": node, "error": None, "result": update, "interrupts": []}
        return self._told_task(event, "task_result", result)

    def _begun_tasks(self, event: Event) -> Iterable[Frame]:
        for node, known in self._waiting.items():
            begun = {"id": known, "name": node, "input": self._values, "triggers": [f"branch:to:{node}"]}
            yield from self._told_task(event, "task", {**begun, "metadata": self._messages.origin})

    def _told_task(self, event: Event, kind: str, payload: dict[str, Any]) -> Iterable[Frame]:
        # A step's result, its checkpoint and the next one's beginning are told by one event.
        later = 2 if kind == "task" else 0
        if "tasks" in self._modes:
            yield frame(OF_MODE["tasks"] + later, "tasks", payload)
        yield from self._debug(event, kind, payload, later)

    def _shown_checkpoint(self, event: Event) -> Iterable[Frame]:
        data = event.data
        here, before = (self._config(key) for key in (data["checkpoint_id"], data.get("parent_id")))
        payload: dict[str, Any] = {
            "config": here,
            "parent_config": before,
            "values": self._values,
            "metadata": {"source": _SOURCES.get(data["source"], "loop"), "step": self._counted, "parents": {}},
            "next": list(self._waiting),
            "tasks": [
                {"id": known, "name": node, "interrupts": [], "state": None} for node, known in self._waiting.items()
            ],
        }
        yield from self._only("checkpoints", payload)
        places = {"checkpoint": here and here["configurable"], "parent_checkpoint": before and before["configurable"]}
        yield from self._debug(event, "checkpoint", {**payload, **places}, 1)

    def _config(self, checkpoint_id: str | None) -> dict[str, Any] | None:
        if checkpoint_id is None:
            return None
        place = {"thread_id": self._session_id, "checkpoint_ns": "", "checkpoint_id": checkpoint_id}
        return {"configurable": place}

    def _debug(self, event: Event, kind: str, payload: dict[str, Any], later: int) -> Iterable[Frame]:
        if "debug" in self._modes:
            # LangGraph counts a task's step from the checkpoint before it.
            step = self._counted + (1 if kind == "task" else 0)
            told = {"step": step, "timestamp": event.ts, "type": kind, "payload": payload}
            yield frame(OF_MODE["debug"] + later, "debug", told)
