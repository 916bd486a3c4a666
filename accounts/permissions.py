"""What a caller needs for a DRF view, and who asks where there is none."""

from typing import Any
from uuid import UUID

from django.http import HttpRequest
from rest_framework.permissions import SAFE_METHODS, BasePermission
from rest_framework.request import Request

from accounts.identity import EVERYTHING, Identity
from core.errors import Unauthenticated
from core.hot import refuse_key


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


def is_safe(request: Request) -> bool:
    """Whether the request only reads."""
    return request.method in SAFE_METHODS


def identity_of(request: Request) -> Identity:
    """Who asks. Raises `Unauthenticated` for nobody, though no view is reached without a caller."""
    identity: object = request.auth
    if not isinstance(identity, Identity):
        raise Unauthenticated
    return identity


def identity_in(request: HttpRequest, workspace_id: UUID) -> Identity:
    """The signed-in operator as the caller of a service in `workspace_id`."""
    actor = f"user:{request.user.get_username()}"
    return Identity(workspace_id, frozenset({EVERYTHING}), actor, login_id=request.user.pk)
