"""What clients may post to a session."""

from typing import Annotated, Literal

from pydantic import Field, StringConstraints, model_validator

from core.validation import Body, Id, Metadata, UserId

MAX_TTL_S = 10 * 365 * 86_400


class TextPart(Body):
    type: Literal["text"]
    text: str


class MediaPart(Body):
    """An image, file or audio: by address, or inline as base64 with its type."""

    type: Literal["image", "file", "audio"]
    url: str | None = Field(default=None, max_length=8_192)
    base64: str | None = None
    mime_type: str | None = Field(default=None, max_length=255)

    @model_validator(mode="after")
    def _one_source(self) -> "MediaPart":
        if (self.url is None) == (self.base64 is None):
            raise ValueError("give either url or base64")
        if self.base64 is not None and self.mime_type is None:
            raise ValueError("base64 needs mime_type")
        return self


Content = str | Annotated[list[Annotated[TextPart | MediaPart, Field(discriminator="type")]], Field(min_length=1)]


class PostedMessage(Body):
    """A message of the person's; other roles are the server's to write."""

    role: Literal["user"]
    content: Content


class InitialMessage(Body):
    role: Literal["user", "assistant"]
    content: Content


class InitialState(Body):
    messages: list[InitialMessage] = Field(default_factory=list, max_length=1_000)
    metadata: Metadata = Field(default_factory=dict)


Tag = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")]


class VersionChoice(Body):
    """A version by its number or by a tag; neither is the assistant's current one."""

    version: int | None = Field(default=None, ge=1, le=2_147_483_647)
    tag: Tag | None = None

    @model_validator(mode="after")
    def _not_both(self) -> "VersionChoice":
        if self.version is not None and self.tag is not None:
            raise ValueError("give version or tag, not both")
        return self


class OpenSession(VersionChoice):
    """POST /assistants/{id}/sessions"""

    user_id: UserId | None = None
    metadata: Metadata = Field(default_factory=dict)
    ttl_seconds: int | None = Field(default=None, ge=1, le=MAX_TTL_S)
    agent_id: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.:@-]{1,255}$")] | None = None
    title: str = Field(default="", max_length=200)
    initial_state: InitialState | None = None


class ChangeSession(Body):
    """PATCH /sessions/{id}"""

    metadata: Metadata | None = None
    title: str | None = Field(default=None, max_length=200)
    assistant_version: int | None = Field(default=None, ge=1, le=2_147_483_647)
    tag: Tag | None = None

    @model_validator(mode="after")
    def _not_both(self) -> "ChangeSession":
        if self.assistant_version is not None and self.tag is not None:
            raise ValueError("give assistant_version or tag, not both")
        return self


class ForkSession(Body):
    """POST /sessions/{id}/fork"""

    checkpoint_id: Id | None = None
    metadata: Metadata = Field(default_factory=dict)


class PutFile(Body):
    """PUT /sessions/{id}/files/{path}"""

    content: str


class MoveFile(Body):
    """POST /sessions/{id}/files/move"""

    source: str = Field(alias="from")
    to: str
