"""What a native assistant's run tells, as a graph with a `messages` channel would tell it."""

from collections.abc import Iterator
from typing import Any

from protocols.langgraph.messages import langchain_message
from protocols.langgraph.v2.blocks import Data, Writing
from runs.worker.claim import TRANSFERRING

Told = tuple[str, Data]

# What a checkpoint of theirs is to these clients.
_SOURCES = {"input": "input", "fork": "fork", "update": "update"}
_FAILED = frozenset({"error", "rejected", "cancelled"})
# Of the server's own, which no agent has told.
_OURS = frozenset({TRANSFERRING, "node_transferred"})


class NativeRun:
    """One run of a native assistant, event by event. `values` is the state before it."""

    def __init__(self, values: dict[str, Any]):
        self._values = {**values, "messages": list(values.get("messages", ()))}
        self._fresh: list[dict[str, Any]] = []  # since the last checkpoint
        self._writing: dict[str, Writing] = {}

    def feed(self, kind: str, data: Data) -> Iterator[Told]:
        """An event of the run's log, by its name, as methods and data of the protocol."""
        match kind:
            case "token":
                yield from self._token(data)
            case "message":
                yield from self._message(data)
            case "tool_call":
                call = {"tool_call_id": data["id"], "tool_name": data["name"], "input": data["args"]}
                yield ("tools", {"event": "tool-started", **call})
            case "tool_result":
                yield ("tools", _tool_result(data))
            case "checkpoint":
                yield from self._checkpoint(data)
            case "custom" if data["name"] not in _OURS:
                yield ("custom", {"name": data["name"], "payload": data["value"]})

    def finish(self) -> Iterator[Data]:
        """The run is over, and with it what it was writing."""
        for writing in self._writing.values():
            yield from writing.finish()
        self._writing.clear()

    def give_up(self, reason: str) -> Iterator[Data]:
        """What is being written is written anew."""
        yield from (writing.give_up(reason) for writing in self._writing.values())
        self._writing.clear()

    def _token(self, data: Data) -> Iterator[Told]:
        writing = self._writing.get(data["message_id"])
        if writing is None:
            writing = self._writing[data["message_id"]] = Writing(data["message_id"])
            yield ("messages", writing.begin({"langgraph_node": "model"}))
        text = data["text"]
        content = text if data["kind"] == "text" else [{"type": "reasoning", "reasoning": text, "index": 0}]
        yield from (("messages", told) for told in writing.add({"content": content}))

    def _message(self, data: Data) -> Iterator[Told]:
        message = langchain_message(data)
        self._values["messages"] = [*self._values["messages"], message]
        self._fresh.append(message)
        if message["type"] != "ai":
            return
        writing = self._writing.pop(message["id"], None)
        if writing is None:
            writing = Writing(message["id"])
            yield ("messages", writing.begin({"langgraph_node": "model"}))
            rest = message
        else:
            rest = {**message, "content": ""}
        yield from (("messages", told) for told in (*writing.add(rest), *writing.finish()))

    def _checkpoint(self, data: Data) -> Iterator[Told]:
        nodes: dict[str, list[dict[str, Any]]] = {}
        for message in self._fresh:
            if node := {"ai": "model", "tool": "tools"}.get(message["type"]):
                nodes.setdefault(node, []).append(message)
        self._fresh = []
        for node, messages in nodes.items():
            yield ("updates", {node: {"messages": messages}})
        parent = {"parent_id": data["parent_id"]} if data.get("parent_id") else {}
        source = _SOURCES.get(data["source"], "loop")
        yield ("checkpoints", {"id": data["checkpoint_id"], **parent, "step": data["step"], "source": source})
        yield ("values", dict(self._values))


def _tool_result(data: Data) -> Data:
    call_id = data["id"]
    if data["status"] in _FAILED:
        return {"event": "tool-error", "tool_call_id": call_id, "message": str(data["error"] or data["status"])}
    output = {"type": "tool", "content": data["result"], "name": data["name"], "tool_call_id": call_id}
    return {"event": "tool-finished", "tool_call_id": call_id, "output": {**output, "status": "success"}}
