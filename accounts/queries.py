"""Reads of a workspace's keys, people and secrets."""

import logging
from collections.abc import Collection
from datetime import datetime
from uuid import UUID

from django.db.models import CharField, Exists, OuterRef, QuerySet, Subquery, Value

from accounts.credentials import digest_of
from accounts.identity import Identity
from accounts.models import ApiKey, Membership, Secret, Ticket, TicketPurpose, User, Workspace
from accounts.scoping import of_user, of_workspace
from accounts.vault import NAME, Unreadable, unseal
from core.clock import ClockTimestamp
from core.db import Operation, Query, Row, operation
from core.errors import NotFound, Unauthenticated
from runtime.secrets import Secret as OpenSecret

log = logging.getLogger(__name__)


def api_keys(identity: Identity) -> QuerySet[ApiKey]:
    """The workspace's keys; a caller that is bound to a user sees those of the same user."""
    return of_user(identity, ApiKey.objects.all())


def get_api_key(identity: Identity, api_key_id: UUID) -> ApiKey:
    """Raises `NotFound`, also for another workspace's key and another user's."""
    key = api_keys(identity).filter(id=api_key_id).first()
    if key is None:
        raise NotFound
    return key


def members(identity: Identity) -> QuerySet[Membership]:
    """The workspace's people, each with their `user`; a caller that is bound to a user sees that one."""
    return of_user(identity, Membership.objects.select_related("user"), "user__username")


def get_member(identity: Identity, membership_id: UUID) -> Membership:
    """Raises `NotFound`, also for another workspace's."""
    member = members(identity).filter(id=membership_id).first()
    if member is None:
        raise NotFound
    return member


def workspaces(identity: Identity) -> QuerySet[Workspace]:
    """Where the caller may act, each with the `role` that a person has there (None: none, or a key).

    One for a key, the memberships of a person, all for a superuser.
    """
    person = identity.login_id
    if person is None:
        return Workspace.objects.filter(id=identity.workspace_id).annotate(role=Value(None, CharField()))
    mine = Membership.objects.filter(workspace=OuterRef("pk"), user_id=person)
    found = Workspace.objects.annotate(role=Subquery(mine.values("role")))
    everywhere = User.objects.filter(id=person, is_superuser=True, is_active=True)
    return found.filter(Exists(mine) | Exists(everywhere))


def current_workspace(identity: Identity) -> Workspace:
    """Where the caller acts, with their `role` there as `workspaces` gives it. Raises `NotFound`."""
    workspace = workspaces(identity).filter(id=identity.workspace_id).first()
    if workspace is None:
        raise NotFound
    return workspace


def end_of(identity: Identity) -> datetime | None:
    """When the caller's key ends."""
    if identity.api_key_id is None:
        return None
    return ApiKey.objects.filter(id=identity.api_key_id).values_list("expires_at", flat=True).first()


def invited_by(token: str) -> Membership:
    """The membership that an invitation is for, with its `user` and `workspace`. Raises `Unauthenticated`.

    An invitation stops to work with its time, its use, the person's first password and the end of the membership.
    """
    open_ones = Ticket.objects.filter(
        digest=digest_of(token), purpose=TicketPurpose.INVITATION, used_at=None, expires_at__gt=ClockTimestamp()
    )
    ticket = open_ones.first()
    if ticket is not None and ticket.user_id and ticket.workspace_id:
        rows = Membership.objects.filter(user_id=ticket.user_id, workspace_id=ticket.workspace_id)
        member = rows.select_related("user", "workspace").first()
        if member is not None and member.is_pending:
            return member
    raise Unauthenticated("The invitation is not valid, has been used or has expired.")


def secrets(identity: Identity) -> QuerySet[Secret]:
    """The workspace's secrets, without what is in them."""
    return of_workspace(identity, Secret.objects.defer("ciphertext"))


def get_secret(identity: Identity, name: str) -> Secret:
    """Raises `NotFound`, also for another workspace's secret."""
    secret = secrets(identity).filter(name=name).first() if NAME.fullmatch(name) else None
    if secret is None:
        raise NotFound
    return secret


@operation()
def open_secrets(workspace_id: UUID, names: Collection[str]) -> Operation[dict[str, OpenSecret]]:
    """Those of the named secrets that there are, ready to be used; without names it costs no statement.

    For workers and checks: no caller is shown them. One that none of the server's keys opens is empty.
    """
    if not names:
        return {}
    rows = yield Query(
        "SELECT name, ciphertext, hosts FROM secrets WHERE workspace_id = %(workspace)s AND name = ANY(%(names)s)",
        {"workspace": workspace_id, "names": list(names)},
    )
    return {row["name"]: OpenSecret(_opened(workspace_id, row), tuple(row["hosts"])) for row in rows}


def _opened(workspace_id: UUID, row: Row) -> str:
    try:
        return unseal(workspace_id, row["name"], bytes(row["ciphertext"]))
    except Unreadable as error:
        log.error("workspace %s: %s", workspace_id, error)
        return ""
