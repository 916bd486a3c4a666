"""What graphs hold, as JSON: plain JSON stays as it is, all else is a small object with the key `$lg`.

What is stored names no class that would be imported: messages, documents and LangGraph's own are built through closed
tables, pydantic models, dataclasses, named tuples and enums of a graph's own through the classes that it has allowed
(`allow`). An object of any other class loads as a plain dict.
"""

import sys
from base64 import b64decode
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import MISSING, fields, is_dataclass
from datetime import date, datetime, time, timedelta, timezone, tzinfo
from decimal import Decimal
from ipaddress import ip_address, ip_interface, ip_network
from pathlib import Path
from re import compile as compile_pattern
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import orjson
from langchain_core.documents import Document
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    BaseMessage,
    ChatMessage,
    ChatMessageChunk,
    FunctionMessage,
    FunctionMessageChunk,
    HumanMessage,
    HumanMessageChunk,
    RemoveMessage,
    SystemMessage,
    SystemMessageChunk,
    ToolMessage,
    ToolMessageChunk,
)
from langgraph.checkpoint.serde.types import _DeltaSnapshot
from langgraph.store.base import Item
from langgraph.types import Command, Interrupt, Overwrite, Send, TimeoutPolicy
from pydantic import BaseModel, SecretBytes, SecretStr, ValidationError

from graphs.dumping import dump, name_of
from graphs.recorded import RecordedError
from graphs.rendering import TAG, Json

__all__ = ["Serde", "allow", "dump", "load"]

_MESSAGES: dict[str, type[BaseMessage]] = {
    kind.model_fields["type"].default: kind
    for kind in (
        AIMessage,
        AIMessageChunk,
        ChatMessage,
        ChatMessageChunk,
        FunctionMessage,
        FunctionMessageChunk,
        HumanMessage,
        HumanMessageChunk,
        RemoveMessage,
        SystemMessage,
        SystemMessageChunk,
        ToolMessage,
        ToolMessageChunk,
    )
}


# -- classes of graphs -------------------------------------------------------------------------------------------------

_allowed: dict[str, type[Any]] = {}


def allow(*classes: type[Any]) -> None:
    """Let objects of these classes be built again from what is stored of them.

    Pydantic models, dataclasses, named tuples and enums. A class of the same module and name takes the place of one
    that was allowed before it.
    """
    _allowed.update({name_of(kind): kind for kind in classes})


allow(TimeoutPolicy, Item)

# -- loading -----------------------------------------------------------------------------------------------------------


def load(stored: Json) -> Any:
    """What `dump` was given. An object of a class that is not allowed is a dict of what it held."""
    kind = type(stored)
    if kind is list:
        return [load(item) if type(item) in _NESTED else item for item in stored]
    if kind is not dict:
        return stored
    if (tag := stored.get(TAG)) is None:
        return {key: load(item) if type(item) in _NESTED else item for key, item in stored.items()}
    return _LOADERS[tag](stored)


# What holds anything: to call `load` for all else would be most of its time.
_NESTED = {dict, list}


def _held(stored: dict[str, Json]) -> Iterator[Any]:
    return (load(item) for item in stored["items"])


def _fields(stored: dict[str, Json]) -> dict[str, Any]:
    return {key: load(item) if type(item) in _NESTED else item for key, item in stored.items() if key != TAG}


def _load_message(stored: dict[str, Json]) -> Any:
    held = _fields(stored)
    kind = _MESSAGES.get(held.get("type", ""))
    if kind is None:
        return held
    if held.keys() != kind.__pydantic_fields__.keys():
        return kind.model_construct(**held)
    # As pickle makes a model again: whoever resumes a long conversation waits for all of its messages.
    message = kind.__new__(kind)
    message.__setstate__({"__dict__": held, "__pydantic_fields_set__": set(held), "__pydantic_private__": None})
    return message


def _load_moment(kind: type[datetime] | type[time]) -> Callable[[dict[str, Json]], Any]:
    def loader(stored: dict[str, Json]) -> Any:
        moment = kind.fromisoformat(stored["value"])
        zone: tzinfo | None = ZoneInfo(stored["zone"]) if "zone" in stored else moment.tzinfo
        return moment.replace(tzinfo=zone, fold=stored.get("fold", 0))

    return loader


