"""What a caller needs for a DRF view, and who asks where there is none."""

from typing import Any
from uuid import UUID

from django.http import HttpRequest
from rest_framework.permissions import SAFE_METHODS, BasePermission
from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle

from accounts.identity import ROLE_SCOPES, Identity
from accounts.models import Membership, Role
from accounts.rates import count_request
from core.errors import Forbidden, Unauthenticated
from core.hot import refuse_key

_ROLES = "roles_by_workspace"


class HasScope(BasePermission):
    """A key or a login, with the view's scope.

    Every view says `scope_family = "runs"` (safe methods need `runs:read`, others `runs:write`) or None (any
    caller). A view that says nothing fails: closed by default. `idempotent` names the actions, or methods, that
    take an `Idempotency-Key`.
    """

    def has_permission(self, request: Request, view: Any) -> bool:
        identity = identity_of(request)
        method = str(request.method).lower()
        action = getattr(view, "action", None) or method
        # A method that the view does not have is refused as that.
        if not is_safe(request) and hasattr(view, method) and action not in getattr(view, "idempotent", ()):
            refuse_key(request.headers)
        family = view.scope_family
        if family is not None:
            identity.require(f"{family}:{'read' if is_safe(request) else 'write'}")
        return True


class WithinLimits(BaseThrottle):
    """Counts the request of a caller who may make it (`accounts.rates`); raises RateLimited for one too many."""

    def allow_request(self, request: Request, view: Any) -> bool:
        if isinstance(request.auth, Identity):
            count_request(request.auth)
        return True


def is_safe(request: Request) -> bool:
    """Whether the request only reads."""
    return request.method in SAFE_METHODS


def identity_of(request: Request) -> Identity:
    """Who asks. Raises `Unauthenticated` for nobody, though no view is reached without a caller."""
    identity: object = request.auth
    if not isinstance(identity, Identity):
        raise Unauthenticated
    return identity


def sees_everything(request: HttpRequest) -> bool:
    """Whether the signed-in person is a superuser, for whom there are no walls."""
    return bool(request.user.is_active and request.user.is_superuser)


def roles_of(request: HttpRequest) -> dict[UUID, Role]:
    """The signed-in staff person's roles by workspace, read once a request."""
    known: dict[UUID, Role] | None = vars(request).get(_ROLES)
    if known is None:
        user = request.user
        rows = (
            Membership.objects.filter(user_id=user.pk)
            if user.is_active and user.is_staff
            else Membership.objects.none()
        )
        known = {workspace: Role(role) for workspace, role in rows.values_list("workspace_id", "role")}
        setattr(request, _ROLES, known)
    return known


def identity_in(request: HttpRequest, workspace_id: UUID) -> Identity:
    """The signed-in person as the caller of a service in `workspace_id`, with what their role there allows.

    Raises `Forbidden` for one without a role there.
    """
    role = Role.ADMIN if sees_everything(request) else roles_of(request).get(workspace_id)
    if role is None:
        raise Forbidden
    actor = f"user:{request.user.get_username()}"
    user_id = request.user.get_username() if role == Role.MEMBER else None
    return Identity(workspace_id, frozenset(ROLE_SCOPES[role]), actor, user_id=user_id, login_id=request.user.pk)
