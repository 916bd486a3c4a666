"""Callers that somebody else vouches for, a hook or an issuer of tokens: who they are in this server's terms."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.conf import settings
from django.utils import timezone

from accounts.hook import Caller, broken
from accounts.identity import ROLE_SCOPES, SCOPES, Identity
from accounts.limits import Holder, holders
from accounts.memory import ShortMemory
from accounts.models import Role
from core.db import Operation, Query, operation
from core.errors import Forbidden, Unauthenticated
from core.ids import parse_id

LONGEST_NAME = 200
LONGEST_USER_ID = 255
_LONGEST_SLUG = 64


@dataclass(frozen=True, slots=True)
class Vouched:
    """What was vouched for. `workspace` is a slug or an id that nobody has looked up; `expires_at` in Unix seconds."""

    workspace: str
    scopes: frozenset[str]
    actor: str
    user_id: str | None
    expires_at: float | None = None


# The ids of workspaces, and the limits that they have.
WORKSPACES: ShortMemory[tuple[UUID, tuple[Holder, ...]]] = ShortMemory()


@operation()
def identity_of(vouched: Vouched) -> Operation[Identity]:
    """The caller's identity. Raises `Forbidden` where the workspace does not exist."""
    known = WORKSPACES.get(vouched.workspace)
    if known is None:
        rows = []
        if is_plain(vouched.workspace, _LONGEST_SLUG):
            # What looks like an id is one: a slug could be chosen to look like a stranger's.
            column = "id" if parse_id(vouched.workspace) else "slug"
            rows = yield Query(f"SELECT id, limits FROM workspaces WHERE {column} = %(it)s", {"it": vouched.workspace})  # noqa: S608 - one of two
        if not rows:
            raise Forbidden("The workspace that your credential names does not exist here.")
        found: UUID = rows[0]["id"]
        known = found, holders(found, rows[0]["limits"], settings.WORKSPACE_LIMITS)
        WORKSPACES.put(vouched.workspace, known)
    workspace_id, limits = known
    return Identity(
        workspace_id,
        vouched.scopes,
        vouched.actor,
        user_id=vouched.user_id,
        limits=limits,
        expires_at=vouched.expires_at,
    )


def vouched_by_hook(caller: Caller) -> Vouched:
    """What the hook's answer means.

    Raises `Unauthenticated` for a caller whose time has passed, and `Unavailable` for an answer that means nothing.
    """
    if not isinstance(caller.workspace, str):
        raise broken(f"workspace is {caller.workspace!r}")
    for value, name, longest in ((caller.user_id, "user_id", LONGEST_USER_ID), (caller.name, "name", LONGEST_NAME)):
        if value is not None and not (isinstance(value, str) and is_plain(value, longest)):
            raise broken(f"{name} is not a text of 1 to {longest} printable characters: {value!r}")
    if caller.expires_at is not None:
        if not isinstance(caller.expires_at, datetime) or caller.expires_at.utcoffset() is None:
            raise broken("expires_at is not a moment with a time zone")
        if caller.expires_at <= timezone.now():
            raise Unauthenticated("The credential has expired.")
    who = caller.name or caller.user_id or "caller"
    expires_at = caller.expires_at.timestamp() if caller.expires_at else None
    return Vouched(caller.workspace, _scopes(caller), f"hook:{who[:LONGEST_NAME]}", caller.user_id, expires_at)


def _scopes(caller: Caller) -> frozenset[str]:
    if (caller.role is None) == (caller.scopes is None):
        raise broken("a Caller has either a role or scopes")
    if caller.role is not None:
        if caller.role not in set(Role):
            raise broken(f"{caller.role!r} is not a role")
        if caller.role == Role.MEMBER and caller.user_id is None:
            # Who forgets it would open everybody's sessions.
            raise broken("a member has no user_id")
        return frozenset(ROLE_SCOPES[Role(caller.role)])
    if not isinstance(caller.scopes, list | tuple | set | frozenset):
        raise broken("scopes are not a list or a set")
    if unknown := [scope for scope in caller.scopes if not isinstance(scope, str) or scope not in SCOPES]:
        raise broken(f"{unknown[0]!r} is not a scope")
    return frozenset(caller.scopes)


def is_plain(text: str, longest: int) -> bool:
    """Whether `text` can be stored and shown as somebody's name: neither empty nor endless, without controls."""
    return 0 < len(text) <= longest and text.isprintable()
