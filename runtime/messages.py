"""Our messages as langchain's, and back.

The parts of our content (`text`; `image`, `file`, `audio` with `url` or `base64` + `mime_type`) are
langchain-core's standard content blocks, so they pass as they are and each provider's integration translates
them.
"""

from collections.abc import Iterable
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage

from runtime.contract import Message

# Under these keys a message's metadata remembers what the contract has no field for.
REASONING = "reasoning"
STATUS = "status"
UNREADABLE_CALLS = "unreadable_tool_calls"


def to_langchain(messages: Iterable[Message], provider: str = "") -> list[BaseMessage]:
    """What the model is shown. `provider` is the one that is asked: reasoning goes back to its author
    only."""
    return [converted for message in messages if (converted := _convert(message, provider)) is not None]


def _convert(message: Message, provider: str) -> BaseMessage | None:
    if message.role == "assistant":
        return _assistant(message, provider)
    if message.role == "tool":
        return ToolMessage(
            content=message.text,
            tool_call_id=message.tool_call_id or "",
            name=message.name,
            id=message.id,
            status="error" if message.metadata.get(STATUS) in {"error", "rejected"} else "success",
        )
    content: Any = message.content
    if message.role == "user":
        return HumanMessage(content=content, id=message.id)
    return SystemMessage(content=content, id=message.id)


def _assistant(message: Message, provider: str) -> AIMessage | None:
    # Providers refuse an assistant's message without any content, which a model may well have produced.
    if not message.content and not message.tool_calls:
        return None
    calls = [{"type": "tool_call", **call.document()} for call in message.tool_calls]
    reasoning = message.metadata.get(REASONING) or {}
    blocks = reasoning.get("blocks") if reasoning.get("provider") == provider else None
    if not blocks:
        return AIMessage(content=message.content, tool_calls=calls, id=message.id)  # type: ignore[arg-type]
    text = [{"type": "text", "text": message.text}] if message.text else []
    return AIMessage(content=[*blocks, *text], tool_calls=calls, id=message.id)
