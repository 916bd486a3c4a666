"""Keys and logins become an `Identity`: for DRF as `request.auth`, for the async routes by `authenticate`."""

from typing import Any

from asgiref.sync import sync_to_async
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

from accounts.credentials import aidentify, identify, key_in
from accounts.identity import EVERYTHING, ROLE_SCOPES, Identity
from accounts.limits import holders
from accounts.models import Membership, Role, User, Workspace
from core.errors import Unauthenticated
from core.ids import parse_id

WORKSPACE_CHOICE = "workspace_id"


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
    limits = holders(workspace.id, workspace.limits, settings.WORKSPACE_LIMITS)
    return Identity(
        workspace.id, scopes, f"user:{user.get_username()}", user_id=user_id, login_id=user.pk, limits=limits
    )


class ApiKeyAuthentication(BaseAuthentication):
    """`Authorization: Bearer <key>` or `X-Api-Key: <key>`."""

    def authenticate(self, request: Request) -> tuple[AnonymousUser, Identity] | None:
        headers = {name: request.headers[name] for name in ("authorization", "x-api-key") if name in request.headers}
        key = key_in(headers)
        return (AnonymousUser(), identify(key)) if key else None

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


async def authenticate(headers: dict[str, str]) -> Identity:
    """The identity behind a request of the async routes: its key, else the login of its cookie.

    For reads and for websockets whose Origin was checked: no CSRF token is asked for. Raises
    `Unauthenticated` and `BadRequest`.
    """
    key = key_in(headers)
    if key:
        return await aidentify(key)
    session_key = parse_cookie(headers.get("cookie", "")).get(settings.SESSION_COOKIE_NAME)
    if session_key:
        identity = await sync_to_async(_identity_of_login)(session_key)
        if identity:
            return identity
    raise Unauthenticated


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
