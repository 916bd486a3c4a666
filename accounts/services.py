"""Every write to workspaces, keys and tickets."""

import secrets
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db import IntegrityError, transaction
from django.utils import timezone

from accounts.audit import record
from accounts.credentials import KEY_FORM, MEMORY, digest_of
from accounts.identity import EVERYTHING, SCOPES, Identity
from accounts.limits import Limits
from accounts.models import ApiKey, Ticket, TicketPurpose, User, Workspace
from core.clock import ClockTimestamp
from core.db import Operation, Query, jsonb, operation
from core.errors import AlreadyExists, Forbidden, Invalid, NotFound, Unauthenticated
from core.ids import new_id

SHOWN_CHARACTERS = 12
# A sign-in link waits for a person, a websocket ticket for the page's next line of code.
NO_LIMITS = Limits()
TICKET_LIFETIME_S = {TicketPurpose.SIGN_IN: 3600, TicketPurpose.WEBSOCKET: 30}


def create_workspace(name: str, slug: str) -> Workspace:
    """A new tenant. Raises `AlreadyExists` for a slug that is taken."""
    try:
        with transaction.atomic():
            return Workspace.objects.create(name=name, slug=slug)
    except IntegrityError:
        raise AlreadyExists(f"There is a workspace {slug!r} already.") from None


def limit_workspace(identity: Identity, limits: Limits) -> None:
    """Set what the caller's workspace may take, with an entry in its audit trail.

    Other processes go by it as soon as they ask for their callers' keys again, which is seconds later.
    """
    with transaction.atomic():
        workspace = Workspace.objects.select_for_update().get(id=identity.workspace_id)
        before, after = workspace.limits, limits.document()
        if before == after:
            return
        Workspace.objects.filter(id=workspace.id).update(limits=after)
        record(identity, "limited", "workspace", workspace.id, before=before, limits=after)
    MEMORY.clear()


def create_api_key(
    workspace: Workspace | UUID,
    name: str,
    scopes: Collection[str],
    *,
    key: str | None = None,
    key_id: UUID | None = None,
    user_id: str | None = None,
    expires_at: datetime | None = None,
    limits: Limits = NO_LIMITS,
) -> tuple[ApiKey, str]:
    """A new key and its text, which is not stored and cannot be had again.

    `key`: a text of the caller's own. Raises `Invalid` for one that no request could carry, for an unknown scope and
    for an end that has passed, and `AlreadyExists` for a key in use.
    """
    if key is None:
        key = f"sk_{secrets.token_hex(6)}_{secrets.token_hex(20)}"
    elif not KEY_FORM.fullmatch(key):
        raise Invalid.at("key", message="A key is 20 to 128 letters, digits, - and _.")
    if unknown := sorted(set(scopes) - SCOPES):
        raise Invalid.at("scopes", message=f"{unknown[0]!r} is not a scope.")
    if expires_at is not None and expires_at <= timezone.now():
        raise Invalid.at("expires_at", message="This moment has passed.")
    workspace_id = workspace.pk if isinstance(workspace, Workspace) else workspace
    try:
        with transaction.atomic():
            stored = ApiKey.objects.create(
                id=key_id or new_id(),
                workspace_id=workspace_id,
                name=name,
                prefix=key[:SHOWN_CHARACTERS],
                digest=digest_of(key),
                scopes=sorted(set(scopes)),
                user_id=user_id,
                expires_at=expires_at,
                limits=limits.document(),
            )
    except IntegrityError:
        raise AlreadyExists("This key is in use already.") from None
    return stored, key


