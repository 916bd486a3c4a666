"""Who asks, told in one place: what a request shows becomes an `Identity`, for every door.

The order is that of `CHAIN`, then the login. DRF, the hot routes and websockets all ask here.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Protocol
from urllib.parse import parse_qsl

from asgiref.sync import async_to_sync, sync_to_async
from django.conf import settings
from django.contrib.auth import get_user
from django.contrib.auth.models import AnonymousUser
from django.contrib.sessions.backends.base import SessionBase
from django.db import connection
from django.http import HttpRequest
from django.http.cookie import parse_cookie
from django.utils.module_loading import import_string
from rest_framework.authentication import BaseAuthentication, SessionAuthentication
from rest_framework.request import Request

from accounts import hook
from accounts.credentials import aidentify, identify, shown_in
from accounts.external import identity_of, vouched_by_hook
from accounts.hook import AuthRequest
from accounts.identity import EVERYTHING, ROLE_SCOPES, Identity
from accounts.limits import holders
from accounts.models import Membership, Role, User, Workspace
from accounts.oidc import token_in
from core.asgi import Scope, header_map, own_path
from core.errors import Unauthenticated
from core.ids import parse_id

Describe = Callable[[], AuthRequest]

WORKSPACE_CHOICE = "workspace_id"
_HOOK_PASSED = "auth_hook_passed"


def login_identity(user: User, session: SessionBase) -> Identity | None:
    """The identity of a signed-in person, None if they belong to no workspace.

    Their workspace is the one chosen in the login's session, else the one they joined first; a superuser
    without a membership gets the oldest workspace. A member is the user of their own sessions and sees no others.
    """
    user_id = None
    chosen = parse_id(str(session.get(WORKSPACE_CHOICE, "")))
    memberships = list(Membership.objects.filter(user=user).select_related("workspace").order_by("created_at", "id"))
    membership = next((m for m in memberships if m.workspace_id == chosen), None) or next(iter(memberships), None)
    if user.is_superuser:
        workspaces = Workspace.objects.order_by("created_at", "id")
        workspace = membership.workspace if membership else workspaces.first()
        if chosen:
            workspace = workspaces.filter(id=chosen).first() or workspace
        scopes = frozenset({EVERYTHING})
    elif membership:
        workspace, scopes = membership.workspace, frozenset(ROLE_SCOPES[Role(membership.role)])
        user_id = user.get_username() if membership.role == Role.MEMBER else None
    else:
        return None
    if workspace is None:
        return None
    actor, login_key = f"user:{user.get_username()}", session.session_key
    limits = holders(workspace.id, workspace.limits, settings.WORKSPACE_LIMITS)
    return Identity(workspace.id, scopes, actor, user_id=user_id, login_id=user.pk, login_key=login_key, limits=limits)


class Credential(Protocol):
    """What a request shows, and how it becomes an identity: in a thread, or on an event loop.

    None means that it is somebody else's after all. Both raise `Unauthenticated`, `Forbidden` and `Unavailable`.
    """

    def identify(self) -> Identity | None: ...

    async def aidentify(self) -> Identity | None: ...


@dataclass(frozen=True, slots=True)
class Key:
    """An API key."""

    text: str

    def identify(self) -> Identity:
        return identify(self.text)

    async def aidentify(self) -> Identity:
        return await aidentify(self.text)


@dataclass(frozen=True, slots=True)
class Hooked:
    """Whatever the deployment's own function makes of the request."""

    request: AuthRequest

    def identify(self) -> Identity | None:
        caller = async_to_sync(hook.ask)(self.request)
        return identity_of(vouched_by_hook(caller)).run() if caller else None

    async def aidentify(self) -> Identity | None:
        caller = await hook.ask(self.request)
        return await identity_of(vouched_by_hook(caller)).arun() if caller else None


def _by_hook(headers: Mapping[str, str], describe: Describe | None) -> Credential | None:
    return Hooked(describe()) if describe is not None and hook.installed() else None


def _by_header(headers: Mapping[str, str], describe: Describe | None) -> Credential | None:
    text = shown_in(headers)
    if text is None:
        return None
    # Tokens are for `Authorization` alone; in the other header they would be no key.
    return (token_in(text) if "authorization" in headers else None) or Key(text)


# Who is asked first: each reads its credential from the headers (names in lower case), or gives None. `describe` gives
# the whole request, and is None where the hook is not to be asked. A login comes after all of them, by
# `login_identity`: each door has its own rules for cookies.
CHAIN: tuple[Callable[[Mapping[str, str], Describe | None], Credential | None], ...] = (_by_hook, _by_header)


