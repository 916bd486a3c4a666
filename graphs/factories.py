"""Graphs that are made anew each time: by a function that the deployment names in the place of a graph.

Imports langgraph: imported on first use only. What a factory may take is LangGraph's: the run's config, and the
`ServerRuntime` of `langgraph_sdk.runtime`, each found by its annotation or name.
"""

import asyncio
import inspect
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AbstractContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any, get_args, get_origin, get_type_hints

from langchain_core.runnables import RunnableConfig
from langgraph.graph import StateGraph
from langgraph.pregel import Pregel
from langgraph_sdk import runtime as sdk
from langgraph_sdk.auth.types import BaseUser
from pydantic import TypeAdapter

# Why a graph is needed, as our callers say it and as `ServerRuntime.access_context` has it.
ACCESS = {
    "run": "threads.create_run",
    "update": "threads.update",
    "read": "threads.read",
    "assistants": "assistants.read",
}
# Parameters without an annotation that says what they are.
_BY_NAME = {"config": "config", "runtime": "runtime", "user": "user", "store": "store"}
_RUNTIMES = (sdk.ServerRuntime, sdk._ExecutionRuntime, sdk._ReadRuntime, sdk._ServerRuntimeBase)


class NotAGraphError(TypeError):
    """What a deployment names, or what its factory gives, is no graph."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a factory is called with: for each of its parameters "config", "runtime", "user" or "store"."""

    parameters: Mapping[str, str]
    context_type: Any = None


@dataclass(frozen=True, slots=True)
class Given:
    """What there is to give."""

    config: dict[str, Any]
    store: Any
    user: Any
    access: str

    def argument(self, kind: str, wanted: Wanted) -> Any:
        if kind == "runtime":
            return self._runtime(wanted)
        return getattr(self, kind)

    def _runtime(self, wanted: Wanted) -> Any:
        access: Any = ACCESS.get(self.access, self.access)
        if access != "threads.create_run":
            return sdk._ReadRuntime(access_context=access, user=self.user, store=self.store)
        context = self.config.get("context")
        if wanted.context_type is not None and isinstance(context, dict):
            context = TypeAdapter(wanted.context_type).validate_python(context)
        return sdk._ExecutionRuntime(access_context=access, user=self.user, store=self.store, context=context)


def compiled(found: Any) -> Pregel[Any, Any, Any, Any]:
    """A graph, ready to run; raises NotAGraphError."""
    if isinstance(found, StateGraph):
        found = found.compile()
    if not isinstance(found, Pregel):
        raise NotAGraphError(f"is a {type(found).__name__}, and no graph")
    return found


def wants(factory: Callable[..., Any]) -> Wanted:
    """What the factory takes; raises NotAGraphError where one of its parameters is not known here."""
    try:
        hints = get_type_hints(inspect.unwrap(factory))
    except (NameError, TypeError):
        # An annotation that names what is imported for type checkers only.
        hints = {}
    parameters = inspect.signature(factory).parameters.values()
    taken = [p for p in parameters if p.kind not in {p.VAR_POSITIONAL, p.VAR_KEYWORD}]
    kinds: dict[str, str] = {}
    context_type = None
    for parameter in taken:
        annotation = hints.get(parameter.name, parameter.annotation)
        kind = _kind(parameter.name, annotation)
        if kind is None and len(taken) == 1 and annotation in {inspect.Parameter.empty, dict, Any}:
            # A factory with one parameter takes the config, whatever it calls it.
            kind = "config"
        if kind is None:
            if parameter.default is not inspect.Parameter.empty:
                continue
            raise NotAGraphError(f"takes {parameter.name!r}, which is neither the config nor the runtime")
        kinds[parameter.name] = kind
        if kind == "runtime":
            context_type = next(iter(get_args(annotation)), None)
    return Wanted(kinds, context_type)


def _kind(name: str, annotation: Any) -> str | None:
    origin = get_origin(annotation) or annotation
    if origin is RunnableConfig:
        return "config"
    if any(origin is each for each in _RUNTIMES):
        return "runtime"
    if origin is BaseUser:
        return "user"
    return _BY_NAME.get(name)


@asynccontextmanager
async def made_by(
    factory: Callable[..., Any], wanted: Wanted, given: Given
) -> AsyncIterator[Pregel[Any, Any, Any, Any]]:
    """The graph that a call of the factory gives; what it opens is closed at the end. Raises what it raises."""
    arguments = {name: given.argument(kind, wanted) for name, kind in wanted.parameters.items()}
    async with AsyncExitStack() as opened:
        made = factory(**arguments) if _is_async(factory) else await asyncio.to_thread(factory, **arguments)
        if inspect.isawaitable(made):
            made = await made
        if isinstance(made, AbstractAsyncContextManager) and not isinstance(made, Pregel | StateGraph):
            made = await opened.enter_async_context(made)
        elif isinstance(made, AbstractContextManager) and not isinstance(made, Pregel | StateGraph):
            made = await _enter(opened, made)
        yield compiled(made)


def _is_async(factory: Callable[..., Any]) -> bool:
    """Whether a call gives something to await or to enter at once, and blocks nobody."""
    inner = inspect.unwrap(factory)
    return inspect.iscoroutinefunction(inner) or inspect.isasyncgenfunction(inner)


async def _enter(opened: AsyncExitStack, manager: AbstractContextManager[Any]) -> Any:
    """Enter a blocking context manager, and have it left, in threads."""
    made = await asyncio.to_thread(manager.__enter__)

    async def leave(*error: Any) -> bool | None:
        return await asyncio.to_thread(manager.__exit__, *error)

    opened.push_async_exit(leave)
    return made
