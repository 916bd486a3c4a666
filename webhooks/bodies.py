"""The bodies that these routes take."""

import re
from typing import Annotated, Any

from pydantic import AfterValidator, Field, StringConstraints

from accounts.bodies import DEFAULT_OVERLAP_S, MAX_OVERLAP_S
from core.validation import Body
from webhooks.kinds import SUBSCRIBABLE
from webhooks.signing import known_secret

ALL = "*"
MOST_HEADERS = 20
LONGEST_DELAY_S = 7 * 86_400
MOST_DELAYS = 20
# RFC 9110, 5.6.2.
_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}")
# What the server or the connection says by itself.
_OURS = {
    "host",
    "connection",
    "keep-alive",
    "proxy-connection",
    "transfer-encoding",
    "te",
    "trailer",
    "upgrade",
    "expect",
    "accept-encoding",
    "user-agent",
}
# Whoever may read the webhook reads its headers.
_CREDENTIALS = {"authorization", "proxy-authorization", "cookie", "x-api-key"}


def _known_event(event: str) -> str:
    if event != ALL and event not in SUBSCRIBABLE:
        raise ValueError(f"Not an event: {', '.join(SUBSCRIBABLE)}, or {ALL} for all of them.")
    return event


def _all_of_them(events: list[str]) -> list[str]:
    if ALL not in events:
        return list(dict.fromkeys(events))
    if len(events) > 1:
        raise ValueError(f"{ALL} stands alone.")
    return list(SUBSCRIBABLE)


def _sendable(headers: dict[str, str]) -> dict[str, str]:
    for name in headers:
        lower = name.lower()
        if not _TOKEN.fullmatch(name):
            raise ValueError("The name of a header has 1 to 100 letters, digits and - _ . and the like.")
        if lower in _CREDENTIALS:
            raise ValueError(f"{name} would be a secret that stands here in plain: the signature is what proves us.")
        if lower in _OURS or lower.startswith(("content-", "webhook-")):
            raise ValueError(f"{name} is the server's own.")
    if len({name.lower() for name in headers}) < len(headers):
        raise ValueError("A header stands here twice.")
    return headers


def _absent() -> Any:
    # In a change a field is there or not; null is no way to leave it as it is.
    return Field(default_factory=lambda: None)


Name = Annotated[str, StringConstraints(min_length=1, max_length=200)]
Url = Annotated[str, Field(min_length=1, max_length=2_000, examples=["https://hooks.example/agents"])]
Event = Annotated[str, AfterValidator(_known_event), Field(json_schema_extra={"enum": [*SUBSCRIBABLE, ALL]})]
Events = Annotated[
    list[Event],
    Field(min_length=1, max_length=20, examples=[["run.failed", "schedule.failed"], [ALL]]),
    AfterValidator(_all_of_them),
]
HeaderValue = Annotated[str, StringConstraints(pattern=r"^[\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?$", max_length=1_000)]
Headers = Annotated[
    dict[str, HeaderValue],
    Field(max_length=MOST_HEADERS, examples=[{"x-environment": "staging"}]),
    AfterValidator(_sendable),
]
Delay = Annotated[int, Field(ge=1, le=LONGEST_DELAY_S)]
Delays = Annotated[list[Delay], Field(min_length=1, max_length=MOST_DELAYS, examples=[[5, 60, 3600]])]
Secret = Annotated[str, StringConstraints(max_length=100), AfterValidator(known_secret)]


class CreateWebhook(Body):
    """A receiver of what happens in the workspace."""

    name: Name
    url: Url
    events: Events = Field(description=f"The kinds that are sent there; {ALL} for all that there are now.")
    headers: Headers = Field(default_factory=dict, description="Sent with each delivery, and shown to who reads this.")
    retry_delays_s: Delays | None = Field(
        default=None, description="Seconds before each further attempt; null: the server's."
    )
    enabled: bool = True
    secret: Secret | None = Field(default=None, description="`whsec_` and base64 of 24 to 64 bytes; else one is made.")


class ChangeWebhook(Body):
    """What is to be otherwise; the secret has a route of its own."""

    name: Name = _absent()
    url: Url = _absent()
    events: Events = _absent()
    headers: Headers = _absent()
    retry_delays_s: Delays | None = None
    enabled: bool = _absent()


class RotateWebhook(Body):
    """A new secret in the place of one."""

    overlap_s: Annotated[float, Field(ge=0, le=MAX_OVERLAP_S)] = Field(
        default=DEFAULT_OVERLAP_S, description="How long the former one signs beside it."
    )