def identify_request(headers: Mapping[str, str], describe: Describe | None) -> Identity | None:
    """The identity behind a request's credential, on Django's connection; None for a request that shows none."""
    for read in CHAIN:
        credential = read(headers, describe)
        if credential is not None and (identity := credential.identify()) is not None:
            return identity
    return None


async def aidentify_request(headers: Mapping[str, str], describe: Describe | None) -> Identity | None:
    """`identify_request` on the async pool."""
    for read in CHAIN:
        credential = read(headers, describe)
        if credential is not None and (identity := await credential.aidentify()) is not None:
            return identity
    return None


class CredentialAuthentication(BaseAuthentication):
    """DRF's door for everything but logins."""

    def authenticate(self, request: Request) -> tuple[AnonymousUser, Identity] | None:
        asked = request._request
        headers = {name.lower(): value for name, value in asked.headers.items()}
        scope = getattr(asked, "scope", {})
        # The hot routes may have asked the hook already, before they left the request to Django.
        passed = scope.get("state", {}).get(_HOOK_PASSED, False)
        identity = identify_request(headers, None if passed else lambda: _describe_django(asked, headers))
        return (AnonymousUser(), identity) if identity else None

    def authenticate_header(self, request: Request) -> str:
        return "Bearer"


class LoginAuthentication(SessionAuthentication):
    """The cookie of a login; writes need the CSRF token."""

    def authenticate(self, request: Request) -> tuple[User, Identity] | None:
        user = getattr(request._request, "user", None)
        if not isinstance(user, User) or not user.is_active:
            return None
        self.enforce_csrf(request)
        identity = login_identity(user, request._request.session)
        return (user, identity) if identity else None


async def authenticate(headers: Mapping[str, str], describe: Describe | None = None) -> Identity:
    """The identity behind a request of the async routes: by its credential, else by the login of its cookie.

    For reads and for websockets whose Origin was checked: no CSRF token is asked for. Raises `Unauthenticated`,
    `BadRequest`, and what credentials raise.
    """
    identity = await aidentify_request(headers, describe) or await _by_login(headers)
    if identity is None:
        raise Unauthenticated
    return identity


async def authenticate_scope(scope: Scope) -> Identity:
    """`authenticate` for a request of which no more than its head is there."""
    headers = header_map(scope["headers"])
    return await authenticate(headers, lambda: describe_scope(scope, headers))


async def authenticate_hot(scope: Scope, headers: Mapping[str, str]) -> Identity | None:
    """The caller of a hot route; None leaves the request to Django.

    A login's cookie counts on a read that is not a browser's page view. Writes with a cookie need a CSRF token, and
    pages are HTML: both are Django's. Raises as `authenticate` does.
    """
    identity = await aidentify_request(headers, lambda: describe_scope(scope, headers))
    if identity is not None:
        return identity
    if hook.installed():
        scope.setdefault("state", {})[_HOOK_PASSED] = True
    if scope["method"] != "GET" or f"{settings.SESSION_COOKIE_NAME}=" not in headers.get("cookie", ""):
        return None
    accept = headers.get("accept", "")
    if "text/event-stream" not in accept and "application/json" not in accept:
        return None
    identity = await _by_login(headers)
    if identity is None:
        raise Unauthenticated
    return identity


def describe_scope(scope: Scope, headers: Mapping[str, str]) -> AuthRequest:
    """An ASGI request, or a websocket's handshake, as the hook sees it."""
    query = dict(parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True))
    client = scope.get("client")
    address = client[0] if client else None
    return AuthRequest(scope.get("method", "GET"), own_path(scope), MappingProxyType(dict(headers)), query, address)


def _describe_django(request: HttpRequest, headers: Mapping[str, str]) -> AuthRequest:
    address = request.META.get("REMOTE_ADDR") or None
    return AuthRequest(
        str(request.method), request.path_info, MappingProxyType(dict(headers)), request.GET.dict(), address
    )


async def _by_login(headers: Mapping[str, str]) -> Identity | None:
    session_key = parse_cookie(headers.get("cookie", "")).get(settings.SESSION_COOKIE_NAME)
    return await sync_to_async(_identity_of_login)(session_key) if session_key else None


def _identity_of_login(session_key: str) -> Identity | None:
    store: type[SessionBase] = import_string(f"{settings.SESSION_ENGINE}.SessionStore")
    request: Any = HttpRequest()
    request.session = store(session_key)
    try:
        user = get_user(request)
        if not isinstance(user, User) or not user.is_active:
            return None
        return login_identity(user, request.session)
    finally:
        # No request ends here that would hand the thread's connection back to its pool.
        connection.close()
