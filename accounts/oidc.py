"""Tokens of an OpenID Connect issuer: signed by its keys, they say who asks (RFC 7519, 9068).

Only asymmetric signatures count: with a symmetric one, the issuer's public key could be taken for a shared secret.
"""

import asyncio
import contextlib
import logging
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jwt

from accounts.credentials import digest_of
from accounts.external import LONGEST_NAME, LONGEST_USER_ID, Vouched, identity_of, is_plain
from accounts.identity import ROLE_SCOPES, Identity
from accounts.jwks import ALGORITHMS, FETCH_S, IssuerKeys, KeysAway, SigningKey
from accounts.memory import ShortMemory
from accounts.models import Role
from core.errors import Forbidden, Unauthenticated, Unavailable

log = logging.getLogger(__name__)

TOKEN_FORM = re.compile(r"[A-Za-z0-9_-]+={0,2}\.[A-Za-z0-9_-]+={0,2}\.[A-Za-z0-9_=-]*")
LONGEST_TOKEN = 16 * 1024
LEEWAY_S = 30
# In Unix seconds: the end of the year 9999.
LATEST = 253_402_300_799
# A fetch that is waited for asks two addresses at most.
_WAIT_S = 2 * FETCH_S + 1
_STRONGEST_FIRST = (Role.ADMIN, Role.EDITOR, Role.OPERATOR, Role.MEMBER)


@dataclass(frozen=True)
class Issuer:
    """Whose tokens count, and what their claims mean.

    `workspace` is the slug for all of them, unless `workspace_claim` names the claim that holds it. `role_claim` holds
    a role or a list with one; without it, or where it holds none, a caller is `default_role`. `user_claim` is who they
    are.
    """

    issuer: str
    audience: str
    keys: IssuerKeys
    workspace: str
    workspace_claim: str
    role_claim: str
    default_role: Role
    user_claim: str


class _Current:
    issuer: Issuer | None = None


TOKENS: ShortMemory[Identity] = ShortMemory()


def install(issuer: Issuer | None) -> None:
    """Take this issuer's tokens from now on; None takes none."""
    _Current.issuer = issuer
    TOKENS.clear()


def fetch_at_start(patience_s: float) -> bool:
    """Have the issuer's keys; False if there is no issuer. Raises `KeysAway` where it takes more than `patience_s`."""
    issuer = _Current.issuer
    deadline = time.monotonic() + patience_s
    while issuer is not None:
        try:
            issuer.keys.fetch()
        except KeysAway:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.5)
        else:
            return True
    return False


class _UnknownKey(Exception):
    """No key that we have can have signed it."""


