"""The middleware that an assistant may list by name; one file each."""

from dataclasses import dataclass
from pkgutil import resolve_name
from typing import TypeVar

from pydantic import BaseModel

from core.text import first_paragraph
from runtime.middleware.base import Middleware

M = TypeVar("M", bound=type[Middleware])

# Entry strings and not classes: a process that runs no agent imports none of them.
BUILT_IN: dict[str, str] = {
    "ask_user": "runtime.middleware.ask_user:AskUser",
    "conversation_title": "runtime.middleware.conversation_title:ConversationTitle",
    "files": "runtime.middleware.files:FileSystem",
    "limits": "runtime.middleware.limits:Limits",
    "patch_tool_calls": "runtime.middleware.patch_tool_calls:PatchToolCalls",
    "subagents": "runtime.middleware.subagents:Subagents",
    "summarization": "runtime.middleware.summarization:Summarization",
    "todo_list": "runtime.middleware.todo_list:TodoList",
    "until_tool": "runtime.middleware.until_tool:UntilTool",
}
_registered: dict[str, type[Middleware]] = {}


@dataclass(frozen=True)
class MiddlewareType:
    """What there is to know of a middleware before it is listed."""

    name: str
    description: str
    settings: type[BaseModel]


def register_middleware(cls: M) -> M:
    """Make a subclass of `Middleware` available under its `name`. Raises `ValueError` where the name is taken."""
    taken = _registered.get(cls.name)
    # A module that is imported again under the same name (a reload) is not a second owner of it.
    if cls.name in BUILT_IN or (taken is not None and taken.__qualname__ != cls.__qualname__):
        raise ValueError(f"The middleware {cls.name!r} is registered already.")
    _registered[cls.name] = cls
    return cls


def middleware_names() -> list[str]:
    """The names, sorted."""
    return sorted({*BUILT_IN, *_registered})


def middleware_class(name: str) -> type[Middleware]:
    """The class that is called `name`; raises `LookupError`."""
    if name in _registered:
        return _registered[name]
    if name not in BUILT_IN:
        raise LookupError(f"There is no middleware {name!r}, only {', '.join(middleware_names()) or 'none'}.")
    cls: type[Middleware] = resolve_name(BUILT_IN[name])
    return cls


def middleware_types() -> list[MiddlewareType]:
    """All of them, with what a reader needs to choose one."""
    return [_describe(name, middleware_class(name)) for name in middleware_names()]


def _describe(name: str, cls: type[Middleware]) -> MiddlewareType:
    return MiddlewareType(name, first_paragraph(cls), cls.Settings)
