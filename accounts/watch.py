"""Connections that stay open for long end with the key or the login that opened them.

A request asks who its caller is once. What stays open afterwards, a stream or a websocket, is looked at again and
again here: all of a process at once, by two statements, however many there are.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from uuid import UUID

from accounts.identity import EVERYTHING, ROLE_SCOPES, Identity
from accounts.models import Role
from core.db import DATABASE_DOWN, Operation, Query, operation

log = logging.getLogger(__name__)

LOOK_EVERY_S = 20.0

_KEYS = """
SELECT id FROM api_keys WHERE id = ANY(%(keys)s) AND revoked_at IS NULL
    AND (expires_at IS NULL OR expires_at > clock_timestamp())
"""

_LOGINS = """
SELECT g.login, g.workspace, u.is_superuser, m.role
FROM unnest(%(logins)s::text[], %(people)s::uuid[], %(workspaces)s::uuid[]) AS g(login, person, workspace)
JOIN django_session s ON s.session_key = g.login AND s.expire_date > clock_timestamp()
JOIN users u ON u.id = g.person AND u.is_active
LEFT JOIN memberships m ON m.user_id = u.id AND m.workspace_id = g.workspace
"""

# A login as it is looked for: the key of its session, the person, their workspace.
_Login = tuple[str, UUID, UUID]


class Watched:
    """An open connection. `ended`: its caller may not go on, and `end` was called."""

    __slots__ = ("end", "ended", "identity")

    def __init__(self, identity: Identity, end: Callable[[], None]) -> None:
        self.identity = identity
        self.end = end
        self.ended = False


class Watch:
    """The open connections of this process."""

    def __init__(self) -> None:
        self._open: set[Watched] = set()

    @contextmanager
    def over(self, identity: Identity, end: Callable[[], None]) -> Iterator[Watched]:
        """Have `end` called on the event loop soon after the caller's key or login has ended, or holds other scopes.

        Of a token, and of what the deployment's own function vouched for, only the end is known that was told.
        """
        watched = Watched(identity, end)
        self._open.add(watched)
        try:
            yield watched
        finally:
            self._open.discard(watched)

    async def run(self) -> None:
        """Look every `LOOK_EVERY_S` seconds, until cancelled."""
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            try:
                await self.look()
            except DATABASE_DOWN as fault:
                log.warning("Open connections were not looked at: %s", fault)

    async def look(self) -> None:
        """End the connections whose callers may not go on."""
        keys = {one.identity.api_key_id for one in self._open if one.identity.api_key_id}
        logins = {login for one in self._open if (login := _login_of(one.identity))}
        good_keys = await _good_keys(keys).arun()
        scopes = await _scopes_of(logins).arun()
        now = time.time()
        for one in list(self._open):
            key, login = one.identity.api_key_id, _login_of(one.identity)
            # What was opened since is looked at the next time.
            lost_key = key in keys and key not in good_keys
            lost_login = login in logins and scopes.get(login) != one.identity.scopes
            lapsed = one.identity.expires_at is not None and one.identity.expires_at <= now
            if lost_key or lost_login or lapsed:
                one.ended = True
                one.end()


def _login_of(identity: Identity) -> _Login | None:
    if identity.login_key is None or identity.login_id is None:
        return None
    return identity.login_key, identity.login_id, identity.workspace_id


@operation()
def _good_keys(keys: set[UUID]) -> Operation[set[UUID]]:
    rows = (yield Query(_KEYS, {"keys": list(keys)})) if keys else []
    return {row["id"] for row in rows}


@operation()
def _scopes_of(logins: set[_Login]) -> Operation[dict[_Login, frozenset[str]]]:
    """What the logins that have not ended hold now."""
    if not logins:
        return {}
    keys, people, workspaces = zip(*logins, strict=True)
    rows = yield Query(_LOGINS, {"logins": list(keys), "people": list(people), "workspaces": list(workspaces)})
    held: dict[tuple[str, UUID], frozenset[str]] = {}
    for row in rows:
        if row["is_superuser"]:
            held[row["login"], row["workspace"]] = frozenset({EVERYTHING})
        elif row["role"]:
            held[row["login"], row["workspace"]] = frozenset(ROLE_SCOPES[Role(row["role"])])
    return {login: held[login[0], login[2]] for login in logins if (login[0], login[2]) in held}


WATCH = Watch()
