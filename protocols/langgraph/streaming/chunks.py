"""A message that comes in pieces, put together as LangChain does: its chunks are dictionaries, as they were told.

LangChain's own classes would take their half millisecond a token, and a second of each web process's start.
"""

import json
from collections.abc import Mapping
from typing import Any

_TYPES = {
    "AIMessageChunk": "ai",
    "HumanMessageChunk": "human",
    "ToolMessageChunk": "tool",
    "SystemMessageChunk": "system",
}
# What every chunk says alike, and is not to be put together.
_SAME = frozenset({"type", "id", "output_version", "model_provider", "index"})
_CHUNK_ONLY = frozenset({"tool_call_chunks", "chunk_position"})


def is_chunk(message: Mapping[str, Any]) -> bool:
    """Whether it is a piece of a message, and not the whole."""
    return message.get("type") in _TYPES


class Growing:
    """A message so far."""

    __slots__ = ("_calls", "_chunks", "_whole")

    def __init__(self, chunk: Mapping[str, Any]):
        self._whole = {name: value for name, value in chunk.items() if name not in _CHUNK_ONLY}
        self._whole["type"] = _TYPES[chunk["type"]]
        self._chunks: list[Any] = list(chunk.get("tool_call_chunks") or ())
        self._parse()

    def add(self, chunk: Mapping[str, Any]) -> None:
        """The next piece."""
        whole = self._whole
        if content := chunk.get("content"):
            whole["content"] = _joined(whole.get("content") or "", content)
        for name in ("additional_kwargs", "response_metadata"):
            if chunk.get(name):
                whole[name] = _merged(whole.get(name) or {}, chunk[name])
        if chunk.get("usage_metadata"):
            whole["usage_metadata"] = _summed(whole.get("usage_metadata") or {}, chunk["usage_metadata"])
        if chunks := chunk.get("tool_call_chunks"):
            self._chunks = _listed(self._chunks, chunks)
            self._parse()

    def message(self) -> dict[str, Any]:
        """The message as it would be if it ended here."""
        return self._whole

    def _parse(self) -> None:
        if not self._chunks:
            return
        calls, invalid = [], []
        for chunk in self._chunks:
            args = _object(chunk.get("args") or "")
            call = {"name": chunk.get("name") or "", "args": args, "id": chunk.get("id")}
            if args is None:
                invalid.append({**call, "args": chunk.get("args"), "error": None, "type": "invalid_tool_call"})
            else:
                calls.append({**call, "type": "tool_call"})
        self._whole["tool_calls"], self._whole["invalid_tool_calls"] = calls, invalid


def _joined(left: Any, right: Any) -> Any:
    if isinstance(left, str) and isinstance(right, str):
        return left + right
    parts = [left] if isinstance(left, str) and left else list(left or ())
    if isinstance(right, str):
        if parts and isinstance(parts[-1], str):
            return [*parts[:-1], parts[-1] + right]
        return [*parts, right]
    return _listed(parts, right)


def _listed(left: list[Any], right: list[Any]) -> list[Any]:
    """Parts with an `index` are pieces of the one that has it already."""
    parts = list(left)
    for part in right:
        index = part.get("index") if isinstance(part, dict) else None
        for place, earlier in enumerate(parts if index is not None else ()):
            if isinstance(earlier, dict) and earlier.get("index") == index:
                parts[place] = _merged(earlier, part)
                break
        else:
            parts.append(part)
    return parts


def _merged(left: Mapping[str, Any], right: Mapping[str, Any]) -> dict[str, Any]:
    whole = dict(left)
    for name, value in right.items():
        before = whole.get(name)
        if before is None or (name in _SAME and value is not None):
            whole[name] = value
        elif isinstance(before, str) and isinstance(value, str):
            whole[name] = before + value
        elif isinstance(before, dict) and isinstance(value, dict):
            whole[name] = _merged(before, value)
        elif isinstance(before, list) and isinstance(value, list):
            whole[name] = _listed(before, value)
        elif value is not None:
            whole[name] = value
    return whole


def _summed(left: Mapping[str, Any], right: Mapping[str, Any]) -> dict[str, Any]:
    whole = dict(left)
    for name, value in right.items():
        before = whole.get(name)
        if isinstance(value, dict):
            whole[name] = _summed(before or {}, value)
        elif isinstance(value, int):
            whole[name] = (before or 0) + value
    return whole


def _object(text: str) -> dict[str, Any] | None:
    """The arguments that a beginning of their JSON says, None where it says no object."""
    if not text:
        return {}
    try:
        found = json.loads(text)
    except ValueError:
        found = _begun(text)
    return found if isinstance(found, dict) else None


def _begun(text: str) -> Any:
    """What JSON that breaks off says so far: what is open is closed, and what cannot be closed yet is left out."""
    closing: list[str] = []
    quoted = escaped = False
    # The places at which the text could end, latest last, and what would close it there.
    ends: list[tuple[int, str]] = []
    for place, sign in enumerate(text, 1):
        if quoted:
            if escaped:
                escaped = False
            elif sign == "\\":
                escaped = True
                continue
            elif sign == '"':
                quoted = False
        elif sign == '"':
            quoted = True
        elif sign in "{[":
            closing.append("}" if sign == "{" else "]")
        elif sign in "}]" and closing:
            closing.pop()
        ends.append((place, ('"' if quoted else "") + "".join(reversed(closing))))
    for place, rest in reversed(ends):
        try:
            return json.loads(text[:place] + rest)
        except ValueError:
            continue
    return None
