"""The agent types that an assistant may choose by name."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import entry_points
from pkgutil import resolve_name
from typing import TypeVar

from pydantic import BaseModel

from core.text import first_paragraph
from runtime.contract import BaseAgent

A = TypeVar("A", bound=type[BaseAgent])

ENTRY_POINTS = "agent_server.agents"


@dataclass(frozen=True)
class AgentType:
    """What there is to know of an agent type before one of its agents is made.

    `config` narrows the assistant's configuration: the part of it that the type reads, and what it demands of it.
    """

    name: str
    description: str
    config: type[BaseModel] | None = None
    read_only_tools: bool = False
    takes_interrupt_on: bool = False
    takes_middleware: bool = False
    takes_output_schema: bool = False
    takes_any_input: bool = False


# Entry strings and not classes, so that a process that runs no agent does not import langchain.
_BUILT_IN = {
    "ReactAgent": "runtime.react:ReactAgent",
    "DocumentAssistant": "runtime.documents:DocumentAssistant",
}
_BUILT_IN_TYPES = {
    "ReactAgent": AgentType(
        "ReactAgent",
        "Reasons about the state, calls tools, observes their results, and repeats until it can answer.",
        takes_interrupt_on=True,
        takes_middleware=True,
        takes_output_schema=True,
    ),
    "DocumentAssistant": AgentType(
        "DocumentAssistant",
        "Retrieves from knowledge bases before it answers, and cites what it used. Its tools only read.",
        read_only_tools=True,
    ),
}
_registered: dict[str, type[BaseAgent]] = {}
# Those of the server's own apps above this one, as the built-in ones.
_added: dict[str, tuple[str, AgentType]] = {}


def register_agent(name: str) -> Callable[[A], A]:
    """Register a subclass of `BaseAgent` under `name`, which assistants then give as their `type`.

    Its description is the first paragraph of the docstring; its `Config` and `read_only_tools` are checked when an
    assistant is saved (see `BaseAgent`). Raises `ValueError` where the name is taken.
    """

    def register(cls: A) -> A:
        taken = _registered.get(name)
        # A module that is imported again under the same name (a reload) is not a second owner of it.
        if name in _BUILT_IN or name in _added or (taken is not None and taken.__qualname__ != cls.__qualname__):
            raise ValueError(f"The agent type {name!r} is registered already.")
        _registered[name] = cls
        return cls

    return register


def add_agent(entry: str, kind: AgentType) -> None:
    """Register the class at `entry` ("module:Class"), which is imported when the first such agent is made."""
    _added[kind.name] = entry, kind


def load_agents(modules: Iterable[str]) -> None:
    """Import the modules (dotted paths) that register agent types; raises `ImportError` where one is
    missing."""
    for module in modules:
        import_module(module)


def load_installed_agents() -> None:
    """Register the agent types of installed packages: entry points `name = "module:Class"` of the group
    `agent_server.agents`.

    Raises `ValueError` where the name is taken or the entry is no subclass of `BaseAgent`, and whatever importing
    it raises.
    """
    for entry in entry_points(group=ENTRY_POINTS):
        cls = entry.load()
        if not (isinstance(cls, type) and issubclass(cls, BaseAgent)):
            raise ValueError(f"The entry point {entry.name} = {entry.value!r} is no subclass of BaseAgent.")
        register_agent(entry.name)(cls)


def agent_names() -> list[str]:
    """The registered names, sorted."""
    return sorted({*_BUILT_IN, *_added, *_registered})


def agent_class(name: str) -> type[BaseAgent]:
    """The class that is registered as `name`; raises `LookupError`."""
    if name in _registered:
        return _registered[name]
    entry = _added[name][0] if name in _added else _BUILT_IN.get(name)
    if entry is None:
        raise LookupError(f"There is no agent type {name!r}; there are {', '.join(agent_names())}.")
    cls: type[BaseAgent] = resolve_name(entry)
    return cls


def agent_type(name: str) -> AgentType:
    """What is known of the type called `name`; raises `LookupError`."""
    if name in _added:
        return _added[name][1]
    return _BUILT_IN_TYPES.get(name) or _describe(name, agent_class(name))


def agent_types() -> list[AgentType]:
    """All agent types with what a reader needs to choose one."""
    return [agent_type(name) for name in agent_names()]


def _describe(name: str, cls: type[BaseAgent]) -> AgentType:
    return AgentType(
        name,
        first_paragraph(cls),
        cls.Config,
        cls.read_only_tools,
        cls.takes_interrupt_on,
        cls.takes_middleware,
        cls.takes_output_schema,
        cls.takes_any_input,
    )
