"""Triggers and their calls as `/openapi.json` describes them; what is sent is made by `trigger_documents`."""

from typing import Any, Literal
from uuid import UUID

from pydantic import BaseModel, Field


class TriggerDocument(BaseModel):
    """An address for another system: what is posted there with a signature starts a run."""

    id: UUID
    assistant_id: UUID
    name: str
    token: str = Field(description="Names it in its address, and proves nothing.")
    path: str = Field(description="Where the other system posts to.")
    verification: Literal["standard", "sha256"]
    signature_header: str | None = Field(description="Null for standard.")
    session_id: UUID | None = Field(description="Null: a new session each time.")
    user_id: str | None
    version: int | None
    tag: str | None
    enabled: bool
    metadata: dict[str, Any]
    last_called_at: str | None
    previous_secret_until: str | None = Field(description="Until when the secret before this one is taken beside it.")
    created_by: str
    created_at: str
    updated_at: str


class NewTriggerDocument(TriggerDocument):
    """A trigger in the answer that makes it, or its secret."""

    secret: str | None = Field(description="Shown here and never again: null where the request is a repeated one.")


class TriggerCallDocument(BaseModel):
    """A call that proved itself."""

    id: UUID
    delivery_id: str = Field(description="The sender's: the same one again starts nothing.")
    outcome: Literal["started", "failed"]
    reason: str | None = Field(description="Why no run could be started.")
    run_id: UUID | None
    created_at: str


class StartedDocument(BaseModel):
    """The run of a call."""

    run_id: UUID
    session_id: UUID | None = Field(description="Null where both are deleted by now.")
    status: str | None
