"""A deployment's own `langgraph_sdk.Auth`: who asks, and what they may do, as its handlers tell.

The handlers are somebody else's code that runs on the event loop, as LangGraph has it: coroutines that must not block.
"""

import asyncio
import inspect
import logging
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import parse_qsl

import orjson

from accounts.external import LONGEST_NAME, LONGEST_USER_ID, Vouched, identity_of, is_plain
from accounts.identity import Identity
from accounts.memory import ShortMemory
from core.asgi import Scope, own_path
from core.db import Operation, Query, operation
from core.errors import AppError, Forbidden, Unauthenticated, Unavailable

log = logging.getLogger(__name__)

ANSWER_S = 10.0
# What the door serves. Keys, secrets and webhooks of the workspace are not the deployment's users'.
SCOPES = frozenset(f"{family}:write" for family in ("assistants", "sessions", "runs", "schedules", "memory"))
# By these names a function gets what it asks for.
_PARAMETERS = {"request", "path", "method", "path_params", "query_params", "headers", "authorization"}


class _Current:
    auth: Any = None


# The id of the workspace whose users they are.
_FIRST: ShortMemory[str] = ShortMemory()


class Refused(AppError):
    """What a handler raised as HTTPException, with its status."""

    code = "refused"

    def __init__(self, status: int, detail: str, headers: Mapping[str, str] | None):
        super().__init__(detail)
        self.status = status
        self.headers = dict(headers or {})


def install(auth: Any) -> None:
    """Ask this `langgraph_sdk.Auth` from now on; None is nobody. Raises ValueError for one that cannot be asked."""
    if auth is not None:
        handler = getattr(auth, "_authenticate_handler", None)
        if handler is None:
            raise ValueError("auth.path: it has no @auth.authenticate.")
        if unknown := [name for name in _named(handler) if name not in _PARAMETERS]:
            raise ValueError(f"auth.path: @auth.authenticate cannot be given {', '.join(unknown)} here.")
    _Current.auth = auth
    _FIRST.clear()


def installed() -> bool:
    """Whether the deployment has an `Auth` of its own."""
    return _Current.auth is not None


def decides() -> bool:
    """Whether it says what each user may do, too: without that each one sees no more than what is theirs."""
    return installed() and bool(_Current.auth._handlers or _Current.auth._global_handlers)


def _named(function: Any) -> list[str]:
    parameters = inspect.signature(function).parameters.values()
    return [p.name for p in parameters if p.kind not in {p.VAR_KEYWORD, p.VAR_POSITIONAL}]


# -- who asks ----------------------------------------------------------------------------------------------------------


async def authenticate(scope: Scope, headers: Mapping[str, str]) -> Identity:
    """The caller whom the deployment's handler knows.

    `langgraph_sdk.Auth.authenticate` says what the handler may ask for and give. Raises `Refused` as it does,
    `Unauthenticated` where it knows nobody, and `Unavailable` where it fails otherwise or takes too long.
    """
    user = _user_of(await _asked(scope, headers))
    vouched = Vouched(
        workspace=await _workspace(user).arun(),
        scopes=SCOPES,
        actor=f"auth:{user['identity'][:LONGEST_NAME]}",
        user_id=None if decides() else user["identity"],
    )
    known = await identity_of(vouched).arun()
    return Identity(
        known.workspace_id, known.scopes, known.actor, user_id=known.user_id, limits=known.limits, user=user
    )


async def _asked(scope: Scope, headers: Mapping[str, str]) -> Any:
    handler = _Current.auth._authenticate_handler
    wanted = _named(handler)
    known: dict[str, Any] = {
        "path": own_path(scope),
        "method": scope.get("method", "GET"),
        "path_params": {},
        "query_params": dict(parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)),
        "headers": {name.lower(): value for name, value in scope["headers"]},
        "authorization": headers.get("authorization"),
    }
    if "request" in wanted:
        known["request"] = _starlette_request(scope)
    return await _careful(_call(handler, {name: known[name] for name in wanted}), "@auth.authenticate")


async def _call(handler: Any, arguments: dict[str, Any]) -> Any:
    answer = handler(**arguments)
    return await answer if inspect.isawaitable(answer) else answer


def _starlette_request(scope: Scope) -> Any:
    from starlette.requests import Request  # noqa: PLC0415 - only where it is asked for

    return Request(scope)


async def _careful(answer: Any, what: str) -> Any:
    """The handler's answer; closed, never open, where it fails."""
    try:
        async with asyncio.timeout(ANSWER_S):
            return await answer
    except AppError:
        raise
    except AssertionError as refusal:
        # In the SDK's own examples that is how a handler refuses.
        raise Forbidden(str(refusal) or "Forbidden") from None
    except Exception as fault:
        status, detail = getattr(fault, "status_code", None), getattr(fault, "detail", None)
        if isinstance(status, int) and 400 <= status < 600 and isinstance(detail, str):
            raise Refused(status, detail, getattr(fault, "headers", None)) from None
        log.exception("%s of this deployment failed", what)
        raise Unavailable("Callers cannot be told apart at the moment.", retry_after=1) from fault


