"""Values of graphs as LangGraph's protocol shows them: plain JSON.

Nothing here loads LangGraph: the door does without it.
"""

import math
from base64 import b64encode
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import fields, is_dataclass
from datetime import date, datetime, time, timedelta
from enum import Enum
from functools import lru_cache
from typing import Any

from pydantic import BaseModel, SecretBytes, SecretStr
from pydantic_core import PydanticSerializationError

from core.text import clean

Json = Any
# The key that marks what is more than JSON in a stored document; `graphs.dumping` writes it.
TAG = "$lg"
# What orjson takes as an integer.
INTEGERS = range(-(2**63), 2**64)
_HIDDEN = "**********"


def text(value: str) -> str:
    """Text as PostgreSQL stores it. Nearly all is ASCII without NUL, which is cheap to see."""
    cleaned: str = value if value.isascii() and "\x00" not in value else clean(value)
    return cleaned


def render(value: Any) -> Json:
    """A live value as the protocol shows it.

    Messages and pydantic models as `model_dump()`, dataclasses as their fields, moments in ISO 8601, periods in
    seconds, UUIDs, paths and decimals as text, bytes as base64, all that holds several as lists, an exception and what
    else there is no form for as its `repr`. What JSON has no number for is null (NaN, infinity) or text (integers of
    more than 64 bits).
    """
    kind: Any = type(value)
    if kind is str:
        return text(value)
    if kind is bool or value is None:
        return value
    if kind is int:
        return value if value in INTEGERS else str(value)
    if kind is float:
        return value if math.isfinite(value) else None
    if kind is list:
        return [render(item) for item in value]
    if kind is dict:
        return {_key(key): render(item) for key, item in value.items()}
    return _form(kind)(value)


def _key(key: Any) -> str:
    if isinstance(key, str):
        return text(key)
    shown = render(key)
    if shown is None or isinstance(shown, bool):
        return {None: "null", True: "true", False: "false"}[shown]
    return str(shown)


def _items(value: Any) -> list[Json]:
    return [render(item) for item in value]


def _model(model: BaseModel) -> Json:
    """A message's fields are taken as they are: that is its `model_dump()`, and costs less."""
    if not hasattr(model, "response_metadata"):
        # What pydantic has no JSON for may have a form here.
        with suppress(PydanticSerializationError, ValueError):
            return render(model.model_dump(mode="json"))
    return {name: render(item) for name, item in {**model.__dict__, **(model.__pydantic_extra__ or {})}.items()}


def _slots(value: Any) -> Json:
    return {name: render(getattr(value, name)) for name in type(value).__slots__}


_FORMS: tuple[tuple[Any, Callable[[Any], Json]], ...] = (
    (Enum, lambda value: render(value.value)),
    (str, lambda value: text(str(value))),
    (BaseModel, _model),
    (Mapping, lambda value: {_key(key): render(item) for key, item in value.items()}),
    ((list, tuple, set, frozenset, deque), _items),
    ((datetime, date, time), lambda value: value.isoformat()),
    (timedelta, lambda value: value.total_seconds()),
    ((bytes, bytearray, memoryview), lambda value: b64encode(value).decode()),
    ((SecretStr, SecretBytes), lambda _: _HIDDEN),
    (BaseException, lambda value: text(repr(value))),
    (int, lambda value: render(int(value))),
    (float, lambda value: render(float(value))),
)


@lru_cache(maxsize=1_000)
def _form(kind: Any) -> Callable[[Any], Json]:
    """How values of this class are shown."""
    if issubclass(kind, tuple) and hasattr(kind, "_asdict"):
        return lambda value: render(value._asdict())
    for base, how in _FORMS:
        if issubclass(kind, base):
            return how
    if is_dataclass(kind):
        names = [field.name for field in fields(kind)]
        return lambda value: {name: render(getattr(value, name)) for name in names}
    if kind.__module__ in _SHOWN_AS_TEXT:
        return lambda value: text(str(value))
    if kind.__module__.startswith("langgraph.") and isinstance(getattr(kind, "__slots__", None), tuple):
        return _slots  # Send, Item
    if kind.__module__ == "numpy":
        return lambda value: render(value.tolist())
    return lambda value: text(repr(value))


_SHOWN_AS_TEXT = {"uuid", "decimal", "pathlib", "pathlib._local", "ipaddress", "zoneinfo", "datetime", "uuid_utils"}