def _load_enum(stored: dict[str, Json]) -> Any:
    value = load(stored["value"])
    kind = _allowed.get(stored["class"])
    if kind is not None:
        with suppress(ValueError):
            return kind(value)
    return value


def _load_secret(stored: dict[str, Json]) -> SecretStr | SecretBytes:
    value = load(stored["value"])
    return SecretBytes(value) if isinstance(value, bytes) else SecretStr(value)


def _load_array(stored: dict[str, Json]) -> Any:
    items, numpy = load(stored["items"]), sys.modules.get("numpy")  # a graph that has arrays has loaded it
    return items if numpy is None else numpy.array(items, dtype=stored["dtype"])


def _load_object(stored: dict[str, Json]) -> Any:
    held = load(stored["value"])
    kind = _allowed.get(stored["class"])
    if kind is None:
        return held
    if issubclass(kind, BaseModel):
        try:
            return kind.model_validate(held)
        except ValidationError:
            return kind.model_construct(**held)
    if is_dataclass(kind):
        return _load_dataclass(kind, held)
    with suppress(TypeError):
        return kind(**held)
    return held


def _load_dataclass(kind: type[Any], held: dict[str, Any]) -> Any:
    """Without its constructor, which may have made other values of what it was given."""
    made = object.__new__(kind)
    for field in fields(kind):
        if field.name in held:
            value = held[field.name]
        elif field.default is not MISSING:
            value = field.default
        elif field.default_factory is not MISSING:
            value = field.default_factory()
        else:
            return held
        object.__setattr__(made, field.name, value)
    return made


_LOADERS: dict[str, Callable[[dict[str, Json]], Any]] = {
    "none": lambda stored: None,
    "dict": lambda stored: {load(key): load(item) for key, item in stored["items"]},
    "int": lambda stored: int(stored["value"]),
    "float": lambda stored: float(stored["value"]),
    "message": _load_message,
    "document": lambda stored: Document(**_fields(stored)),
    "interrupt": lambda stored: Interrupt(**_fields(stored)),
    "send": lambda stored: Send(**_fields(stored)),
    "command": lambda stored: Command(**_fields(stored)),
    "overwrite": lambda stored: Overwrite(load(stored["value"])),
    "delta": lambda stored: _DeltaSnapshot(load(stored["value"])),
    "object": _load_object,
    "enum": _load_enum,
    "secret": _load_secret,
    "tuple": lambda stored: tuple(_held(stored)),
    "set": lambda stored: set(_held(stored)),
    "frozenset": lambda stored: frozenset(_held(stored)),
    "deque": lambda stored: deque(_held(stored), stored["maxlen"]),
    "datetime": _load_moment(datetime),
    "time": _load_moment(time),
    "date": lambda stored: date.fromisoformat(stored["value"]),
    "timedelta": lambda stored: timedelta(*stored["value"]),
    "zone": lambda stored: ZoneInfo(stored["value"]),
    "timezone": lambda stored: timezone(timedelta(seconds=stored["value"])),
    "uuid": lambda stored: UUID(stored["value"]),
    "decimal": lambda stored: Decimal(stored["value"]),
    "path": lambda stored: Path(stored["value"]),
    "bytes": lambda stored: b64decode(stored["value"]),
    "bytearray": lambda stored: bytearray(b64decode(stored["value"])),
    "pattern": lambda stored: compile_pattern(load(stored["value"]), stored["flags"]),
    "address": lambda stored: ip_address(stored["value"]),
    "interface": lambda stored: ip_interface(stored["value"]),
    "network": lambda stored: ip_network(stored["value"]),
    "array": _load_array,
    "error": lambda stored: RecordedError(stored["type"], stored["message"], stored["repr"]),
}


class Serde:
    """The same as LangGraph's `SerializerProtocol`, for what asks a checkpointer for its own."""

    def dumps_typed(self, value: Any) -> tuple[str, bytes]:
        return "json", orjson.dumps(dump(value))

    def loads_typed(self, data: tuple[str, bytes]) -> Any:
        """Raises ValueError for another form than JSON."""
        if data[0] != "json":
            raise ValueError(f"{data[0]!r} is not stored here: JSON only.")
        return load(orjson.loads(data[1]))
