"""Every write to who belongs to a workspace, and the invitations of those who are new.

A person is one on the whole server, and may belong to several workspaces. Nobody hands on a role that holds more than
they hold themselves, nor takes one away; a workspace that has an admin keeps one.
"""

from uuid import UUID

from django.conf import settings
from django.contrib.auth.hashers import make_password
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import IntegrityError, transaction

from accounts import audit, queries
from accounts.identity import ROLE_SCOPES, Identity
from accounts.models import Membership, Role, Ticket, TicketPurpose, User, Workspace
from accounts.services import issue_ticket, redeem_ticket
from core.errors import AlreadyExists, Conflict, Invalid
from core.ids import new_id
from core.mount import address

# As long as any sensible one; hashing megabytes would be a gift to whoever sends them.
MAX_PASSWORD = 1_000


@transaction.atomic
def add_member(
    identity: Identity, username: str, role: str, email: str | None = None, *, membership_id: UUID | None = None
) -> tuple[Membership, str | None]:
    """Let a person into the caller's workspace; gives the path of their invitation where nobody had this name.

    Such a person is made without a password, and chooses one at that path. `email` is of a new person only.
    Raises `Forbidden`, `Invalid`, `AlreadyExists` (a member) and `Conflict` (another workspace has invited them, and
    they have not come yet: who holds that invitation would hold this role too).
    """
    identity.require_unbound("manages no members")
    wanted = _role(identity, role)
    user, is_new = _person(username, email)
    member = Membership(
        id=membership_id or new_id(),
        workspace_id=identity.workspace_id,
        user=user,
        role=wanted,
        invited=is_new,
        created_by=identity.actor,
    )
    try:
        with transaction.atomic():
            member.save(force_insert=True)
    except IntegrityError:
        raise AlreadyExists(f"{user} is a member already.") from None
    if not is_new and _is_awaited(user):
        raise Conflict(f"{user} has not taken another workspace's invitation yet.")
    _record(identity, "added", member, role=wanted)
    return queries.get_member(identity, member.id), _invite(member) if is_new else None


@transaction.atomic
def change_role(identity: Identity, membership_id: UUID, role: str) -> Membership:
    """Give a member another role. An invitation that is open ends where the new role holds more than the old one.

    Raises `NotFound`, `Forbidden`, `Conflict` (the last admin) and `Invalid`.
    """
    member = _locked(identity, membership_id)
    wanted, former = _role(identity, role), Role(member.role)
    if wanted == former:
        return member
    _refuse_last_admin(member)
    if not ROLE_SCOPES[wanted] <= ROLE_SCOPES[former]:
        # Whoever could invite to the old role has seen the link.
        _end_invitations(member)
    member.role = wanted
    member.save(update_fields=["role"])
    _record(identity, "changed", member, role=wanted, former_role=former)
    return member


@transaction.atomic
def remove_member(identity: Identity, membership_id: UUID) -> None:
    """Shut a person out of the workspace; one who has never come is forgotten, name and all.

    Raises `NotFound`, `Forbidden` and `Conflict` (the last admin).
    """
    member = _locked(identity, membership_id)
    _refuse_last_admin(member)
    _record(identity, "removed", member, role=member.role)
    if member.is_pending and member.user.memberships.count() == 1:
        member.user.delete()
        return
    _end_invitations(member)
    member.delete()


@transaction.atomic
def renew_invitation(identity: Identity, membership_id: UUID) -> str:
    """The path of a new invitation for a member who has not chosen a password yet; earlier ones end.

    Raises `NotFound`, `Forbidden` and `Conflict`.
    """
    member = _locked(identity, membership_id)
    if not member.is_pending:
        raise Conflict("Only who was invited here, and has no password yet, can be invited again.")
    _record(identity, "invited", member, role=member.role)
    return _invite(member)


def take_invitation(token: str, password: str) -> Membership:
    """Use an invitation up: the person's password is this one from now on.

    Raises `Unauthenticated` for an invitation that does not work (any more), `Invalid` for a password that is too weak:
    then the invitation works still.
    """
    member = queries.invited_by(token)
    try:
        if len(password) > MAX_PASSWORD:
            raise ValidationError(f"It has more than {MAX_PASSWORD} characters.")
        validate_password(password, member.user)
    except ValidationError as fault:
        raise Invalid.at("password", message=" ".join(fault.messages)) from None
    member.user.set_password(password)
    with transaction.atomic():
        redeem_ticket(token, TicketPurpose.INVITATION).run()
        member.user.save(update_fields=["password"])
        itself = Identity(
            member.workspace_id, frozenset(), f"user:{member.user.get_username()}", login_id=member.user.pk
        )
        _record(itself, "joined", member, role=member.role)
    return member


# -- how -------------------------------------------------------------------------------------------------------------


def _role(identity: Identity, name: str) -> Role:
    """The role of this name, which the caller may give. Raises `Invalid` and `Forbidden`."""
    if name not in Role.values:
        raise Invalid.at("role", message=f"Must be one of: {', '.join(Role.values)}.")
    role = Role(name)
    identity.hands_on(ROLE_SCOPES[role])
    return role


def _person(username: str, email: str | None) -> tuple[User, bool]:
    """The person of this name, and whether they were made just now. Raises `Invalid`."""
    name = User.normalize_username(username)
    try:
        User.username_validator(name)
    except ValidationError as fault:
        raise Invalid.at("username", message=" ".join(fault.messages)) from None
    if len(name) > 150:
        raise Invalid.at("username", message="It has more than 150 characters.")
    if email:
        try:
            validate_email(email)
        except ValidationError as fault:
            raise Invalid.at("email", message=" ".join(fault.messages)) from None
    made = {"email": User.objects.normalize_email(email), "password": make_password(None)}
    user, is_new = User.objects.get_or_create(username=name, defaults=made)
    if email and not is_new:
        raise Invalid.at("email", message=f"{user} is known on this server; their address is their own to change.")
    return user, is_new


def _is_awaited(user: User) -> bool:
    return not user.has_usable_password() and user.memberships.filter(invited=True).exists()


def _locked(identity: Identity, membership_id: UUID) -> Membership:
    """A member whose role holds no more than the caller does. Raises `NotFound` and `Forbidden`."""
    identity.require_unbound("manages no members")
    # Of two admins who lower each other at once, the second finds that they would be the last.
    Workspace.objects.select_for_update(no_key=True).filter(id=identity.workspace_id).first()
    member = queries.get_member(identity, membership_id)
    identity.hands_on(ROLE_SCOPES[Role(member.role)])
    return member


def _refuse_last_admin(member: Membership) -> None:
    if member.role != Role.ADMIN:
        return
    admins = Membership.objects.filter(workspace_id=member.workspace_id, role=Role.ADMIN, user__is_active=True)
    if not admins.exclude(id=member.id).exists():
        raise Conflict("This is the workspace's last admin.")


def _invite(member: Membership) -> str:
    _end_invitations(member)
    token, _ = issue_ticket(
        TicketPurpose.INVITATION,
        path=settings.LOGIN_REDIRECT_URL,
        user=member.user,
        workspace=member.workspace,
    )
    return address(f"/invitations/{token}")


def _end_invitations(member: Membership) -> None:
    Ticket.objects.filter(purpose=TicketPurpose.INVITATION, user=member.user, workspace=member.workspace).delete()


def _record(identity: Identity, action: str, member: Membership, **details: str) -> None:
    audit.record(identity, action, "membership", member.id, username=member.user.get_username(), **details)
