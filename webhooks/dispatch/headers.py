"""The headers of an attempt: Standard Webhooks' three, ours, and the endpoint's own.

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

import binascii
from collections.abc import Sequence
from datetime import datetime

from django.conf import settings
from standardwebhooks.webhooks import EmptyWebhookSecretError, Webhook

from webhooks.signing import PREFIX

USER_AGENT = f"agent-server/{settings.SPECTACULAR_SETTINGS['VERSION']}"
SIGNATURE = "webhook-signature"
# So much of a signature is kept: enough to compare it, too little to use it.
_SHOWN = 12


class BadSecret(Exception):
    """It cannot sign."""


def headers_of(event_id: str, body: str, at: datetime, secrets: Sequence[str], own: dict[str, str]) -> dict[str, str]:
    """What is sent with `body` at the moment `at`, in lower case; without secrets it is not signed.

    A secret that begins with `whsec_` is the base64 of its bytes, any other one stands for itself. `own` are the
    endpoint's, and never take the place of ours. Raises `BadSecret`.
    """
    ours = {
        "content-type": "application/json",
        "user-agent": USER_AGENT,
        "webhook-id": event_id,
        "webhook-timestamp": str(int(at.timestamp())),
    }
    if secrets:
        ours[SIGNATURE] = " ".join(_signature(secret, event_id, body, at) for secret in secrets)
    return {name.lower(): value for name, value in own.items()} | ours


def shown(headers: dict[str, str]) -> dict[str, str]:
    """The headers as the log keeps them."""
    if SIGNATURE not in headers:
        return headers
    return {**headers, SIGNATURE: " ".join(f"{one[:_SHOWN]}..." for one in headers[SIGNATURE].split(" "))}


def _signature(secret: str, event_id: str, body: str, at: datetime) -> str:
    try:
        key = Webhook(secret if secret.startswith(PREFIX) else secret.encode())
    except (binascii.Error, EmptyWebhookSecretError, ValueError):
        raise BadSecret(f"The signing secret is not {PREFIX} and base64.") from None
    return key.sign(event_id, at, body)
