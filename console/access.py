"""Who may see a page: a login that belongs to a workspace, and for some a role in it."""

from collections.abc import Callable
from functools import wraps
from typing import Concatenate, ParamSpec

from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest, HttpResponse

from accounts.authentication import login_identity
from accounts.identity import Identity
from accounts.models import Role, User
from console import queries
from core.errors import Forbidden

P = ParamSpec("P")


def page(
    view: Callable[Concatenate[HttpRequest, Identity, P], HttpResponse],
) -> Callable[Concatenate[HttpRequest, P], HttpResponse]:
    """Give the view the identity of the login; without one, lead to the login page and back.

    Conversations stay out of every cache. Raises `Forbidden` for a person without a workspace.
    """

    @wraps(view)
    def guarded(request: HttpRequest, /, *args: P.args, **kwargs: P.kwargs) -> HttpResponse:
        user = request.user
        if not isinstance(user, User) or not user.is_active:
            return redirect_to_login(request.get_full_path())
        identity = login_identity(user, request.session)
        if identity is None:
            raise Forbidden("You belong to no workspace yet. Ask an administrator to add you to one.")
        response = view(request, identity, *args, **kwargs)
        response.headers["Cache-Control"] = "no-store"
        return response

    return guarded


def may_administer(identity: Identity) -> bool:
    """Whether keys, members, secrets and the audit trail are the caller's to manage: an admin's."""
    return identity.allows("keys:write") and identity.user_id is None


def admin_page(
    view: Callable[Concatenate[HttpRequest, Identity, P], HttpResponse],
) -> Callable[Concatenate[HttpRequest, P], HttpResponse]:
    """`page` for admins of the workspace. To others it raises `Forbidden` that names the role, and whom to ask."""

    @page
    @wraps(view)
    def guarded(request: HttpRequest, identity: Identity, /, *args: P.args, **kwargs: P.kwargs) -> HttpResponse:
        if not may_administer(identity):
            name, admins = queries.workspace_and_admins(identity).run()
            ask = f" Ask {' or '.join(admins)}." if admins else ""
            raise Forbidden(f"It needs the {Role.ADMIN.label} role in {name}.{ask}")
        return view(request, identity, *args, **kwargs)

    return guarded
