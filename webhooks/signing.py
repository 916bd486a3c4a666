"""An endpoint's signing secret: how it looks, how it is kept, and which ones sign at the moment.

The form is Standard Webhooks' (https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/
standard-webhooks.md): `whsec_` and the base64 of 24 to 64 random bytes.
"""

import base64
import binascii
import secrets
from uuid import UUID

from accounts import vault
from accounts.resealing import Resealed, reseal
from core.redaction import in_logs
from webhooks.models import Endpoint

PREFIX = "whsec_"
SHORTEST, LONGEST = 24, 64
_BYTES = 32


def new_secret() -> str:
    """A secret of 256 bits."""
    return PREFIX + base64.b64encode(secrets.token_bytes(_BYTES)).decode()


def known_secret(secret: str) -> str:
    """`secret` itself; raises `ValueError` for a text that is no secret of Standard Webhooks."""
    try:
        # Strict, because what `base64` reads without its padding some receivers' libraries refuse.
        key = base64.b64decode(secret.removeprefix(PREFIX).encode(), validate=True)
    except (binascii.Error, UnicodeEncodeError):
        key = b""
    if not secret.startswith(PREFIX) or not SHORTEST <= len(key) <= LONGEST:
        raise ValueError(f"A secret is {PREFIX} and the base64 of {SHORTEST} to {LONGEST} bytes.")
    return secret


def seal(workspace_id: UUID, endpoint_id: UUID, secret: str) -> bytes:
    """`secret` encrypted, to be kept with this endpoint and no other."""
    in_logs.learn(name_of(endpoint_id), secret)
    return vault.seal(workspace_id, name_of(endpoint_id), secret)


def unseal(workspace_id: UUID, endpoint_id: UUID, sealed: bytes) -> str:
    """What `seal` was given. Raises `vault.Unreadable`."""
    secret = vault.unseal(workspace_id, name_of(endpoint_id), bytes(sealed))
    in_logs.learn(name_of(endpoint_id), secret)
    return secret


def secrets_of(workspace_id: UUID, endpoint_id: UUID, sealed: bytes, previous: bytes | None) -> list[str]:
    """The secrets that sign what is sent to an endpoint, the current one first. Raises `vault.Unreadable`.

    `sealed` and `previous` are as its row has them; `previous` counts until the row's `previous_until` by PostgreSQL's
    clock, and is None from then on: `CASE WHEN previous_until > clock_timestamp() THEN previous_secret END`.
    """
    kept = [sealed] if previous is None else [sealed, previous]
    return [unseal(workspace_id, endpoint_id, secret) for secret in kept]


def rotate_secrets() -> Resealed:
    """Encrypt every endpoint's secrets anew by the first of the server's keys."""
    return reseal(Endpoint.objects.all(), ("sealed_secret", "previous_secret"), lambda row: name_of(row.pk))


def name_of(endpoint_id: UUID) -> str:
    """The name that an endpoint's secrets have in the vault."""
    return f"webhook:{endpoint_id}"
