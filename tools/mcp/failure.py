"""Why an MCP server does not serve, in words that may be shown."""

import re
from collections.abc import Callable, Collection
from typing import Any

import httpx2

from core.redaction import everywhere
from core.text import clean
from core.url_guard import AnswerTooLong, BlockedUrl

_LONGEST_REASON = 300


class McpFailure(Exception):
    """An MCP server cannot be used. The message is one sentence that may be shown."""


class Broken(Exception):
    """Something about a connection failed. The message is the reason, without a full stop."""


class Wire:
    """What a connection's transport saw fail last; "" while all is well. The library logs much of it and waits on.

    `methods`: the HTTP exchanges that matter. `on_failure` is called when one of them fails.
    """

    def __init__(self, methods: Collection[str] = (), on_failure: Callable[[], None] | None = None):
        self.failure = ""
        self._methods = methods
        self._on_failure = on_failure

    def note(self, request: httpx2.Request, failure: str) -> None:
        """`request` has failed; with "" it was answered well."""
        if request.method in self._methods:
            self.failure = failure
            if failure and self._on_failure:
                self._on_failure()


def sentence(server: dict[str, Any], reason: str, token: str | None = None) -> str:
    """What is wrong with `server`. `token` is cut out of `reason`, which may repeat what the server said."""
    if token:
        reason = reason.replace(token, f"[{server['auth']['token_env']}]")
    reason = " ".join(clean(everywhere.text(reason)).split())[:_LONGEST_REASON].rstrip(".")
    where = f"started as {server['command']!r}" if server["transport"] == "stdio" else f"reached at {_shown(server)}"
    return f"The MCP server {server['name']!r} cannot be {where}: {reason}."


def no_answer(seconds: float) -> str:
    return f"there was no answer within {seconds:g} seconds"


def transport_reason(error: Exception) -> str:
    """Why an HTTP exchange ended early."""
    if isinstance(error, BlockedUrl | AnswerTooLong):
        return str(error)
    if isinstance(error, httpx2.TimeoutException):
        return "there was no answer in time"
    if _was_refused(error):
        return "connection refused"
    return str(error) or "the connection broke off"


def _was_refused(error: BaseException | None) -> bool:
    # The libraries say "All connection attempts failed".
    while error is not None:
        if isinstance(error, ConnectionRefusedError):
            return True
        error = error.__cause__ or error.__context__
    return False


def _shown(server: dict[str, Any]) -> str:
    # A query may hold a key.
    return re.split("[?#]", str(server["url"]), maxsplit=1)[0]
