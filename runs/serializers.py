"""Runs, steps and events as `/openapi.json` describes them; drf-spectacular reads pydantic models.

What is sent is made by `runs.documents` and `runs.events`; a test holds the two together.
"""

from typing import Any, Literal
from uuid import UUID

from pydantic import BaseModel, Field

from runs.webhook import RunKind
from sessions.serializers import CheckpointDocument, MessageDocument


class UsageDocument(BaseModel):
    """Tokens, and what they cost where the price is known."""

    input_tokens: int
    output_tokens: int
    total_tokens: int
    cost_usd: float | None


class RunErrorDocument(BaseModel):
    """Why a run, or its last attempt, failed."""

    type: str
    code: str
    message: str
    retryable: bool


class RunWebhookDocument(BaseModel):
    """Where the run is told of; the secret itself is never shown."""

    url: str
    secret_env: str | None
    events: list[RunKind]


class RunSummaryDocument(BaseModel):
    """A run as lists show it."""

    id: UUID
    number: int | None = Field(description="Its place in the session, given when it is first claimed or ended.")
    session_id: UUID
    assistant_id: UUID
    assistant_version: int
    user_id: str | None
    parent_run_id: UUID | None
    schedule_id: UUID | None
    status: Literal["pending", "running", "interrupted", "success", "error", "timeout", "cancelled"]
    attempt: int = Field(description="Executions begun.")
    priority: int
    error: RunErrorDocument | None
    interrupt: dict[str, Any] | None = Field(description="What it asks a person, while it is interrupted.")
    interrupt_expires_at: str | None = Field(description="When it is cancelled unless somebody has answered.")
    usage: UsageDocument
    metadata: dict[str, Any]
    durability: Literal["sync", "async", "exit"]
    multitask_strategy: Literal["enqueue", "reject", "interrupt", "rollback"]
    webhook: RunWebhookDocument | None
    worker_id: UUID | None
    checkpoint_id: UUID | None
    cancel_requested_at: str | None
    next_attempt_at: str | None
    created_at: str
    queued_at: str
    claimed_at: str | None
    started_at: str | None = Field(description="Its first claim.")
    finished_at: str | None


class OutputDocument(BaseModel):
    """What the agent answered."""

    text: str
    message: MessageDocument | None
    structured: Any
    citations: list[dict[str, Any]]


class ModelCallDocument(BaseModel):
    """A step's model call."""

    provider: str
    model: str
    usage: UsageDocument
    finish_reason: str | None


class ToolResultDocument(BaseModel):
    """A tool call of a step, and what came of it."""

    id: str
    name: str
    args: dict[str, Any]
    status: Literal["ok", "error", "rejected", "cancelled"]
    result: Any
    error: str | None
    duration_ms: float
    cached: bool
    artifact_id: UUID | None
    decision: Literal["approve", "edit", "reject", "respond"] | None = Field(
        description="What a person decided about the call; null: nobody was asked."
    )


class StepDocument(BaseModel):
    """One finished step: a model call, a batch of tool calls, or a custom agent's own."""

    index: int
    kind: Literal["model", "tools", "custom"]
    status: Literal["ok", "error"]
    attempt: int
    started_at: str
    duration_ms: float
    model: ModelCallDocument | None
    tool_calls: list[ToolResultDocument]


class RunDocument(RunSummaryDocument):
    """One execution: what went in, what came out, and the steps between."""

    input: Any
    output: OutputDocument | None
    steps: list[StepDocument]


class RunBatchDocument(BaseModel):
    """The runs of a batch, in its order."""

    items: list[RunDocument]


class CancelledDocument(BaseModel):
    """How many runs ended, or were asked to stop."""

    cancelled: int


class EventDocument(BaseModel):
    """One event of a run's log."""

    id: str = Field(description="`<run number>-<seq>`.")
    event: str
    run_id: UUID
    seq: int = Field(description="1, 2, 3 ... in its run.")
    ts: str
    data: dict[str, Any]


class StreamedEventDocument(BaseModel):
    """One event of a stream, as it is sent: `id:`, `event:` and `data:`. Comments keep a silent stream open."""

    id: str = Field(description="`<run number>-<seq>`.")
    event: str
    data: str = Field(description="JSON: the event's `data`, and `run_id` and `ts`.")


class PercentilesDocument(BaseModel):
    """Seconds; null where there is nothing to measure."""

    p50: float | None
    p95: float | None


class TokensDocument(BaseModel):
    """Tokens that models read and wrote."""

    input_tokens: int
    output_tokens: int
    total_tokens: int


class RunCountsDocument(BaseModel):
    """How many runs are in each status."""

    pending: int
    running: int
    interrupted: int
    success: int
    error: int
    timeout: int
    cancelled: int


class MetricsDocument(BaseModel):
    """How the runs went that were created between `since` and `until`."""

    since: str
    until: str
    runs: RunCountsDocument
    latency_s: PercentilesDocument = Field(description="From its creation to its end, of runs that have ended.")
    queue_s: PercentilesDocument = Field(description="From its creation to its first claim, of runs that were claimed.")
    tokens: TokensDocument
    cost: float | None = Field(description="USD, of the runs whose price is known; null where no price is.")


class SessionStateDocument(BaseModel):
    """What a session stands at, or stood at."""

    messages: list[MessageDocument]
    todos: list[Any]
    metadata: dict[str, Any] = Field(description="The session's `context`.")
    interrupt: dict[str, Any] | None
    checkpoint_id: UUID | None


class CheckpointDetailDocument(CheckpointDocument):
    """A checkpoint with the state that it stands for."""

    state: SessionStateDocument


class WorkerDocument(BaseModel):
    """A process that carries out runs."""

    id: UUID
    host: str
    pid: int
    slots: int = Field(description="How many runs it carries out at once, at most.")
    used: int
    labels: list[str] = Field(description="What it has that runs may need.")
    types: list[str] | None = Field(description="Whose runs it carries out; null: all.")
    state: Literal["active", "draining", "lost"] = Field(description="lost: its lease has run out, or it is gone.")
    heartbeat_at: str


class ArtifactDocument(BaseModel):
    """What a tool call of a run gave or made that is kept beside the run's documents."""

    id: UUID
    run_id: UUID
    call_id: str | None = Field(description="The tool call that it came of.")
    name: str
    mime_type: str
    size: int = Field(description="Bytes.")
    created_at: str
