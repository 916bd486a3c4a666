"""Values of graphs made into JSON; `graphs.serde` says in which form, and makes values of it again."""

import math
from base64 import b64encode
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum
from functools import lru_cache
from pathlib import PurePath
from re import Pattern
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from langchain_core.documents import Document
from langchain_core.messages import BaseMessage
from langgraph.checkpoint.serde.types import _DeltaSnapshot
from langgraph.store.base import Item
from langgraph.types import Command, Interrupt, Overwrite, Send
from pydantic import BaseModel, SecretBytes, SecretStr

from graphs.recorded import RecordedError
from graphs.rendering import INTEGERS, TAG, Json, text


def dump(value: Any) -> Json:
    """`value` as JSON that `load` makes the same of, a copy through and through.

    NUL and lone surrogates in texts become U+FFFD. Raises TypeError for what has no form: a function, a connection.
    """
    kind: Any = type(value)
    if kind is str:
        return text(value)
    if kind is bool or value is None:
        return value
    if kind is int:
        return value if value in INTEGERS else {TAG: "int", "value": str(value)}
    if kind is float:
        return value if math.isfinite(value) else {TAG: "float", "value": str(value)}
    if kind is list:
        return [dump(item) for item in value]
    if kind is dict:
        return _dump_dict(value)
    return _form(kind)(value)


def _dump_dict(value: Mapping[Any, Any]) -> Json:
    if not value:
        return {}
    if TAG in value or not _STRINGS.issuperset(map(type, value)):
        return {TAG: "dict", "items": [[dump(key), dump(item)] for key, item in value.items()]}
    return {text(key): dump(item) for key, item in value.items()}


_STRINGS = frozenset({str})


def _message(message: BaseMessage) -> Json:
    """Most of what graphs hold are messages, and each checkpoint holds them all: their texts take no detour."""
    stored: dict[str, Json] = {TAG: "message"}
    for held in (message.__dict__, message.__pydantic_extra__ or {}):
        for name, item in held.items():
            if name != TAG:
                stored[name] = text(item) if type(item) is str else dump(item)
    return stored


def name_of(kind: type[Any]) -> str:
    """What a class is called in what is stored of its objects."""
    return f"{kind.__module__}:{kind.__qualname__}"


def _tagged(tag: str, *names: str) -> Callable[[Any], Json]:
    return lambda value: {TAG: tag, **{name: dump(getattr(value, name)) for name in names}}


def _items(tag: str) -> Callable[[Any], Json]:
    return lambda value: {TAG: tag, "items": [dump(item) for item in value]}


def _words(tag: str) -> Callable[[Any], Json]:
    return lambda value: {TAG: tag, "value": text(str(value))}


def _moment(value: datetime | time) -> Json:
    stored: dict[str, Json] = {TAG: type(value).__name__ if type(value) in (datetime, time) else "datetime"}
    zone = value.tzinfo
    if isinstance(zone, ZoneInfo) and zone.key:
        stored |= {"value": value.replace(tzinfo=None).isoformat(), "zone": zone.key}
    else:
        stored |= {"value": value.isoformat()}
    return stored | ({"fold": value.fold} if value.fold else {})


def _interrupt(value: Interrupt[Any]) -> Json:
    stored = {TAG: "interrupt", "value": dump(value.value), "id": value.id}
    # A class was its schema already where it could be shown.
    schema = value.response_schema if isinstance(value.response_schema, dict) else None
    return stored | {"response_schema": dump(schema)}


def _error(value: BaseException) -> Json:
    if isinstance(value, RecordedError):
        return {TAG: "error", "type": value.kind, "message": value.message, "repr": value.shown}
    return {TAG: "error", "type": type(value).__name__, "message": text(str(value)), "repr": text(repr(value))}


def _secret(value: SecretStr | SecretBytes) -> Json:
    return {TAG: "secret", "value": dump(value.get_secret_value())}


def _array(value: Any) -> Json:
    return {TAG: "array", "dtype": value.dtype.str, "items": dump(value.tolist())}


def _object(value: Any, held: Mapping[str, Any]) -> Json:
    return {TAG: "object", "class": name_of(type(value)), "value": _dump_dict(held)}


_FORMS: tuple[tuple[Any, Callable[[Any], Json]], ...] = (
    (Enum, lambda value: {TAG: "enum", "class": name_of(type(value)), "value": dump(value.value)}),
    (str, lambda value: text(str(value))),
    (BaseMessage, _message),
    (Document, _tagged("document", "id", "metadata", "page_content", "type")),
    (Interrupt, _interrupt),
    (Send, _tagged("send", "node", "arg", "timeout")),
    (Command, _tagged("command", "graph", "update", "resume", "goto")),
    (Overwrite, _tagged("overwrite", "value", "type")),
    (_DeltaSnapshot, _tagged("delta", "value")),
    (BaseModel, lambda value: _object(value, {**value.__dict__, **(value.__pydantic_extra__ or {})})),
    ((SecretStr, SecretBytes), _secret),
    (Mapping, _dump_dict),
    (list, lambda value: [dump(item) for item in value]),
    (tuple, _items("tuple")),
    (set, _items("set")),
    (frozenset, _items("frozenset")),
    (deque, lambda value: {TAG: "deque", "items": [dump(item) for item in value], "maxlen": value.maxlen}),
    ((datetime, time), _moment),
    (date, _words("date")),
    (timedelta, lambda value: {TAG: "timedelta", "value": [value.days, value.seconds, value.microseconds]}),
    (ZoneInfo, _words("zone")),
    (timezone, lambda value: {TAG: "timezone", "value": value.utcoffset(None).total_seconds()}),
    (UUID, _words("uuid")),
    (Decimal, _words("decimal")),
    (PurePath, _words("path")),
    ((bytes, memoryview), lambda value: {TAG: "bytes", "value": b64encode(value).decode()}),
    (bytearray, lambda value: {TAG: "bytearray", "value": b64encode(value).decode()}),
    (Pattern, lambda value: {TAG: "pattern", "value": dump(value.pattern), "flags": value.flags}),
    (BaseException, _error),
    (int, lambda value: dump(int(value))),
    (float, lambda value: dump(float(value))),
)


@lru_cache(maxsize=1_000)
def _form(kind: Any) -> Callable[[Any], Json]:
    """How values of this class are stored; raises TypeError where they cannot be."""
    if issubclass(kind, tuple) and hasattr(kind, "_asdict") and kind is not _DeltaSnapshot:
        return lambda value: _object(value, value._asdict())
    for base, how in _FORMS:
        if issubclass(kind, base):
            return how
    if is_dataclass(kind):
        names = [field.name for field in fields(kind)]
        return lambda value: _object(value, {name: getattr(value, name) for name in names})
    if kind is Item:
        return lambda value: _object(value, {name: getattr(value, name) for name in Item.__slots__})
    if kind.__module__ == "ipaddress":
        return _words(_ADDRESSES[kind.__name__[4:]])
    if kind.__module__ == "numpy" and hasattr(kind, "tolist"):
        return _array if kind.__name__ == "ndarray" else lambda value: dump(value.tolist())
    raise TypeError(f"A graph's state cannot hold a value of the type {kind.__name__}: it has no form in JSON.")


_ADDRESSES = {"Address": "address", "Interface": "interface", "Network": "network"}
