"""Sessions, messages and checkpoints as `/openapi.json` describes them; drf-spectacular reads pydantic models.

What is sent is made by `sessions.documents`; a test holds the two together.
"""

from typing import Any, Literal
from uuid import UUID

from pydantic import BaseModel, Field

from sessions.bodies import Content


class SessionDocument(BaseModel):
    """A conversation with one version of an assistant; with none before its first run, where any may serve it."""

    id: UUID
    agent_id: str | None
    assistant_id: UUID | None
    assistant_version: int | None
    user_id: str | None
    title: str
    status: Literal["active", "closed", "expired"]
    activity: Literal["idle", "running", "interrupted", "error"] = Field(description="Of its last run.")
    message_count: int
    metadata: dict[str, Any]
    context: dict[str, Any] = Field(description="Written by agents.")
    active_run_id: UUID | None
    created_at: str
    updated_at: str
    last_activity_at: str
    expires_at: str | None
    closed_at: str | None


class ToolCallDocument(BaseModel):
    """A tool that the model wants called."""

    id: str
    name: str
    args: dict[str, Any]


class MessageDocument(BaseModel):
    """One message of the conversation."""

    id: UUID
    session_id: UUID
    run_id: UUID | None
    seq: int = Field(description="1, 2, ... in the session.")
    role: Literal["user", "assistant", "tool", "system"]
    content: Content
    tool_calls: list[ToolCallDocument]
    tool_call_id: str | None
    name: str | None
    metadata: dict[str, Any]
    created_at: str


class CheckpointDocument(BaseModel):
    """The state of the session after a step."""

    id: UUID
    session_id: UUID
    run_id: UUID | None
    parent_id: UUID | None
    step: int = Field(description="Rises in the session.")
    source: Literal["input", "model", "tools", "interrupt", "update", "fork", "end"]
    next: list[str]
    message_count: int
    created_at: str


class FileSummaryDocument(BaseModel):
    """A file of a session, or one that it shares, as lists show it."""

    path: str
    size: int = Field(description="In bytes of UTF-8.")
    scope: Literal["session", "user", "assistant"] = Field(description="Whose it is.")
    read_only: bool = Field(description="The agent can only read it.")
    created_at: str
    updated_at: str


class FileDocument(FileSummaryDocument):
    """A file with its content."""

    content: str
