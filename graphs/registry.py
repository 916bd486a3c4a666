"""The graphs of this deployment by their ids, each loaded once in a process, on first need.

    async with graph_for("echo", config, store=store, checkpointer=saver) as graph:
        await graph.ainvoke(...)

A graph that is compiled is the same object each time, with this server's checkpointer and store in the place of its
own; a factory is called each time (`graphs.factories`).
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING, Any

from graphs.loading import load
from runtime.configuration import current
from runtime.langgraph_json import LangGraphConfig, Source

if TYPE_CHECKING:
    from graphs.factories import Wanted

# How langgraph calls a graph that nobody has given a name.
_NO_NAME = "LangGraph"

log = logging.getLogger(__name__)


class UnknownGraphError(LookupError):
    """There is no graph of this id, or it has left langgraph.json."""

    def __init__(self, graph_id: str):
        super().__init__(f"This server hosts no graph {graph_id!r}.")


class BrokenGraphError(Exception):
    """The graph's code cannot be loaded, or is no graph; the message names the graph and says why."""

    def __init__(self, graph_id: str, why: str):
        super().__init__(f"The graph {graph_id!r} {why}.")


@dataclass(frozen=True, slots=True)
class _Loaded:
    """A compiled graph, or a factory and what it takes."""

    found: Any
    wanted: "Wanted | None"


_loaded: dict[Source, _Loaded] = {}
_lock = Lock()


def config() -> LangGraphConfig:
    """What the deployment says in its langgraph.json; empty where it hosts no graphs."""
    return current().langgraph


def graph_ids() -> list[str]:
    """The ids of the hosted graphs, as they are listed."""
    return list(config().graphs)


def load_graph(graph_id: str) -> _Loaded:
    """Load the graph's code, unless that is done; blocking. Raises UnknownGraphError and BrokenGraphError."""
    source = _source(graph_id)
    if (loaded := _loaded.get(source)) is not None:
        return loaded
    with _lock:
        if (loaded := _loaded.get(source)) is None:
            loaded = _loaded[source] = _load(graph_id, source)
    return loaded


def load_all() -> dict[str, str]:
    """Load every graph, so that the first run of each is quick; gives why some cannot be, by id. Blocking: seconds."""
    broken = {}
    for graph_id in graph_ids():
        try:
            load_graph(graph_id)
        except BrokenGraphError as fault:
            log.error("%s", fault)
            broken[graph_id] = str(fault)
    return broken


@asynccontextmanager
async def graph_for(
    graph_id: str,
    config: dict[str, Any],
    *,
    store: Any,
    checkpointer: Any,
    user: Any = None,
    access: str = "run",
) -> AsyncIterator[Any]:
    """The graph, ready to run, as a `langgraph.pregel.Pregel` with this checkpointer and store.

    `config` is the run's config (and `context`), which a factory may take, with `user`, who asks, and `access`: "run",
    "update", "read" or "assistants". Raises UnknownGraphError, BrokenGraphError, and what a factory raises.
    """
    loaded = _loaded.get(_source(graph_id))
    if loaded is None:
        loaded = await asyncio.to_thread(load_graph, graph_id)
    if loaded.wanted is None:
        yield _as_ours(loaded.found, graph_id, checkpointer, store)
        return
    from graphs.classes import allow_classes_of  # noqa: PLC0415
    from graphs.factories import Given, NotAGraphError, made_by  # noqa: PLC0415

    try:
        opened = made_by(loaded.found, loaded.wanted, Given(config, store, user, access))
        async with opened as graph:
            allow_classes_of(graph)
            yield _as_ours(graph, graph_id, checkpointer, store)
    except NotAGraphError as fault:
        raise BrokenGraphError(graph_id, f"is made by a factory whose result {fault}") from fault


def _as_ours(graph: Any, graph_id: str, checkpointer: Any, store: Any) -> Any:
    """A copy that keeps its things here; of what it is made of, nothing is copied."""
    name = graph_id if graph.name == _NO_NAME else graph.name
    return graph.copy({"checkpointer": checkpointer, "store": store, "name": name})


def _source(graph_id: str) -> Source:
    entry = config().graphs.get(graph_id)
    if entry is None:
        raise UnknownGraphError(graph_id)
    return entry.source


def _load(graph_id: str, source: Source) -> _Loaded:
    # langgraph takes more than a second to import, and few processes need it.
    from graphs.classes import allow_classes_of  # noqa: PLC0415
    from graphs.factories import NotAGraphError, compiled, wants  # noqa: PLC0415

    try:
        found = load(source, config().paths)
    except Exception as error:
        # Whatever the deployment's own code raises.
        raise BrokenGraphError(graph_id, f"cannot be loaded from {source}: {type(error).__name__}: {error}") from error
    try:
        if callable(found) and not hasattr(found, "compile") and not hasattr(found, "astream"):
            return _Loaded(found, wants(found))
        graph = compiled(found)
    except NotAGraphError as fault:
        raise BrokenGraphError(graph_id, f"({source}) {fault}") from fault
    if graph.checkpointer or graph.store is not None:
        log.warning("The graph %r has a checkpointer or a store of its own: this server's take their place.", graph_id)
    allow_classes_of(graph)
    return _Loaded(graph, None)
