"""What clients may post to triggers."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from accounts.bodies import DEFAULT_OVERLAP_S, MAX_OVERLAP_S
from core.validation import Body, Id, Metadata, UserId
from scheduling.models import Verification
from scheduling.targets import refuse_two_targets
from sessions.bodies import Tag, VersionChoice
from webhooks.signing import known_secret

GITHUB_HEADER = "x-hub-signature-256"
SHORTEST_SECRET = 16

Name = Annotated[str, StringConstraints(min_length=1, max_length=200)]
Version = Annotated[int, Field(ge=1, le=2_147_483_647)]
# RFC 9110, 5.6.2; names of headers do not differ by case.
HeaderName = Annotated[
    str, StringConstraints(pattern=r"^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}$"), AfterValidator(str.lower)
]
Secret = Annotated[str, StringConstraints(pattern=r"^[\x21-\x7e]*$", min_length=SHORTEST_SECRET, max_length=200)]


class CreateTrigger(VersionChoice):
    """POST /assistants/{id}/triggers"""

    name: Name
    session_id: Id | None = Field(default=None, description="Null: a new session each time.")
    user_id: UserId | None = Field(default=None, description="Whose sessions it opens.")
    enabled: bool = True
    metadata: Metadata = Field(default_factory=dict, description="Of each run.")
    verification: Literal["standard", "sha256"] = Field(
        default="standard", description="Standard Webhooks, or `sha256=` and the body's HMAC in hex in a header."
    )
    signature_header: HeaderName | None = Field(default=None, description=f"For sha256; else {GITHUB_HEADER}.")
    secret: Secret | None = Field(default=None, description="What the sender signs with; else one is made.")

    @model_validator(mode="after")
    def _fits_together(self) -> "CreateTrigger":
        if self.signature_header is not None and self.verification != "sha256":
            raise ValueError("signature_header is for sha256")
        if self.secret is not None:
            check_secret(self.verification, self.secret)
        refuse_two_targets(self)
        return self


def _kept() -> Any:
    # What is left out stays as it is; null is no way to say so.
    return Field(default_factory=lambda: None)


class ChangeTrigger(Body):
    """PATCH /triggers/{id}: what is left out stays, and how callers prove themselves does always."""

    name: Name = _kept()
    session_id: Id | None = None
    user_id: UserId | None = None
    version: Version | None = None
    tag: Tag | None = None
    enabled: bool = _kept()
    metadata: Metadata = Field(default_factory=lambda: {}, description="Merged with what is there.")

    @model_validator(mode="after")
    def _one_target(self) -> "ChangeTrigger":
        refuse_two_targets(self)
        return self


class RotateTrigger(Body):
    """POST /triggers/{id}/rotate"""

    overlap_s: Annotated[float, Field(ge=0, le=MAX_OVERLAP_S)] = Field(
        default=DEFAULT_OVERLAP_S, description="How long the former secret is taken beside the new one."
    )
    secret: Secret | None = Field(default=None, description="The new one; else one is made.")


def check_secret(verification: str, secret: str) -> None:
    """Raise `ValueError` for a secret that callers could not sign with as they are to."""
    if verification == Verification.STANDARD:
        known_secret(secret)
