"""The classes of a graph's own that its state may hold, so that objects of them can be built again (`graphs.serde`).

Imports langgraph: imported where a graph is carried out only.
"""

from collections.abc import Iterator
from dataclasses import is_dataclass
from enum import Enum
from typing import Any, get_args, get_origin, get_type_hints, is_typeddict

from langgraph.pregel import Pregel
from pydantic import BaseModel

from graphs.serde import allow

_seen: set[Any] = set()


def allow_classes_of(graph: Pregel[Any, Any, Any, Any]) -> None:
    """Allow what the types of the graph's channels and schemas name, and those of its subgraphs."""
    for named in _types_of(graph):
        if _is_new(named):
            allow(*_classes_in(named))


def _types_of(graph: Pregel[Any, Any, Any, Any]) -> Iterator[Any]:
    builder = getattr(graph, "builder", None)
    if builder is not None:
        yield from builder.schemas
    else:
        # A function (`@entrypoint`): what it takes and gives are channels.
        for channel in graph.channels.values():
            yield getattr(channel, "ValueType", None)
    if graph.context_schema is not None:
        yield graph.context_schema
    for _, inner in graph.get_subgraphs():
        yield from _types_of(inner)


def _is_new(named: Any) -> bool:
    try:
        if named in _seen:
            return False
        _seen.add(named)
    except TypeError:
        pass  # an annotation that has no hash is looked at again
    return True


def _classes_in(named: Any) -> Iterator[type[Any]]:
    """The classes below a type: of generics those of their arguments, of records those of their fields."""
    for argument in get_args(named):
        if _is_new(argument):
            yield from _classes_in(argument)
    if get_origin(named) is not None or not isinstance(named, type):
        return
    is_record = issubclass(named, BaseModel) or is_dataclass(named) or hasattr(named, "_fields")
    if is_record or issubclass(named, Enum):
        yield named
    if is_record or is_typeddict(named):
        for hint in _hints(named).values():
            if _is_new(hint):
                yield from _classes_in(hint)


def _hints(named: type[Any]) -> dict[str, Any]:
    try:
        return get_type_hints(named, include_extras=True)
    except (NameError, TypeError):
        # A name that is there for type checkers only.
        return {}
