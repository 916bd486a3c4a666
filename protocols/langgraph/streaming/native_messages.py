"""What a native assistant says, as LangGraph streams the messages of a graph's nodes."""

from collections.abc import Collection, Iterator
from typing import Any

import orjson

from protocols.langgraph.messages import langchain_message
from protocols.langgraph.streaming.frames import Frame, frame
from protocols.langgraph.streaming.places import OF_MODE

# The node that a message is of, by its type.
NODES = {"ai": "model", "tool": "tools"}

_ALONE = OF_MODE["messages"]
_TUPLE = OF_MODE["messages-tuple"]


class NativeMessages:
    """The messages of one run, for a reader of `messages`, `messages-tuple` or both.

    `origin` is what is said of each: the run, its assistant and its thread.
    """

    def __init__(self, modes: Collection[str]):
        self.origin: dict[str, Any] = {}
        self._alone, self._tuple = "messages" in modes, "messages-tuple" in modes
        # Of the messages that are being written: so far, and their origins as JSON.
        self._growing: dict[str, dict[str, Any]] = {}
        self._origins: dict[str, bytes] = {}

    def give_up(self) -> None:
        """What was being written will be written anew, as a message of its own."""
        self._growing.clear()

    def token(self, data: dict[str, Any], step: int) -> Iterator[Frame]:
        """A piece of a message."""
        if not (self._alone or self._tuple):
            return
        key, text, of_thought = data["message_id"], data["text"], data["kind"] != "text"
        extra = {"reasoning_content": text} if of_thought else {}
        yield from self._introduced(key, "model", step)
        if self._alone:
            message = self._growing.setdefault(key, _said(key, "", {}))
            if of_thought:
                message["additional_kwargs"]["reasoning_content"] = (
                    message["additional_kwargs"].get("reasoning_content", "") + text
                )
            else:
                message["content"] += text
            yield frame(_ALONE + 1, "messages/partial", [message])
        else:
            self._growing[key] = {}
        if self._tuple:
            chunk = {**_said(key, "" if of_thought else text, extra), **_PIECE}
            yield self._pair(key, chunk)

    def message(self, data: dict[str, Any], step: int) -> Iterator[Frame]:
        """A whole message; one that was told in pieces ends with it."""
        if data["role"] not in {"assistant", "tool"} or not (self._alone or self._tuple):
            return
        message = langchain_message(data)
        key = message["id"]
        was_told = self._growing.pop(key, None) is not None
        yield from self._introduced(key, NODES[message["type"]], step)
        if self._alone:
            yield frame(_ALONE + 1, "messages/partial" if was_told else "messages/complete", [message])
        if self._tuple:
            yield self._pair(key, _last_piece(message) if was_told else message)

    def _introduced(self, key: str, node: str, step: int) -> Iterator[Frame]:
        if key in self._origins:
            return
        place = f"{node}:{self.origin.get('run_id')}"
        origin = {
            **self.origin,
            "langgraph_step": step,
            "langgraph_node": node,
            "langgraph_triggers": [f"branch:to:{node}"],
            "langgraph_path": ["__pregel_pull", node],
            "langgraph_checkpoint_ns": place,
        }
        self._origins[key] = orjson.dumps(origin)
        if self._alone:
            yield frame(_ALONE, "messages/metadata", {key: {"metadata": origin}})

    def _pair(self, key: str, message: dict[str, Any]) -> Frame:
        return Frame(_TUPLE, "messages", b"[%s,%s]" % (orjson.dumps(message), self._origins[key]))


_PIECE: dict[str, Any] = {"type": "AIMessageChunk", "tool_call_chunks": [], "chunk_position": None}


def _said(key: str, content: str, extra: dict[str, Any]) -> dict[str, Any]:
    return {
        "content": content,
        "additional_kwargs": extra,
        "response_metadata": {},
        "type": "ai",
        "name": None,
        "id": key,
        "tool_calls": [],
        "invalid_tool_calls": [],
        "usage_metadata": None,
    }


def _last_piece(message: dict[str, Any]) -> dict[str, Any]:
    """What of the message its text has not said."""
    chunks = [
        {"name": call["name"], "args": orjson.dumps(call["args"]).decode(), "id": call["id"], "index": index}
        for index, call in enumerate(message["tool_calls"])
    ]
    return {
        **message,
        "content": "",
        "type": "AIMessageChunk",
        "tool_call_chunks": [{**chunk, "type": "tool_call_chunk"} for chunk in chunks],
        "chunk_position": "last",
    }
