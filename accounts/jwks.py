"""The public keys of an issuer of tokens (RFC 7517), fetched from its address and kept.

The fetch runs in a thread of its own, so that requests in threads and on event loops wait for the same one, and a
client that leaves ends nobody else's.
"""

import asyncio
import json
import logging
import threading
import time
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import httpx2
import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from core.url_guard import AnswerTooLong, BlockedUrl, UrlGuard, host_and_port

log = logging.getLogger(__name__)

FETCH_S = 5.0
LARGEST_ANSWER = 256 * 1024
MOST_KEYS = 100
SMALLEST_RSA_KEY = 2048  # bits; RFC 7518, 3.3
# An unknown key id has the keys fetched again, but strangers can make those up.
PAUSE_S = 30.0
PAUSE_WITHOUT_KEYS_S = 1.0
# A key that the issuer has withdrawn is good for this long at most, while the issuer can be reached.
RENEWED_EVERY_S = 600.0

_RSA = frozenset({"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"})
_CURVES = {"secp256r1": "ES256", "secp384r1": "ES384", "secp521r1": "ES512"}
ALGORITHMS = _RSA | set(_CURVES.values()) | {"EdDSA"}

PublicKey = rsa.RSAPublicKey | ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey


class KeysAway(Exception):
    """The keys cannot be had; the message says why."""


@dataclass(frozen=True, slots=True)
class SigningKey:
    """One key, and the algorithms that it may be used with: its own kind's, so that none is taken for another."""

    kid: str | None
    key: PublicKey
    algorithms: frozenset[str]


class IssuerKeys:
    """What `issuer` signs with. `jwks_url`: where the keys are; empty to ask the issuer (OpenID Connect Discovery)."""

    def __init__(self, issuer: str, jwks_url: str, guard: UrlGuard) -> None:
        self.keys: tuple[SigningKey, ...] = ()
        self._issuer = issuer
        self._jwks_url = jwks_url
        self._guard = guard
        self._lock = threading.Lock()
        self._fetch: Future[None] | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="issuer-keys")
        self._asked_at = self._had_at = float("-inf")

    def fitting(self, kid: str | None, algorithm: str) -> list[SigningKey]:
        """The keys that may have made such a signature: those with this id, or all for a token that names none."""
        if time.monotonic() - self._had_at > RENEWED_EVERY_S:
            self.renew()
        return [key for key in self.keys if kid in {None, key.kid} and algorithm in key.algorithms]

    def renew(self, *, at_once: bool = False) -> Future[None] | None:
        """Fetch the keys: the fetch to wait for, which ends without an error; None where there was one just now.

        The keys stay as they are where the issuer does not answer. `at_once`: however recently it was asked.
        """
        with self._lock:
            if self._fetch is not None and not self._fetch.done():
                return self._fetch
            pause_s = PAUSE_S if self.keys else PAUSE_WITHOUT_KEYS_S
            if not at_once and time.monotonic() - self._asked_at < pause_s:
                return None
            self._asked_at = time.monotonic()
            self._fetch = self._thread.submit(self._renew)
            return self._fetch

    def _renew(self) -> None:
        try:
            self.fetch()
        except KeysAway as fault:
            log.warning("The keys of %s were not renewed: %s", self._issuer, fault)

    def fetch(self) -> None:
        """Fetch the keys and wait for them, in the caller's thread. Raises `KeysAway`."""
        self.keys = asyncio.run(self._fetched())
        self._had_at = time.monotonic()

    async def _fetched(self) -> tuple[SigningKey, ...]:
        url = self._jwks_url or await self._discovered()
        found = (await self._json(url)).get("keys")
        keys = tuple(_readable(found)) if isinstance(found, list) else ()
        if not keys:
            raise KeysAway(f"{url} has no key that signatures can be checked with.")
        return keys

    async def _discovered(self) -> str:
        address = self._issuer.rstrip("/") + "/.well-known/openid-configuration"
        document = await self._json(address)
        # Section 4.3: it must be the very same, or one issuer could pass for another.
        if document.get("issuer") != self._issuer:
            raise KeysAway(f"{address} is of the issuer {document.get('issuer')!r}, not {self._issuer!r}.")
        url = document.get("jwks_uri")
        if not isinstance(url, str):
            raise KeysAway(f"{address} has no jwks_uri.")
        return url

    async def _json(self, url: str) -> dict[str, Any]:
        try:
            check_address(url, self._guard)
            answer = await self._guard.fetch("GET", url, timeout_s=FETCH_S, max_bytes=LARGEST_ANSWER)
        except (BlockedUrl, AnswerTooLong) as fault:
            raise KeysAway(f"{url}: {fault}") from fault
        except httpx2.HTTPError as fault:
            raise KeysAway(f"{url} does not answer: {fault or type(fault).__name__}") from fault
        if answer.status != 200:
            raise KeysAway(f"{url} answers with the status {answer.status}.")
        try:
            document = json.loads(answer.body)
        except (ValueError, RecursionError):
            document = None
        if not isinstance(document, dict):
            raise KeysAway(f"{url} does not answer with a JSON object.")
        return document


def check_address(url: str, guard: UrlGuard) -> None:
    """Raises `BlockedUrl` for an address that keys are not to come from.

    Who can change them on their way can sign anything, so that it must be https, or allow-listed.
    """
    guard.check(url)
    parsed = httpx2.URL(url)
    if parsed.scheme != "https" and not guard.allowlist.opens(*host_and_port(parsed)):
        raise BlockedUrl("The address must begin with https://, or its host be in AGENT_SERVER_URL_ALLOWLIST.")


def _readable(found: list[Any]) -> Iterable[SigningKey]:
    for document in found[:MOST_KEYS]:
        key = _signing_key(document) if isinstance(document, dict) else None
        if key is not None:
            yield key


def _signing_key(document: dict[str, Any]) -> SigningKey | None:
    """The key, None for one that is not for signatures, is too weak, or is no public one."""
    if document.get("use", "sig") != "sig" or document.get("kty") not in ["RSA", "EC", "OKP"]:
        return None
    uses = document.get("key_ops", ["verify"])
    if not isinstance(uses, list) or "verify" not in uses:
        return None
    try:
        key = jwt.PyJWK(document).key
    except (jwt.PyJWTError, ValueError, TypeError, KeyError) as fault:
        log.warning("A key of the issuer cannot be read: %s", fault)
        return None
    algorithms = _algorithms_of(key)
    if "alg" in document:
        algorithms &= {str(document["alg"])}
    kid = document.get("kid")
    return SigningKey(kid if isinstance(kid, str) else None, key, algorithms) if algorithms else None


def _algorithms_of(key: Any) -> frozenset[str]:
    """None for a private key: one that its owner has published is everybody's."""
    if isinstance(key, rsa.RSAPublicKey):
        return _RSA if key.key_size >= SMALLEST_RSA_KEY else frozenset()
    if isinstance(key, ec.EllipticCurvePublicKey):
        return frozenset({_CURVES[key.curve.name]}) if key.curve.name in _CURVES else frozenset()
    return frozenset({"EdDSA"}) if isinstance(key, ed25519.Ed25519PublicKey) else frozenset()
