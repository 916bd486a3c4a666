"""Whether a call of a trigger proves that its sender holds the secret, and which delivery it is.

`standard` is Standard Webhooks (https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/
standard-webhooks.md). `sha256` is what GitHub and many others send: `sha256=` and the HMAC-SHA256 of the body, in hex
(https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries).
"""

import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256

from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from scheduling.models import Verification

# The sender's own name for a delivery, where only the body is signed.
DELIVERY_HEADERS = ("x-github-delivery", "idempotency-key")
_LONGEST_ID = 200


@dataclass(frozen=True, slots=True)
class Delivery:
    """Which delivery a call is; one that is `of_body` has no name but its body's digest."""

    id: str
    of_body: bool


def proven(
    verification: str, signature_header: str, secrets: Sequence[str], headers: Mapping[str, str], body: bytes
) -> Delivery | None:
    """The delivery that is signed with one of the secrets; None where none of them is.

    `headers` are found by their names in lower case.
    """
    if verification == Verification.STANDARD:
        held = [_standard(secret, headers, body) for secret in secrets]
        return _named(headers.get("webhook-id", ""), body) if any(held) else None
    given = headers.get(signature_header, "").encode("utf-8", "replace")
    held = [_sha256(secret, given, body) for secret in secrets]
    name = next((value for header in DELIVERY_HEADERS if (value := headers.get(header))), "")
    return _named(name, body) if any(held) else None


def _standard(secret: str, headers: Mapping[str, str], body: bytes) -> bool:
    try:
        Webhook(secret).verify(body, dict(headers), json_parse=False)
    except (WebhookVerificationError, ValueError):
        # ValueError: headers that are not of the form at all, or a body that is no text.
        return False
    return True


def _sha256(secret: str, given: bytes, body: bytes) -> bool:
    expected = "sha256=" + hmac.new(secret.encode(), body, sha256).hexdigest()
    return hmac.compare_digest(expected.encode(), given.lower())


def _named(name: str, body: bytes) -> Delivery:
    if not name:
        return Delivery(f"body:{sha256(body).hexdigest()}", of_body=True)
    if len(name) > _LONGEST_ID or not name.isprintable():
        name = f"id:{sha256(name.encode('utf-8', 'replace')).hexdigest()}"
    return Delivery(name, of_body=False)