def grant_api_key(
    identity: Identity,
    name: str,
    scopes: Collection[str],
    *,
    key_id: UUID | None = None,
    user_id: str | None = None,
    expires_at: datetime | None = None,
    limits: Limits = NO_LIMITS,
) -> tuple[ApiKey, str]:
    """`create_api_key` on behalf of a caller, who can hand on no more than they hold. Raises `Forbidden` too."""
    for scope in sorted(SCOPES & set(scopes)):
        if not (identity.allows(scope) if scope != EVERYTHING else EVERYTHING in identity.scopes):
            raise Forbidden(f"You do not hold the scope {scope} yourself.")
    if identity.user_id is not None and user_id != identity.user_id:
        raise Forbidden("Your key is bound to a user; keys that it makes must be bound to the same one.")
    for holder in identity.limits:
        if holder.kind == "key" and (name_of := limits.beyond(holder.limits)):
            bound = holder.limits.document()[name_of]
            raise Forbidden(f"Your key's limit of {name_of} is {bound}; keys that it makes must have one within it.")
    return create_api_key(
        identity.workspace_id, name, scopes, key_id=key_id, user_id=user_id, expires_at=expires_at, limits=limits
    )


def revoke_api_key(workspace_id: UUID, api_key_id: UUID) -> None:
    """Refuse the key from now on; again without effect. Raises `NotFound`."""
    keys = ApiKey.objects.filter(workspace_id=workspace_id, id=api_key_id)
    key = keys.first()
    if key is None:
        raise NotFound
    keys.filter(revoked_at=None).update(revoked_at=ClockTimestamp())
    MEMORY.forget(key.digest)


@dataclass(frozen=True, slots=True)
class Redeemed:
    """What a ticket stood for: a person in a workspace, or a websocket's caller."""

    user_id: UUID | None
    workspace_id: UUID | None
    path: str
    identity: Identity | None


def issue_ticket(
    purpose: TicketPurpose,
    *,
    path: str,
    user: User | None = None,
    workspace: Workspace | None = None,
    identity: Identity | None = None,
) -> tuple[str, datetime]:
    """A token that works once, for `path` alone, and the moment when it stops to work."""
    token = secrets.token_urlsafe(32)
    expires_at = _store_ticket(
        digest_of(token),
        purpose,
        path,
        user.pk if user else None,
        workspace.pk if workspace else None,
        identity,
    ).run()
    return token, expires_at


@operation()
def _store_ticket(
    digest: str,
    purpose: TicketPurpose,
    path: str,
    user_id: UUID | None,
    workspace_id: UUID | None,
    identity: Identity | None,
) -> Operation[datetime]:
    rows = yield Query(
        """INSERT INTO tickets (id, purpose, digest, path, user_id, workspace_id, identity, expires_at)
           VALUES (%(id)s, %(purpose)s, %(digest)s, %(path)s, %(user_id)s, %(workspace_id)s, %(identity)s,
                   clock_timestamp() + make_interval(secs => %(lifetime_s)s))
           RETURNING expires_at""",
        {
            "id": new_id(),
            "purpose": purpose.value,
            "digest": digest,
            "path": path,
            "user_id": user_id,
            "workspace_id": workspace_id,
            "identity": jsonb(identity.document() if identity else {}),
            "lifetime_s": TICKET_LIFETIME_S[purpose],
        },
    )
    expires_at: datetime = rows[0]["expires_at"]
    return expires_at


def forget_expired_tickets() -> int:
    """Delete tickets that have ended; gives how many."""
    return Ticket.objects.filter(expires_at__lt=ClockTimestamp()).delete()[0]


@operation()
def redeem_ticket(token: str, purpose: TicketPurpose, path: str | None = None) -> Operation[Redeemed]:
    """Use a ticket up; of two callers with the same one, one wins. `path`: what it must have been issued for.

    Raises `Unauthenticated`, and then the ticket is as it was.
    """
    rows = yield Query(
        """UPDATE tickets SET used_at = clock_timestamp()
           WHERE digest = %(digest)s AND purpose = %(purpose)s AND used_at IS NULL
             AND expires_at > clock_timestamp() AND (%(path)s::text IS NULL OR path = %(path)s)
           RETURNING user_id, workspace_id, path, identity""",
        {"digest": digest_of(token), "purpose": purpose.value, "path": path},
    )
    if not rows:
        raise Unauthenticated("The ticket is not valid, has been used or has expired.")
    row = rows[0]
    identity = Identity.from_document(row["identity"]) if row["identity"] else None
    return Redeemed(row["user_id"], row["workspace_id"], row["path"], identity)