def user_of(identity: Any, permissions: Iterable[str]) -> dict[str, Any]:
    """A user as a document, as handlers, graphs and the deployment's own routes see one."""
    return {
        "identity": identity,
        "display_name": identity,
        "is_authenticated": True,
        "permissions": list(permissions),
    }


def _told(answer: Mapping[str, Any]) -> dict[str, Any]:
    """What the handler says of the user, as JSON: it is stored with the user's runs."""
    told = {name: value for name, value in answer.items() if name != "permissions"}
    try:
        kept: dict[str, Any] = orjson.loads(orjson.dumps(told))
    except orjson.JSONEncodeError as fault:
        log.error("@auth.authenticate gave a user that is no JSON: %s", fault)
        raise Unavailable("Callers cannot be told apart at the moment.", retry_after=1) from None
    return kept


def for_graphs(identity: Identity) -> dict[str, Any]:
    """What a run's `configurable` says of who started it; nothing for callers whom the deployment does not know."""
    user = identity.user
    if user is None:
        return {}
    return {
        "langgraph_auth_user": user,
        "langgraph_auth_user_id": user["identity"],
        "langgraph_auth_permissions": user["permissions"],
    }


def _user_of(answer: Any) -> dict[str, Any]:
    """The user as a document, with `identity`, `display_name`, `is_authenticated` and `permissions` at least."""
    if answer is None:
        raise Unauthenticated("Unauthorized")
    if isinstance(answer, str):
        answer = {"identity": answer}
    elif not isinstance(answer, Mapping):
        names = ("identity", "display_name", "is_authenticated", "permissions")
        answer = {name: getattr(answer, name) for name in names if hasattr(answer, name)}
    user = {**user_of(answer.get("identity"), answer.get("permissions") or ()), **_told(answer)}
    identity = user.get("identity")
    if not (isinstance(identity, str) and is_plain(identity, LONGEST_USER_ID)):
        log.error("@auth.authenticate gave an identity that is no text of 1 to %d characters.", LONGEST_USER_ID)
        raise Unavailable("Callers cannot be told apart at the moment.", retry_after=1)
    if not user["is_authenticated"]:
        raise Unauthenticated("Unauthorized")
    return user


@operation()
def _workspace(user: Mapping[str, Any]) -> Operation[str]:
    """The workspace that the user names, a slug or an id; else the server's first."""
    if isinstance(named := user.get("workspace"), str):
        return named
    first = _FIRST.get("")
    if first is None:
        rows = yield Query("SELECT id FROM workspaces ORDER BY created_at, id LIMIT 1")
        if not rows:
            raise Forbidden("The server has no workspace yet.")
        first = str(rows[0]["id"])
        _FIRST.put("", first)
    return first


# -- what they may do --------------------------------------------------------------------------------------------------


class User(Mapping[str, Any]):
    """The user as handlers and graphs see one: its keys are attributes too (`langgraph_sdk.Auth.types.BaseUser`)."""

    def __init__(self, document: dict[str, Any]):
        self._document = document

    def __getattr__(self, name: str) -> Any:
        try:
            return self._document[name]
        except KeyError:
            raise AttributeError(name) from None

    def __getitem__(self, key: str) -> Any:
        return self._document[key]

    def __iter__(self) -> Any:
        return iter(self._document)

    def __len__(self) -> int:
        return len(self._document)


async def ask(user: dict[str, Any], resource: str, action: str, value: dict[str, Any]) -> dict[str, Any]:
    """What the handler for this says: filters on metadata, none where it lets everything pass, or there is none.

    The most specific handler is asked, and no other: that of the resource's action, of the resource, of the action, of
    everything. Raises `Forbidden`, and `Refused` as the handler does.
    """
    auth = _Current.auth
    if auth is None:
        return {}
    places = ((resource, action), (resource, "*"), ("*", action))
    handlers = next((auth._handlers[place] for place in places if place in auth._handlers), auth._global_handlers)
    if not handlers:
        return {}
    context = auth.types.AuthContext(permissions=user["permissions"], user=User(user), resource=resource, action=action)
    answer = await _careful(_call(handlers[0], {"ctx": context, "value": value}), f"@auth.on.{resource}.{action}")
    if answer is None or answer is True:
        return {}
    if isinstance(answer, dict):
        return answer
    if answer is not False:
        log.error("@auth.on.%s.%s gave %s; it is taken as no.", resource, action, type(answer).__name__)
    raise Forbidden("Forbidden")
