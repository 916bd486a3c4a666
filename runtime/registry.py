"""The agent types that an assistant may choose by name."""

import inspect
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib import import_module
from typing import Any, TypeVar

from pydantic import BaseModel

from runtime.contract import BaseAgent

A = TypeVar("A", bound=type[BaseAgent])

# Built-in types are entry strings, so that a process that runs no agent does not import langchain.
_BUILT_IN = {"ReactAgent": "runtime.react:ReactAgent"}
_registered: dict[str, type[BaseAgent]] = {}


@dataclass(frozen=True)
class AgentType:
    """One entry of the list of agent types."""

    name: str
    description: str
    config_schema: dict[str, Any]

    def document(self) -> dict[str, Any]:
        return {"name": self.name, "description": self.description, "config_schema": self.config_schema}


def register_agent(name: str) -> Callable[[A], A]:
    """Register a subclass of `BaseAgent` under `name`, which assistants then give as their `type`.

    Its description is the first paragraph of the docstring; a pydantic model `Config` inside the class
    describes the part of the assistant's configuration that it reads. Raises `ValueError` where the name is
    taken.
    """

    def register(cls: A) -> A:
        taken = _registered.get(name)
        # A module that is imported again under the same name (a reload) is not a second owner of it.
        if name in _BUILT_IN or (taken is not None and taken.__qualname__ != cls.__qualname__):
            raise ValueError(f"The agent type {name!r} is registered already.")
        _registered[name] = cls
        return cls

    return register


def load_agents(modules: Iterable[str]) -> None:
    """Import the modules (dotted paths) that register agent types; raises `ImportError` where one is
    missing."""
    for module in modules:
        import_module(module)


def agent_names() -> list[str]:
    """The registered names, sorted."""
    return sorted({*_BUILT_IN, *_registered})


def agent_class(name: str) -> type[BaseAgent]:
    """The class that is registered as `name`; raises `LookupError`."""
    if name in _registered:
        return _registered[name]
    if name not in _BUILT_IN:
        raise LookupError(f"There is no agent type {name!r}; there are {', '.join(agent_names())}.")
    module, _, attribute = _BUILT_IN[name].partition(":")
    cls: type[BaseAgent] = getattr(import_module(module), attribute)
    return cls


def agent_types() -> list[AgentType]:
    """All agent types with what a reader needs to choose one."""
    return [_describe(name, agent_class(name)) for name in agent_names()]


def _describe(name: str, cls: type[BaseAgent]) -> AgentType:
    description = (inspect.getdoc(cls) or "").split("\n\n")[0].replace("\n", " ")
    config: object = getattr(cls, "Config", None)
    if not (isinstance(config, type) and issubclass(config, BaseModel)):
        return AgentType(name, description, {})
    return AgentType(name, description, config.model_json_schema())
