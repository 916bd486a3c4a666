"""Messages as protocol v2 tells them: begun, written block by block, finished.

What comes in are LangChain's messages and chunks of them as dictionaries. The order of events, and what a block is
begun and finished with, is that of `langchain_core.language_models._compat_bridge` (MIT), which makes the same of
objects; langchain is not imported here.
"""

from collections.abc import Iterator
from typing import Any

import orjson

Data = dict[str, Any]
Block = dict[str, Any]

# How integrations name what a model thinks, and the key of its text.
_REASONING = {"reasoning": "reasoning", "thinking": "thinking", "reasoning_content": "text"}
# Told by `tool_call_chunks` and `tool_calls` too, and only there with one shape.
_CALLS = frozenset({"tool_call", "tool_call_chunk", "tool_use", "input_json_delta", "function_call"})
_WHOLE = frozenset(
    {"image", "video", "audio", "file", "server_tool_call", "server_tool_call_chunk", "server_tool_result"}
)
# Large, and therefore told once, when the block is finished.
_HEAVY = frozenset({"args", "data", "base64", "output", "transcript", "value"})
_USAGE = ("input_tokens", "output_tokens", "total_tokens", "input_token_details", "output_token_details")


class Writing:
    """One message that is being written."""

    def __init__(self, message_id: str):
        self.id = message_id
        self._blocks: dict[Any, tuple[int, Block]] = {}
        self._usage: dict[str, Any] = {}
        self._metadata: dict[str, Any] = {}

    def begin(self, metadata: dict[str, Any]) -> Data:
        """The message's first event. `metadata` is concise: who wrote it, at which node."""
        return self._data("message-start", role="ai", **({"metadata": metadata} if metadata else {}))

    def add(self, chunk: dict[str, Any]) -> Iterator[Data]:
        """The next piece, or the whole message."""
        for key, block in _blocks_of(chunk):
            if key in self._blocks:
                index, existing = self._blocks[key]
                _extend(existing, block)
            else:
                index = len(self._blocks)
                self._blocks[key] = (index, dict(block))
                yield self._data("content-block-start", index=index, content=_skeleton(block))
            if (delta := _delta(block)) is not None:
                yield self._data("content-block-delta", index=index, delta=delta)
        self._count(chunk.get("usage_metadata") or {})
        self._metadata.update(chunk.get("response_metadata") or {})

    def finish(self) -> Iterator[Data]:
        """All blocks are whole, and the message is."""
        for index, block in self._blocks.values():
            yield self._data("content-block-finish", index=index, content=_finished(block))
        more = {"usage": self._usage} if self._usage else {}
        if self._metadata:
            more["metadata"] = self._metadata
        yield self._data("message-finish", **more)

    def give_up(self, reason: str) -> Data:
        """The message will not be finished: it is written anew, or not at all."""
        return self._data("error", message=reason, code="superseded")

    def _data(self, event: str, **more: Any) -> Data:
        # Python's client tells messages that are written side by side apart by `id`, JavaScript's by `run_id`.
        return {"event": event, "id": self.id, "run_id": self.id, **more}

    def _count(self, usage: dict[str, Any]) -> None:
        for name in _USAGE:
            value = usage.get(name)
            if isinstance(value, int):
                self._usage[name] = self._usage.get(name, 0) + value
            elif isinstance(value, dict) and value:
                self._usage[name] = {**self._usage.get(name, {}), **value}


def _blocks_of(chunk: dict[str, Any]) -> Iterator[tuple[Any, Block]]:
    """The chunk's blocks, each with what tells it apart in its message."""
    thought = (chunk.get("additional_kwargs") or {}).get("reasoning_content")
    if isinstance(thought, str) and thought:
        yield ("reasoning", None), {"type": "reasoning", "reasoning": thought}
    content = chunk.get("content")
    if isinstance(content, str):
        if content:
            yield ("text", None), {"type": "text", "text": content}
    elif isinstance(content, list):
        yield from _parts(content)
    if (chunks := chunk.get("tool_call_chunks")) is not None and chunk.get("type") != "ai":
        for position, piece in enumerate(chunks):
            index = piece.get("index")
            block = {"type": "tool_call_chunk", **{key: piece.get(key) for key in ("id", "name", "args")}}
            yield ("call", position if index is None else index), block
        return
    for position, call in enumerate(chunk.get("tool_calls") or ()):
        block = {"type": "tool_call", **{key: call.get(key) for key in ("id", "name", "args")}}
        yield ("call", position), block
    for position, call in enumerate(chunk.get("invalid_tool_calls") or ()):
        block = {"type": "invalid_tool_call", **{key: call.get(key) for key in ("id", "name", "args", "error")}}
        yield ("invalid", position), block


def _parts(content: list[Any]) -> Iterator[tuple[Any, Block]]:
    for position, part in enumerate(content):
        if isinstance(part, str):
            yield ("text", position), {"type": "text", "text": part}
            continue
        if not isinstance(part, dict):
            continue
        kind = str(part.get("type", ""))
        place = part.get("index", position)
        if kind == "text":
            yield ("text", place), {"type": "text", "text": str(part.get("text") or "")}
        elif kind in _REASONING:
            yield ("reasoning", place), {"type": "reasoning", "reasoning": str(part.get(_REASONING[kind]) or "")}
        elif kind in _WHOLE:
            yield (kind, place), {key: value for key, value in part.items() if key != "index"}
        elif kind not in _CALLS:
            yield (kind, place), {"type": "non_standard", "value": part}


def _extend(block: Block, piece: Block) -> None:
    match piece["type"]:
        case "text" | "reasoning" as kind:
            block[kind] = block.get(kind, "") + piece[kind]
        case "tool_call_chunk":
            block["args"] = (block.get("args") or "") + (piece.get("args") or "")
            block.update({key: piece[key] for key in ("id", "name") if piece.get(key) is not None})
        case _:
            block.clear()
            block.update(piece)


def _skeleton(block: Block) -> Block:
    match block["type"]:
        case "text" | "reasoning" as kind:
            return {"type": kind, kind: ""}
        case "tool_call_chunk":
            return {**block, "args": ""}
    light = {key: value for key, value in block.items() if key not in _HEAVY}
    if block["type"] == "tool_call":
        light["args"] = {}
    if block["type"] == "non_standard":
        light["value"] = {}
    return light


def _delta(block: Block) -> Block | None:
    match block["type"]:
        case "text" | "reasoning" as kind:
            return {"type": f"{kind}-delta", kind: block[kind]} if block[kind] else None
        case "tool_call_chunk":
            return {"type": "tool-call-delta", "args": block["args"]} if block.get("args") else None
    return None


def _finished(block: Block) -> Block:
    if block["type"] != "tool_call_chunk":
        return block
    call = {"id": block.get("id"), "name": block.get("name")}
    try:
        args = orjson.loads(block.get("args") or "{}")
    except orjson.JSONDecodeError:
        args = None
    if isinstance(args, dict) and call["name"]:
        return {"type": "tool_call", **call, "args": args}
    return {"type": "invalid_tool_call", **call, "args": block.get("args"), "error": "The arguments are not JSON."}
