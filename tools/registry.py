"""The tools that an assistant may list by name."""

from functools import cache
from importlib import import_module
from typing import Any

from runtime.contract import Tool

_BUILT_IN = (
    "tools.builtin.calculator",
    "tools.builtin.current_time",
    "tools.builtin.http_request",
)
_tools: dict[str, Tool] = {}


def register(tool: Tool) -> Tool:
    """Make `tool` available under its name; raises `ValueError` where another class has that name."""
    taken = _tools.get(tool.name)
    # A module that is imported again under the same name (a reload) is not a second owner of it.
    if taken is not None and type(taken).__qualname__ != type(tool).__qualname__:
        raise ValueError(f"The tool {tool.name!r} is registered already.")
    _tools[tool.name] = tool
    return tool


def get(name: str) -> Tool:
    """The tool called `name`; raises `LookupError`."""
    _load_built_in()
    if name not in _tools:
        raise LookupError(f"There is no tool {name!r}; there are {', '.join(names())}.")
    return _tools[name]


def names() -> list[str]:
    """The names, sorted."""
    _load_built_in()
    return sorted(_tools)


def documents() -> list[dict[str, Any]]:
    """Every tool as a reader sees it, with the JSON Schemas of its arguments and of its parameters."""
    return [_document(get(name)) for name in names()]


def _document(tool: Tool) -> dict[str, Any]:
    return {
        "name": tool.name,
        "description": tool.description,
        "args_schema": tool.Args.model_json_schema(),
        "parameters_schema": tool.Parameters.model_json_schema(),
    }


@cache
def _load_built_in() -> None:
    for module in _BUILT_IN:
        import_module(module)
