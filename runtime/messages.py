"""Our messages as langchain's, and back.

The parts of our content (`text`; `image`, `file`, `audio` with `url` or `base64` + `mime_type`) are
langchain-core's standard content blocks, which each provider's integration translates; what it wants otherwise, or
does not take, the provider knows (`Provider.media`).
"""

from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage

from runtime.contract import Message
from runtime.metadata import REASONING, STATUS

_MEDIA = ("image", "file", "audio")

# Making one of langchain's messages takes some twenty microseconds, and a model is shown all of a history at each call.
# What was made of the messages used last is kept, some tens of megabytes of a process that has many long histories.
MAX_KEPT = 20_000
_kept: OrderedDict[tuple[str, str], tuple[Message, str, BaseMessage]] = OrderedDict()


Media = Callable[[dict[str, Any]], dict[str, Any]]


def _as_they_are(part: dict[str, Any]) -> dict[str, Any]:
    return part


def to_langchain(messages: Iterable[Message], provider: str = "", media: Media = _as_they_are) -> list[BaseMessage]:
    """What the model is shown. `provider` is the one that is asked: reasoning goes back to its author only; `media`
    makes what it takes of the images, files and audio of a person's messages.

    For one event loop: what it keeps is not guarded against a second thread. Nobody changes the messages that it gives.
    """
    return [converted for message in messages if (converted := _converted(message, provider, media)) is not None]


def _converted(message: Message, provider: str, media: Media) -> BaseMessage | None:
    key = (message.id, provider)
    kept = _kept.get(key)
    # The text is compared too, because a message may get another one.
    if kept is not None and kept[0] is message and kept[1] is message.content:
        _kept.move_to_end(key)
        return kept[2]
    converted = _convert(message, provider, media)
    # Parts are lists and dictionaries, which an integration could change; text is not.
    if converted is not None and isinstance(message.content, str) and isinstance(converted.content, str):
        _kept[key] = message, message.content, converted
        if len(_kept) > MAX_KEPT:
            _kept.popitem(last=False)
    return converted


def _convert(message: Message, provider: str, media: Media) -> BaseMessage | None:
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
    content: Any = message.for_model
    if message.role == "user":
        if not isinstance(content, str):
            content = [_part(part, media) for part in content]
        return HumanMessage(content=content, id=message.id)
    return SystemMessage(content=content, id=message.id)


def _part(part: dict[str, Any], media: Media) -> dict[str, Any]:
    # Clients may have said what it has not; integrations go by the keys that there are.
    said = {key: value for key, value in part.items() if value is not None}
    return media(said) if said.get("type") in _MEDIA else said


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
