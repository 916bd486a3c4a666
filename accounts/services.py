"""Every write to workspaces, keys, secrets and tickets."""

import re
import secrets
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID

from django.db import IntegrityError, transaction
from django.utils import timezone

from accounts import audit, queries, vault
from accounts.credentials import KEY_FORM, MEMORY, digest_of
from accounts.external import WORKSPACES
from accounts.identity import SCOPES, Identity
from accounts.limits import Limits
from accounts.models import ApiKey, Secret, Ticket, TicketPurpose, User, Workspace
from accounts.resealing import Resealed, reseal
from accounts.scoping import of_workspace
from core.clock import ClockTimestamp
from core.db import Operation, Query, jsonb, operation
from core.errors import AlreadyExists, Conflict, Forbidden, Invalid, NotFound, Unauthenticated
from core.ids import new_id

SHOWN_CHARACTERS = 12
NO_LIMITS = Limits()
SLUG_FORM = re.compile(r"[A-Za-z0-9_-]{1,64}")
# A sign-in link waits for a person, an invitation for their mail, a websocket ticket for the page's next line of code.
TICKET_LIFETIME_S = {TicketPurpose.SIGN_IN: 3600, TicketPurpose.INVITATION: 7 * 86_400, TicketPurpose.WEBSOCKET: 30}


def create_workspace(name: str, slug: str, *, actor: str | None = None, login_id: UUID | None = None) -> Workspace:
    """A new tenant, in whose trail the `actor` has made it. Raises `AlreadyExists` (the slug) and `Invalid`."""
    _check_workspace(name, slug)
    try:
        with transaction.atomic():
            workspace = Workspace.objects.create(name=name, slug=slug)
            if actor is not None:
                maker = Identity(workspace.id, frozenset(), actor, login_id=login_id)
                audit.record(maker, "created", "workspace", workspace.id, name=name, slug=slug)
            return workspace
    except IntegrityError:
        raise AlreadyExists(f"There is a workspace {slug!r} already.") from None


def rename_workspace(identity: Identity, name: str, slug: str) -> None:
    """Call the caller's workspace something else. Raises `AlreadyExists` and `Invalid`."""
    _check_workspace(name, slug)
    try:
        with transaction.atomic():
            former = Workspace.objects.select_for_update(no_key=True).get(id=identity.workspace_id)
            if (former.name, former.slug) == (name, slug):
                return
            told = {"name": name, "slug": slug, "former_name": former.name, "former_slug": former.slug}
            Workspace.objects.filter(id=former.id).update(name=name, slug=slug)
            audit.record(identity, "renamed", "workspace", former.id, **told)
    except IntegrityError:
        raise AlreadyExists(f"There is a workspace {slug!r} already.") from None
    # Tokens name a workspace by its slug.
    _forget_callers()


def _check_workspace(name: str, slug: str) -> None:
    if not 1 <= len(name) <= 200 or "\0" in name:
        raise Invalid.at("name", message="A name has 1 to 200 characters.")
    if not SLUG_FORM.fullmatch(slug):
        raise Invalid.at("slug", message="A slug is 1 to 64 letters, digits, - and _.")


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
        audit.record(identity, "limited", "workspace", workspace.id, before=before, limits=after)
        _forget_callers()
        transaction.on_commit(_forget_callers)


def _forget_callers() -> None:
    MEMORY.clear()
    WORKSPACES.clear()


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
    rotated_from: ApiKey | None = None,
    created_by: str | None = None,
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
                rotated_from=rotated_from,
                created_by=created_by,
            )
    except IntegrityError:
        raise AlreadyExists("This key is in use already.") from None
    return stored, key


@transaction.atomic
def grant_api_key(
    identity: Identity,
    name: str,
    scopes: Collection[str],
    *,
    key: str | None = None,
    key_id: UUID | None = None,
    user_id: str | None = None,
    expires_at: datetime | None = None,
    limits: Limits = NO_LIMITS,
) -> tuple[ApiKey, str]:
    """`create_api_key` on behalf of a caller, who can hand on no more than they hold. Raises `Forbidden` too."""
    identity.hands_on(scopes)
    if identity.user_id is not None and user_id != identity.user_id:
        raise Forbidden("Your key is bound to a user; keys that it makes must be bound to the same one.")
    identity.hands_on_limits(limits)
    stored, key = create_api_key(
        identity.workspace_id,
        name,
        scopes,
        key=key,
        key_id=key_id,
        user_id=user_id,
        expires_at=expires_at,
        limits=limits,
        created_by=identity.actor,
    )
    _record_key(identity, "created", stored)
    return stored, key


