"""The classes that a graph knows: those that objects in its state may be built from again (`graphs.serde.allow`).

They are found in its schemas and channels, and in the modules in which these and its nodes are written: whatever a
node can name there it may put into the state. Nothing is imported for it.
"""

import sys
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import is_dataclass
from enum import Enum
from typing import Any, get_args, get_type_hints
from weakref import WeakSet

from langgraph.pregel import Pregel
from pydantic import BaseModel

from graphs.serde import allow

# What their modules name is not the graph's.
_LIBRARIES = sys.stdlib_module_names | {"langgraph", "langchain", "langchain_core", "pydantic"}

_seen: WeakSet[Any] = WeakSet()


def allow_classes_of(graph: Pregel[Any, Any, Any, Any]) -> None:
    """Let objects of the classes that the graph and its subgraphs know be built again; a graph is looked at once."""
    builder = getattr(graph, "builder", None)
    if builder in _seen:
        return
    if builder is not None:
        _seen.add(builder)
    for each in (graph, *(subgraph for _, subgraph in graph.get_subgraphs(recurse=True))):
        if isinstance(each, Pregel):
            allow(*classes_of(each))


def classes_of(graph: Pregel[Any, Any, Any, Any]) -> set[type[Any]]:
    """The classes that one graph, without its subgraphs, knows."""
    found: set[type[Any]] = set()
    modules = {_module_of(function) for function in _functions(graph)}
    for kind in _reached(_schemas(graph)):
        modules.add(_module_of(kind))
        if _is_rebuilt(kind):
            found.add(kind)
    for name in modules - {""}:
        found |= {kind for kind in vars(sys.modules[name]).values() if _is_rebuilt(kind) and _module_of(kind)}
    return found


def _is_rebuilt(kind: Any) -> bool:
    return isinstance(kind, type) and (
        is_dataclass(kind)
        or issubclass(kind, BaseModel | Enum)
        or (issubclass(kind, tuple) and hasattr(kind, "_asdict"))
    )


def _module_of(thing: Any) -> str:
    """The loaded module in which it is written; "" for one that is no graph's own."""
    name: str = getattr(thing, "__module__", None) or ""
    return name if name in sys.modules and name.partition(".")[0] not in _LIBRARIES else ""


def _schemas(graph: Pregel[Any, Any, Any, Any]) -> Iterator[Any]:
    builder = getattr(graph, "builder", None)
    yield from getattr(builder, "schemas", ())
    yield getattr(graph, "context_schema", None)
    for channel in graph.channels.values():
        yield from (getattr(channel, "ValueType", None), getattr(channel, "UpdateType", None))


def _functions(graph: Pregel[Any, Any, Any, Any]) -> Iterator[Any]:
    for node in graph.nodes.values():
        for name in ("func", "afunc"):
            if (function := getattr(node.bound, name, None)) is not None:
                yield function


def _reached(types: Iterable[Any]) -> Iterator[type[Any]]:
    """The classes that these annotations are made of, those of their fields too."""
    seen: set[int] = set()
    waiting = deque(types)
    while waiting:
        kind = waiting.popleft()
        if kind is None or id(kind) in seen:
            continue
        seen.add(id(kind))
        waiting.extend(get_args(kind))
        if isinstance(kind, type):
            yield kind
            # Names that are known while types are checked only cannot be looked up.
            with suppress(NameError, TypeError, AttributeError):
                waiting.extend(get_type_hints(kind, include_extras=True).values())