@dataclass(frozen=True, slots=True)
class Token:
    """A bearer token of the issuer."""

    text: str
    issuer: Issuer

    def identify(self) -> Identity:
        digest = digest_of(self.text)
        if known := TOKENS.get(digest):
            return known
        try:
            claims = self._claims()
        except _UnknownKey:
            if fetch := self.issuer.keys.renew():
                with contextlib.suppress(TimeoutError):
                    fetch.result(_WAIT_S)
            claims = self._claims_at_last()
        return self._remember(digest, claims, identity_of(self._vouched(claims)).run())

    async def aidentify(self) -> Identity:
        digest = digest_of(self.text)
        if known := TOKENS.get(digest):
            return known
        try:
            claims = self._claims()
        except _UnknownKey:
            if fetch := self.issuer.keys.renew():
                with contextlib.suppress(TimeoutError):
                    # Others wait for the same fetch: who leaves does not end it.
                    await asyncio.wait_for(asyncio.shield(asyncio.wrap_future(fetch)), _WAIT_S)
            claims = self._claims_at_last()
        return self._remember(digest, claims, await identity_of(self._vouched(claims)).arun())

    def _remember(self, digest: str, claims: Mapping[str, Any], identity: Identity) -> Identity:
        # Whole numbers, since a claim may have any size.
        TOKENS.put(digest, identity, at_most_s=min(int(claims["exp"]) - int(time.time()), LEEWAY_S))
        return identity

    def _claims_at_last(self) -> dict[str, Any]:
        try:
            return self._claims()
        except _UnknownKey:
            if not self.issuer.keys.keys:
                raise Unavailable("The issuer of tokens cannot be reached.", retry_after=1) from None
            raise Unauthenticated("The token is signed with a key that its issuer does not have.") from None

    def _claims(self) -> dict[str, Any]:
        """What a good token says. Raises `Unauthenticated`, and `_UnknownKey`."""
        try:
            header = jwt.get_unverified_header(self.text)
        # Its JSON is a stranger's still, and may be nested without end.
        except (jwt.PyJWTError, ValueError, RecursionError):
            raise Unauthenticated("The token is not valid.") from None
        kid, algorithm = header.get("kid"), header.get("alg")
        if not isinstance(algorithm, str) or algorithm not in ALGORITHMS:
            raise Unauthenticated("The token is not signed by an algorithm with a public key.")
        keys = self.issuer.keys.fitting(kid, algorithm)
        if not keys:
            raise _UnknownKey
        for key in keys:
            with contextlib.suppress(jwt.InvalidSignatureError):
                return self._verified(key, algorithm)
        raise Unauthenticated("The token's signature is not valid.")

    def _verified(self, key: SigningKey, algorithm: str) -> dict[str, Any]:
        try:
            return jwt.decode(
                self.text,
                key.key,
                algorithms=[algorithm],
                audience=self.issuer.audience,
                issuer=self.issuer.issuer,
                leeway=LEEWAY_S,
                options={"require": ["exp", "iss", "aud"], "verify_sub": False},
            )
        except jwt.InvalidSignatureError:
            raise
        except jwt.ExpiredSignatureError:
            raise Unauthenticated("The token has expired.") from None
        except jwt.InvalidAudienceError:
            raise Unauthenticated("The token is for another audience.") from None
        except jwt.InvalidIssuerError:
            raise Unauthenticated("The token is of another issuer.") from None
        except (jwt.PyJWTError, ValueError, TypeError, OverflowError, RecursionError):
            raise Unauthenticated("The token is not valid.") from None

    def _vouched(self, claims: Mapping[str, Any]) -> Vouched:
        """What the claims mean here. Raises `Unauthenticated` without a user, `Forbidden` without a workspace."""
        user = claims.get(self.issuer.user_claim)
        if not isinstance(user, str) or not is_plain(user, LONGEST_USER_ID):
            raise Unauthenticated(f"The token's claim {self.issuer.user_claim} does not say who you are.")
        workspace = self.issuer.workspace
        if self.issuer.workspace_claim:
            workspace = claims.get(self.issuer.workspace_claim, "")
            if not isinstance(workspace, str) or not workspace:
                raise Forbidden(f"The token's claim {self.issuer.workspace_claim} names no workspace.")
        role = self._role(claims)
        scopes = frozenset(ROLE_SCOPES[role])
        user_id = user if role == Role.MEMBER else None
        # A claim may have any size.
        expires_at = min(int(claims["exp"]) + LEEWAY_S, LATEST)
        return Vouched(workspace, scopes, f"oidc:{user[:LONGEST_NAME]}", user_id, expires_at)

    def _role(self, claims: Mapping[str, Any]) -> Role:
        held = claims.get(self.issuer.role_claim) if self.issuer.role_claim else None
        named = held if isinstance(held, list) else [held]
        return next((role for role in _STRONGEST_FIRST if role.value in named), self.issuer.default_role)


def token_in(text: str) -> Token | None:
    """The token that a bearer text is, None for another kind of text or without an issuer.

    Raises `Unauthenticated` for one that is longer than any sensible one.
    """
    issuer = _Current.issuer
    if issuer is None or "." not in text:
        return None
    if len(text) > LONGEST_TOKEN or not TOKEN_FORM.fullmatch(text):
        raise Unauthenticated("The token is not valid.")
    return Token(text, issuer)
