"""How the values of secrets are kept: encrypted, each for its own place; and where they may be sent.

AES-256-GCM (NIST SP 800-38D) with a random nonce. The workspace and the name are its associated data, so that a row
that is copied to another workspace, or renamed, cannot be read. The keys are made by HKDF-SHA256 (RFC 5869) of the
texts in `settings.ENCRYPTION_KEYS`.
"""

import os
import re
from collections.abc import Sequence
from functools import cache
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings

from core.errors import Invalid
from core.url_guard import allowed_host

NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,63}")
LONGEST, MOST_HOSTS = 8_192, 32
# The first byte says how the rest is to be read.
_FORM = b"\x01"
_NONCE = 12


class Unreadable(Exception):
    """None of this server's keys opens the value."""


def seal(workspace_id: UUID, name: str, value: str) -> bytes:
    """`value` encrypted by the first key, to be kept under this name of this workspace."""
    nonce = os.urandom(_NONCE)
    return _FORM + nonce + _cipher(_keys()[0]).encrypt(nonce, value.encode(), _place(workspace_id, name))


def unseal(workspace_id: UUID, name: str, sealed: bytes) -> str:
    """What `seal` was given; any of the keys may have been the first one then. Raises `Unreadable`."""
    form, nonce, text = sealed[:1], sealed[1 : 1 + _NONCE], sealed[1 + _NONCE :]
    if form == _FORM:
        for key in _keys():
            try:
                return _cipher(key).decrypt(nonce, text, _place(workspace_id, name)).decode()
            except InvalidTag:
                continue
    raise Unreadable(f"No key of this server opens the secret {name!r}.")


def _keys() -> list[str]:
    keys: list[str] = settings.ENCRYPTION_KEYS
    return keys


@cache
def _cipher(key: str) -> AESGCM:
    # The text has the length and the randomness of a key, so that nothing slower than HKDF is needed.
    return AESGCM(HKDF(SHA256(), length=32, salt=None, info=b"agent-server secrets").derive(key.encode()))


def _place(workspace_id: UUID, name: str) -> bytes:
    return workspace_id.bytes + name.encode()


def read_hosts(hosts: Sequence[str]) -> list[str]:
    """The hosts that a secret may be sent to, each once and in one spelling. Raises `Invalid`."""
    if not 1 <= len(hosts) <= MOST_HOSTS:
        raise Invalid.at("hosts", message=f"A secret has 1 to {MOST_HOSTS} hosts that it may be sent to.")
    found = []
    for index, host in enumerate(hosts):
        entry = allowed_host(host)
        if entry is None:
            raise Invalid.at("hosts", index, message="A host is written as in a URL: api.example.com or [::1]:8080.")
        found.append(entry)
    return list(dict.fromkeys(found))