@transaction.atomic
def rotate_api_key(
    identity: Identity,
    api_key_id: UUID,
    *,
    overlap_s: float,
    expires_at: datetime | None = None,
    key_id: UUID | None = None,
) -> tuple[ApiKey, str]:
    """A new key in the place of one, which ends in `overlap_s` seconds, or when it would have ended before that.

    The new one is called the same and may do the same. It ends at `expires_at`; without that it has as long a life
    as the old one was given, from now on. Raises `NotFound`, `Conflict` (revoked or expired), `Forbidden` (the key
    holds more than the caller) and `Invalid` (an end that has passed).
    """
    # Of two that rotate it to end at once, one finds it ended. For no key: what is made refers to the row.
    locked = queries.api_keys(identity).select_for_update(no_key=True).annotate(now=ClockTimestamp())
    former = locked.filter(id=api_key_id).first()
    if former is None:
        raise NotFound
    if former.revoked_at is not None or (former.expires_at is not None and former.expires_at <= former.now):
        raise Conflict("The key is revoked or has expired; create a new one.")
    limits = Limits(**former.limits)
    identity.hands_on(former.scopes)
    identity.hands_on_limits(limits)
    if expires_at is None and former.expires_at is not None:
        expires_at = former.now + (former.expires_at - former.created_at)
    stored, key = create_api_key(
        identity.workspace_id,
        former.name,
        former.scopes,
        key_id=key_id,
        user_id=former.user_id,
        expires_at=expires_at,
        limits=limits,
        rotated_from=former,
        created_by=identity.actor,
    )
    ends_at = former.now + timedelta(seconds=overlap_s)
    former.expires_at = min(ends_at, former.expires_at or ends_at)
    former.save(update_fields=["expires_at"])
    _forget(former)
    _record_key(identity, "rotated", former, into=str(stored.id), overlap_s=overlap_s)
    _record_key(identity, "created", stored, rotated_from=str(former.id))
    return stored, key


@transaction.atomic
def revoke_api_key(identity: Identity, api_key_id: UUID) -> None:
    """Refuse the key from now on; again without effect. Raises `NotFound`."""
    key = queries.get_api_key(identity, api_key_id)
    if ApiKey.objects.filter(id=key.id, revoked_at=None).update(revoked_at=ClockTimestamp()):
        _record_key(identity, "revoked", key)
    _forget(key)


def _forget(key: ApiKey) -> None:
    # At the commit once more: until then another thread still finds the key good, and remembers it.
    MEMORY.forget(key.digest)
    transaction.on_commit(partial(MEMORY.forget, key.digest))


def _record_key(identity: Identity, action: str, key: ApiKey, **details: Any) -> None:
    told = {"name": key.name, "prefix": key.prefix, "scopes": key.scopes, "user_id": key.user_id, "limits": key.limits}
    audit.record(identity, action, "api_key", key.id, **told, **details)


def put_secret(identity: Identity, name: str, value: str, hosts: Sequence[str]) -> tuple[Secret, bool]:
    """Keep `value` under this name of the caller's workspace, in place of what was there; gives whether it is new.

    `hosts` (`host` or `host:port`): it is sent to these only. They are never changed without the value, or whoever
    does not know it could have it sent to a host of their own. Raises `Invalid`, and `Forbidden` for a caller who is
    bound to a user: secrets are the whole workspace's.
    """
    identity.require_unbound("no secrets")
    check_secret(name, value, hosts)
    kept = {
        "ciphertext": vault.seal(identity.workspace_id, name, value),
        "hosts": vault.read_hosts(hosts),
        "created_by": identity.actor,
    }
    with transaction.atomic():
        row, is_new = Secret.objects.select_for_update().get_or_create(
            workspace_id=identity.workspace_id, name=name, defaults=kept
        )
        if not is_new:
            Secret.objects.filter(id=row.id).update(
                ciphertext=kept["ciphertext"], hosts=kept["hosts"], updated_at=ClockTimestamp()
            )
        row.refresh_from_db(fields=["hosts", "created_at", "updated_at"])
        audit.record(identity, "created" if is_new else "updated", "secret", row.id, name=name, hosts=row.hosts)
    return row, is_new


def check_secret(name: str, value: str, hosts: Sequence[str]) -> None:
    """Raise `Invalid` for what `put_secret` would not keep."""
    if not vault.NAME.fullmatch(name):
        raise Invalid.at("name", message="A secret's name is 1 to 64 of A-Z, a-z, 0-9, _ . - and begins with a letter.")
    if not value.strip() or len(value) > vault.LONGEST:
        raise Invalid.at("value", message=f"A secret has 1 to {vault.LONGEST} characters, and not only blanks.")
    vault.read_hosts(hosts)


@transaction.atomic
def delete_secret(identity: Identity, name: str) -> None:
    """Forget the secret; what refers to it fails from the next run on. Raises `NotFound` and `Forbidden`."""
    identity.require_unbound("no secrets")
    rows = of_workspace(identity, Secret.objects.select_for_update()).filter(name=name)
    row = rows.first() if vault.NAME.fullmatch(name) else None
    if row is None:
        raise NotFound
    audit.record(identity, "deleted", "secret", row.id, name=name)
    row.delete()


def rotate_secrets() -> Resealed:
    """Encrypt every secret anew by the first of the server's keys."""
    return reseal(Secret.objects.all(), ("ciphertext",), lambda row: row.name)


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
