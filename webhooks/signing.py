"""An endpoint's signing secret: how it looks, how it is kept, and which ones sign at the moment.

The form is Standard Webhooks' (https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/
standard-webhooks.md): `whsec_` and the base64 of 24 to 64 random bytes.
"""

import base64
import binascii
import secrets

from accounts.row_secrets import RowSecrets
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


_ENDPOINTS = RowSecrets("webhook", Endpoint)
seal, unseal, secrets_of = _ENDPOINTS.seal, _ENDPOINTS.unseal, _ENDPOINTS.unseal_all
replace_secret, rotate_secrets = _ENDPOINTS.replace, _ENDPOINTS.reseal
