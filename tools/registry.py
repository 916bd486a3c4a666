"""The tools that an assistant may list by name."""

from functools import cache
from importlib import import_module
from typing import Any

from pydantic import ValidationError

from runtime.contract import Tool
from runtime.secrets import NO_SECRETS

_BUILT_IN = (
    "tools.builtin.artifact_read",
    "tools.builtin.calculator",
    "tools.builtin.current_time",
    "tools.builtin.file_read",
    "tools.builtin.http_request",
    "tools.builtin.knowledge_search",
    "tools.builtin.web_search",
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
        "read_only": tool.read_only,
        "once": tool.once,
        "cacheable": tool.cacheable,
        "timeout_s": tool.timeout_s,
        "problems": _problems(tool),
    }


def _problems(tool: Tool) -> list[str]:
    """What keeps the tool from working on this server with the parameters' defaults."""
    try:
        parameters = tool.Parameters.model_validate({})
    except ValidationError as error:
        return [f"The parameter {fault['loc'][0]} is missing." for fault in error.errors()]
    return tool.check(parameters.model_dump(mode="json"), NO_SECRETS)


@cache
def _load_built_in() -> None:
    for module in _BUILT_IN:
        import_module(module)
