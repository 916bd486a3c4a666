"""What stands around every page: the workspace and the way to others, who is signed in, what the rail offers."""

from typing import Any

from django.http import HttpRequest
from django.urls import get_script_prefix

from accounts.identity import Identity
from accounts.models import Role, User, Workspace
from accounts.queries import workspaces
from console.access import may_administer
from webhooks import queries
from webhooks.notices import NONE, Notices, notices

# Beyond that a superuser goes by the admin.
MAX_WORKSPACES = 100

ROLE_WORDS = {
    Role.MEMBER: "Chats with the assistants, and sees their own conversations only.",
    Role.EDITOR: "Also makes and changes assistants, and sees all conversations of the workspace.",
    Role.OPERATOR: "Looks at everything and stops runs, but starts none and changes no assistant.",
    Role.ADMIN: "Does everything, and manages keys, members, secrets and the audit trail.",
}


def frame(request: HttpRequest, identity: Identity, section: str) -> dict[str, Any]:
    """The context of `console/shell.html`; `section` is the rail's item that is current. Two statements."""
    found = list(workspaces(identity).order_by("name", "id")[:MAX_WORKSPACES])
    here = next((workspace for workspace in found if workspace.id == identity.workspace_id), None)
    here = here or Workspace.objects.get(id=identity.workspace_id)
    role = vars(here).get("role")
    return {
        "section": section,
        "workspace": here.name,
        "workspaces": [(workspace, workspace == here) for workspace in found] if len(found) > 1 else [],
        "role": Role(role).label if role else "Superuser",
        "alerts": _alerts(identity),
        "may_administer": may_administer(identity),
        "sees_admin": _sees_admin(request, role),
        "api_root": get_script_prefix(),
    }


def _alerts(identity: Identity) -> Notices:
    """What is wrong in the workspace and on the server, for who may read of it."""
    if identity.user_id is not None or not identity.allows("webhooks:read"):
        return NONE
    return notices(queries.alerts(identity))


def _sees_admin(request: HttpRequest, role: str | None) -> bool:
    user = request.user
    return isinstance(user, User) and user.is_staff and (user.is_superuser or role not in {None, Role.MEMBER})
