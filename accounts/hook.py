"""A deployment's own way to tell who asks: `AGENT_SERVER_AUTH=package.module:function`.

    from accounts.hook import AuthRequest, Caller, Unauthenticated

    async def authenticate(request: AuthRequest) -> Caller | None:
        ...

The function is asked first, for every request that is not open to all. What it needs to know and to say is in this
module; the rest of the server is not its business. See `docs/authentication.md`.
"""

import asyncio
import contextvars
import importlib
import inspect
import logging
from collections.abc import Awaitable, Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import connection

from core.errors import Forbidden, Unauthenticated, Unavailable

__all__ = ["AuthRequest", "Caller", "Forbidden", "Unauthenticated"]

log = logging.getLogger(__name__)

ANSWER_S = 5.0
# Threads of their own: functions that hang must not keep others from looking names up.
THREADS = 16


@dataclass(frozen=True, slots=True)
class AuthRequest:
    """A request as far as it tells who asks.

    `path` is without what everything is under (`MOUNT_PREFIX`). Header names are in lower case; a repeated header is
    joined by commas, a query's last value counts. `client` is the address of whoever connected, None if unknown. The
    handshake of a websocket is a GET.
    """

    method: str
    path: str
    headers: Mapping[str, str]
    query: Mapping[str, str]
    client: str | None


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks, and what they may do.

    `workspace` is a slug or an id. Either `role` ("member", "editor", "operator", "admin") or `scopes` ("runs:read"
    and so on, "*" for all) says what is allowed. With `user_id` (up to 255 characters) the caller sees the sessions of
    that user only, without it all of the workspace. `name` (up to 200 characters) is shown in `created_by` and in the
    audit trail, as "hook:<name>"; without it the `user_id` is. From `expires_at` on (with a time zone) the caller is
    refused.
    """

    workspace: str
    role: str | None = None
    scopes: Collection[str] | None = None
    user_id: str | None = None
    name: str | None = None
    expires_at: datetime | None = None


Hook = Callable[[AuthRequest], Caller | Awaitable[Caller | None] | None]


class _Current:
    hook: Hook | None = None
    threads: ThreadPoolExecutor | None = None


def install(name: str) -> None:
    """Ask this function from now on; an empty name is none. Raises `ValueError` with a sentence."""
    _Current.hook = _load(name) if name else None


def installed() -> bool:
    """Whether there is a hook."""
    return _Current.hook is not None


def _load(name: str) -> Hook:
    module_name, separator, attribute = name.partition(":")
    if not (module_name and separator and attribute):
        raise ValueError(f"write package.module:function, not {name!r}.")
    try:
        module = importlib.import_module(module_name)
    except Exception as error:
        # Somebody else's module may fail in any way.
        raise ValueError(f"{module_name} cannot be imported: {type(error).__name__}: {error}") from error
    function: Hook | None = getattr(module, attribute, None)
    if function is None or not callable(function):
        raise ValueError(f"{module_name} has no function {attribute}.")
    return function


async def ask(request: AuthRequest) -> Caller | None:
    """What the hook says; None for "not mine".

    Raises `Unauthenticated` and `Forbidden` as the hook does, and `Unavailable` where it fails in another way or takes
    too long: closed, never open.
    """
    hook = _Current.hook
    assert hook is not None
    try:
        async with asyncio.timeout(ANSWER_S):
            answer = await _call(hook, request)
    except (Unauthenticated, Forbidden):
        raise
    except (Exception, SystemExit) as error:
        log.exception("AGENT_SERVER_AUTH failed for %s %s", request.method, request.path)
        raise _unavailable() from error
    if answer is not None and not isinstance(answer, Caller):
        raise broken(f"it gave {type(answer).__name__}, not a Caller or None")
    return answer


async def _call(hook: Hook, request: AuthRequest) -> Any:
    if inspect.iscoroutinefunction(hook) or inspect.iscoroutinefunction(type(hook).__call__):
        answer: Any = hook(request)
    else:
        if _Current.threads is None:
            _Current.threads = ThreadPoolExecutor(THREADS, thread_name_prefix="auth-hook")
        context = contextvars.copy_context()
        loop = asyncio.get_running_loop()
        answer = await loop.run_in_executor(_Current.threads, context.run, _in_thread, hook, request)
    return await answer if inspect.isawaitable(answer) else answer


def _in_thread(hook: Hook, request: AuthRequest) -> Any:
    try:
        return hook(request)
    finally:
        # No request ends here that would hand the thread's connection back to its pool.
        connection.close()


def broken(what: str) -> Unavailable:
    """The error for an answer of the hook that cannot be used; the log says why."""
    log.error("AGENT_SERVER_AUTH does not work: %s.", what)
    return _unavailable()


def _unavailable() -> Unavailable:
    return Unavailable("Callers cannot be told apart at the moment.", retry_after=1)
