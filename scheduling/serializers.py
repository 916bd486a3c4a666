"""Schedules and firings as `/openapi.json` describes them; what is sent is made by `scheduling.documents`."""

from typing import Any, Literal
from uuid import UUID

from pydantic import BaseModel, Field

from runs.serializers import RunWebhookDocument


class ScheduleDocument(BaseModel):
    """When an assistant runs by itself, and what with."""

    id: UUID
    assistant_id: UUID
    name: str
    cron: str | None
    interval_s: int | None
    at: str | None
    timezone: str
    in_words: str = Field(description="The rule, for people.")
    input: Any
    session_id: UUID | None = Field(description="Null: a new session each time.")
    user_id: str | None
    version: int | None
    tag: str | None
    enabled: bool = Field(description="False: paused.")
    skip_if_running: bool
    max_active_runs: int
    end_time: str | None
    misfire: Literal["skip", "once", "all"]
    jitter_s: int
    alert_after: int
    webhook: RunWebhookDocument | None
    metadata: dict[str, Any]
    next_run_at: str | None = Field(description="With its jitter; null while it is paused, and once nothing follows.")
    late: bool = Field(description="That moment has passed, and nothing has started it.")
    last_run_at: str | None
    last_status: str | None = Field(description="How the latest run that ended did so.")
    consecutive_failures: int
    created_by: str
    created_at: str
    updated_at: str


class FiringDocument(BaseModel):
    """What became of a slot."""

    id: UUID
    slot: str | None = Field(description="Null: somebody asked for it.")
    outcome: Literal["started", "skipped", "missed", "failed"]
    reason: str | None
    run_id: UUID | None
    run_status: str | None = Field(description="Where the run is, or how it ended.")
    created_at: str


class SlotDocument(BaseModel):
    """A slot that is to come, without its jitter."""

    slot: str
    local: str = Field(description="The same moment in the schedule's zone.")


class PreviewDocument(BaseModel):
    """The slots that come next."""

    items: list[SlotDocument]
