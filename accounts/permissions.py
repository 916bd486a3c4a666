"""What a caller needs for a DRF view, and who asks where there is none."""

from typing import Any
from uuid import UUID

from django.http import HttpRequest
from rest_framework.permissions import SAFE_METHODS, BasePermission
from rest_framework.request import Request

from accounts.identity import EVERYTHING, Identity
from core.errors import Unauthenticated


class HasScope(BasePermission):
    """A key or a login, with the view's scope.

    Every view says `scope_family = "runs"` (safe methods need `runs:read`, others `runs:write`) or None (any
    caller). A view that says nothing fails: closed by default.
    """

    def has_permission(self, request: Request, view: Any) -> bool:
        identity = identity_of(request)
        family = view.scope_family
        if family is not None:
            identity.require(f"{family}:{'read' if request.method in SAFE_METHODS else 'write'}")
        return True


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
