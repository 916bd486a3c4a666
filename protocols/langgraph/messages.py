"""Our messages as LangChain's dictionaries, and back: what LangGraph's clients have under `messages`.

The shapes are those of `langchain_core.messages` as `model_dump()` gives them. langchain is not imported here: the door
answers without it.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from core.errors import Invalid
from runtime.metadata import STATUS

_TYPES = {"user": "human", "assistant": "ai", "tool": "tool", "system": "system"}
_ROLES = {
    **{type_: role for role, type_ in _TYPES.items()},
    **{role: role for role in _TYPES},
    "HumanMessage": "user",
    "AIMessage": "assistant",
    "AIMessageChunk": "assistant",
    "ToolMessage": "tool",
    "SystemMessage": "system",
    "developer": "system",
}
_MEDIA = ("image", "file", "audio")


def langchain_message(message: Mapping[str, Any]) -> dict[str, Any]:
    """One of our messages, a row of `messages` or the data of a `message` event, as LangChain's dictionary."""
    document = {
        "content": _shown(message["content"]),
        "additional_kwargs": {},
        "response_metadata": {},
        "type": _TYPES[message["role"]],
        "name": message.get("name"),
        "id": str(message["id"]),
    }
    match message["role"]:
        case "assistant":
            calls = [{**call, "type": "tool_call"} for call in message["tool_calls"]]
            return {**document, "tool_calls": calls, "invalid_tool_calls": [], "usage_metadata": None}
        case "tool":
            failed = (message.get("metadata") or {}).get(STATUS) in {"error", "rejected"}
            status = "error" if failed else "success"
            return {**document, "tool_call_id": message["tool_call_id"], "artifact": None, "status": status}
    return document


def langchain_messages(messages: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """All of them."""
    return [langchain_message(message) for message in messages]


def _shown(content: Any) -> Any:
    if isinstance(content, str):
        return content
    # Clients may have said what a part has not.
    return [{key: value for key, value in part.items() if value is not None} for part in content]


def native_message(given: Any, *place: str | int) -> dict[str, Any]:
    """A message as a client of LangGraph gives it, as ours: `role`, `content`, `tool_calls`, `tool_call_id`, `name`.

    It may be text (a person's), `[role, content]`, or a dictionary with `type` or `role`. `place` is where it stands in
    the body. Raises Invalid for what is no message, and for a content that ours cannot hold.
    """
    if isinstance(given, str):
        given = {"role": "user", "content": given}
    elif isinstance(given, list) and len(given) == 2:
        given = {"role": given[0], "content": given[1]}
    if not isinstance(given, dict):
        raise Invalid.at(*place, message="This is no message.")
    role = _ROLES.get(str(given.get("role") or given.get("type")))
    if role is None:
        raise Invalid.at(*place, message="A message has a type: human, ai, tool or system.")
    call_id = given.get("tool_call_id")
    if role == "tool" and not isinstance(call_id, str):
        raise Invalid.at(*place, "tool_call_id", message="It says which call it answers.")
    name = given.get("name")
    return {
        "role": role,
        "content": _content(given.get("content"), *place, "content"),
        "tool_calls": _calls(given.get("tool_calls") or [], *place, "tool_calls") if role == "assistant" else [],
        "tool_call_id": call_id if role == "tool" else None,
        "name": name if isinstance(name, str) else None,
        "metadata": {STATUS: "error"} if role == "tool" and given.get("status") == "error" else {},
    }


def native_messages(given: Any, *place: str | int) -> list[dict[str, Any]]:
    """One message or a list of them. Raises Invalid."""
    if isinstance(given, list):
        return [native_message(message, *place, index) for index, message in enumerate(given)]
    return [native_message(given, *place)]


def _calls(given: Any, *place: str | int) -> list[dict[str, Any]]:
    calls = []
    for index, call in enumerate(given if isinstance(given, list) else [given]):
        sound = isinstance(call, dict) and isinstance(call.get("name"), str) and isinstance(call.get("id"), str)
        if not sound or not isinstance(call.get("args", {}), dict):
            raise Invalid.at(*place, index, message="A tool call has id, name and args.")
        calls.append({"id": call["id"], "name": call["name"], "args": call.get("args", {})})
    return calls


def _content(given: Any, *place: str | int) -> Any:
    if given is None:
        return ""
    if isinstance(given, str):
        return given
    if not isinstance(given, Sequence):
        raise Invalid.at(*place, message="The content is text or a list of parts.")
    return [_part(part, *place, index) for index, part in enumerate(given)]


def _part(part: Any, *place: str | int) -> dict[str, Any]:
    if isinstance(part, str):
        return {"type": "text", "text": part}
    kind = part.get("type") if isinstance(part, dict) else None
    if kind == "text" and isinstance(part.get("text"), str):
        return {"type": "text", "text": part["text"]}
    if kind == "image_url":
        address = part.get("image_url")
        return _media("image", address.get("url") if isinstance(address, dict) else address, None, None, *place)
    if kind in _MEDIA:
        encoded = part.get("base64") or part.get("data")
        return _media(kind, part.get("url"), encoded, part.get("mime_type") or part.get("mimeType"), *place)
    raise Invalid.at(*place, message=f"Parts are text, image, image_url, file or audio; this is {kind!r}.")


def _media(kind: str, url: Any, encoded: Any, mime_type: Any, *place: str | int) -> dict[str, Any]:
    if isinstance(url, str) and url.startswith("data:"):
        head, _, encoded = url.partition(",")
        url, mime_type = None, head.removeprefix("data:").partition(";")[0] or mime_type
    if isinstance(url, str) and url:
        return {"type": kind, "url": url, **({"mime_type": mime_type} if isinstance(mime_type, str) else {})}
    if isinstance(encoded, str) and isinstance(mime_type, str):
        return {"type": kind, "base64": encoded, "mime_type": mime_type}
    raise Invalid.at(*place, message="Give url, or base64 data with its mime_type.")
