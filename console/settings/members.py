"""`/console/settings/members`: who belongs to the workspace, and as what."""

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.views.decorators.debug import sensitive_variables
from django.views.decorators.http import require_GET, require_http_methods

from accounts import members, queries
from accounts.identity import Identity
from accounts.models import Membership, Role
from console.access import admin_page
from console.frame import ROLE_WORDS
from console.settings.forms import act_once, draw, page_of, rows_of
from core.errors import AppError
from core.ids import new_id
from core.pagination import BY_AGE, Listing, paginate

MEMBERS = Listing({"created_at": BY_AGE}, "-created_at")


@require_GET
@admin_page
def index(request: HttpRequest, identity: Identity) -> HttpResponse:
    """The people of the workspace, the newest first."""
    page = paginate(queries.members(identity), page_of(request, MEMBERS), lambda member: (member, _role(member)))
    words = [(role.label, ROLE_WORDS[role]) for role in Role]
    return draw(request, identity, "members/index", {**rows_of(request, page), "roles": words})


def _role(member: Membership) -> str:
    return str(Role(member.role).label)


def _choices(chosen: str) -> list[tuple[str, str, str, bool]]:
    """The roles to choose from: value, name, what it means, and whether it is the chosen one."""
    return [(role.value, str(role.label), ROLE_WORDS[role], role == chosen) for role in Role]


@require_http_methods(["GET", "HEAD", "POST"])
@admin_page
@sensitive_variables("invitation")
def add(request: HttpRequest, identity: Identity) -> HttpResponse:
    """Let a person in; who is new to the server gets a link, which is shown this once."""
    typed = {name: request.POST.get(name, "").strip() for name in ("username", "email", "role")}
    context: dict[str, Any] = {"typed": typed, "roles": _choices(typed["role"] or Role.MEMBER)}
    if request.method != "POST":
        return draw(request, identity, "members/new", context)
    member_id = new_id()
    try:
        added = act_once(
            request,
            identity,
            member_id,
            lambda: members.add_member(
                identity, typed["username"], typed["role"], typed["email"] or None, membership_id=member_id
            ),
        )
    except AppError as fault:
        return draw(request, identity, "members/new", context, fault=fault)
    member, invitation = added or (None, None)
    if member and not invitation:
        messages.success(request, f"{member.user} is {_role(member)} of this workspace now.")
        return redirect("console:members")
    return _invited(request, identity, member, invitation)


def _invited(request: HttpRequest, identity: Identity, member: Membership | None, path: str | None) -> HttpResponse:
    link = request.build_absolute_uri(path) if path else None
    return draw(request, identity, "members/invited", {"member": member, "link": link})


@require_http_methods(["GET", "HEAD", "POST"])
@admin_page
def change_role(request: HttpRequest, identity: Identity, member_id: UUID) -> HttpResponse:
    """Choose another role for a member."""
    member = queries.get_member(identity, member_id)
    wanted = request.POST.get("role", member.role)
    context = {"member": member, "roles": _choices(wanted), "role": _role(member)}
    if request.method != "POST":
        return draw(request, identity, "members/role", context)
    try:
        act_once(request, identity, member_id, lambda: members.change_role(identity, member_id, wanted))
    except AppError as fault:
        return draw(request, identity, "members/role", context, fault=fault)
    messages.success(request, f"{member.user} is {Role(wanted).label} now.")
    return redirect("console:members")


@require_http_methods(["GET", "HEAD", "POST"])
@admin_page
def remove(request: HttpRequest, identity: Identity, member_id: UUID) -> HttpResponse:
    """Ask, and then shut a person out of the workspace."""
    if request.method == "POST" and not queries.members(identity).filter(id=member_id).exists():
        # The second click of two.
        return redirect("console:members")
    member = queries.get_member(identity, member_id)
    context = {"member": member, "role": _role(member)}
    if request.method != "POST":
        return draw(request, identity, "members/remove", context)
    try:
        act_once(request, identity, member_id, lambda: members.remove_member(identity, member_id))
    except AppError as fault:
        return draw(request, identity, "members/remove", context, fault=fault)
    messages.success(request, f"{member.user} does not belong to this workspace any more.")
    return redirect("console:members")


@require_http_methods(["GET", "HEAD", "POST"])
@admin_page
@sensitive_variables("invitation")
def invite(request: HttpRequest, identity: Identity, member_id: UUID) -> HttpResponse:
    """A new link for a person who has not come yet; it is shown this once, and earlier ones end."""
    member = queries.get_member(identity, member_id)
    if request.method != "POST":
        return draw(request, identity, "members/invite", {"member": member})
    try:
        invitation = act_once(request, identity, member_id, lambda: members.renew_invitation(identity, member_id))
    except AppError as fault:
        return draw(request, identity, "members/invite", {"member": member}, fault=fault)
    return _invited(request, identity, member if invitation else None, invitation)
