"""From a key to an identity: the one statement that both the hot routes and DRF ask, and its short memory."""

import asyncio
import logging
import re
import time
from collections.abc import Mapping
from hashlib import sha256
from uuid import UUID

from django.conf import settings

from accounts.identity import Identity
from accounts.limits import holders
from accounts.memory import ShortMemory
from core.db import DATABASE_DOWN, Operation, Query, operation
from core.errors import BadRequest, Unauthenticated

log = logging.getLogger(__name__)

USE_NOTED_EVERY_S = 60.0

KEY_FORM = re.compile(r"[A-Za-z0-9_-]{20,128}")


def shown_in(headers: Mapping[str, str]) -> str | None:
    """The text by which a request shows who asks, None if it has none. Header names in lower case.

    Raises `BadRequest` for two different ones and `Unauthenticated` for another kind of `Authorization`.
    """
    authorization, key = headers.get("authorization"), headers.get("x-api-key")
    if authorization is not None:
        method, _, bearer = authorization.partition(" ")
        bearer = bearer.strip()
        if method.lower() != "bearer":
            raise Unauthenticated("The Authorization header must be `Bearer <key>`.")
        if key is not None and key != bearer:
            raise BadRequest("Authorization and X-Api-Key carry different keys.")
        key = bearer
    return key


def digest_of(secret: str) -> str:
    """What is stored of a key or a ticket. Both are long and random, so a plain SHA-256 holds."""
    return sha256(secret.encode()).hexdigest()


def _digest_of_key(key: str) -> str:
    # What cannot be a key is not looked for, nor is there a digest of each text.
    if not KEY_FORM.fullmatch(key):
        raise Unauthenticated("The API key is not valid.")
    return digest_of(key)


@operation()
def find_identity(digest: str) -> Operation[Identity | None]:
    """The identity of the key with this digest, None if it is unknown, revoked or expired."""
    rows = yield Query(
        """SELECT k.id, k.workspace_id, k.name, k.scopes, k.user_id, k.limits, w.limits AS workspace_limits
           FROM api_keys k JOIN workspaces w ON w.id = k.workspace_id
           WHERE k.digest = %(digest)s AND k.revoked_at IS NULL
             AND (k.expires_at IS NULL OR k.expires_at > clock_timestamp())""",
        {"digest": digest},
    )
    if not rows:
        return None
    key = rows[0]
    return Identity(
        workspace_id=key["workspace_id"],
        scopes=frozenset(key["scopes"]),
        actor=f"key:{key['name']}",
        user_id=key["user_id"],
        api_key_id=key["id"],
        limits=holders(
            key["workspace_id"], key["workspace_limits"], settings.WORKSPACE_LIMITS, key["id"], key["limits"]
        ),
    )


@operation()
def note_use(api_key_id: UUID) -> Operation[None]:
    """Write when the key was last used, at most once a minute across all processes."""
    yield Query(
        """UPDATE api_keys SET last_used_at = clock_timestamp()
           WHERE id = %(id)s
             AND (last_used_at IS NULL OR last_used_at < clock_timestamp() - interval '1 minute')""",
        {"id": api_key_id},
    )


class Memory(ShortMemory[Identity]):
    """This process's keys by their digests: who they are, and when their use was last noted."""

    def __init__(self) -> None:
        super().__init__()
        self._noted: dict[str, float] = {}

    def use_is_due(self, digest: str) -> bool:
        """Whether the use is to be noted now; says so once a minute per key."""
        now = time.monotonic()
        if now - self._noted.get(digest, -USE_NOTED_EVERY_S) < USE_NOTED_EVERY_S:
            return False
        self._noted[digest] = now
        return True

    def clear(self) -> None:
        super().clear()
        self._noted.clear()


MEMORY = Memory()
_background: set[asyncio.Task[None]] = set()


def identify(key: str) -> Identity:
    """The key's identity, on Django's connection. Raises `Unauthenticated`."""
    digest = _digest_of_key(key)
    identity = MEMORY.get(digest)
    if identity is None:
        identity = _known(find_identity(digest).run())
        MEMORY.put(digest, identity)
    if MEMORY.use_is_due(digest) and identity.api_key_id:
        note_use(identity.api_key_id).run()
    return identity


async def aidentify(key: str) -> Identity:
    """The key's identity, on the async pool; nobody waits for its use to be noted. Raises `Unauthenticated`."""
    digest = _digest_of_key(key)
    identity = MEMORY.get(digest)
    if identity is None:
        identity = _known(await find_identity(digest).arun())
        MEMORY.put(digest, identity)
    if MEMORY.use_is_due(digest) and identity.api_key_id:
        task = asyncio.create_task(_note_use_quietly(identity.api_key_id))
        # The loop itself holds tasks only weakly.
        _background.add(task)
        task.add_done_callback(_background.discard)
    return identity


async def _note_use_quietly(api_key_id: UUID) -> None:
    try:
        await note_use(api_key_id).arun()
    except DATABASE_DOWN as fault:
        log.warning("A key's use was not noted: %s", fault)


def _known(identity: Identity | None) -> Identity:
    if identity is None:
        raise Unauthenticated("The API key is not valid.")
    return identity
