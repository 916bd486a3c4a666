"""What a webhook's body says of an event: made before its first attempt, the same bytes at every one."""

from collections.abc import Callable
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson

from core.documents import moment

# What the event knew, and its workspace -> `data` in the body.
Make = Callable[[dict[str, Any], UUID], dict[str, Any]]

_MAKERS: dict[str, Make] = {}
# What the event knew -> the whole body.
MakeWhole = Callable[[dict[str, Any]], dict[str, Any]]

_FORMATS: dict[str, MakeWhole] = {}


def register(kind_prefix: str, make: Make) -> None:
    """Have `make` give `data` for the kinds that begin with `kind_prefix` ("run."): those of others go as they are.

    It knows what is in the event and no more: no database is asked, because an attempt has no time for it.
    """
    _MAKERS[kind_prefix] = make


def register_format(name: str, make: MakeWhole) -> None:
    """Have `make` give the whole body of events that are `told_as` this: another protocol's."""
    _FORMATS[name] = make


def body_of(kind: str, data: dict[str, Any], workspace_id: UUID, created_at: datetime) -> str:
    """The body as JSON: `type`, `timestamp` (when it happened) and `data`; another protocol's has its own shape."""
    if whole := _FORMATS.get(data.get("told_as", "")):
        return orjson.dumps(whole(data)).decode()
    make = next((make for prefix, make in _MAKERS.items() if kind.startswith(prefix)), None)
    body = {
        "type": kind,
        "timestamp": moment(created_at),
        "data": data if make is None else make(data, workspace_id),
    }
    return orjson.dumps(body).decode()
