"""The answers, as `/openapi.json` describes them."""

from datetime import datetime
from typing import Literal
from uuid import UUID

from pydantic import BaseModel, Field

from webhooks.kinds import Kind
from webhooks.models import DeliveryStatus
from webhooks.queries import MOST_ATTEMPTS


class WebhookDocument(BaseModel):
    """A receiver of what happens in the workspace."""

    id: UUID
    name: str
    url: str
    events: list[Kind]
    headers: dict[str, str]
    retry_delays_s: list[int] | None = Field(description="Null: the server's.")
    enabled: bool
    disabled_reason: str = Field(description="Why the server has switched it off, where it did.")
    failures: int = Field(description="Attempts that failed since one arrived.")
    last_success_at: datetime | None
    last_failure_at: datetime | None
    previous_secret_until: datetime | None = Field(description="Until when the secret before this one signs beside it.")
    created_by: str
    created_at: datetime
    updated_at: datetime


class NewWebhookDocument(WebhookDocument):
    """A webhook in the answer that makes it, or its secret."""

    secret: str | None = Field(description="Shown here and never again: null where the request is a repeated one.")


class DeliveryDocument(BaseModel):
    """One event on its way to one receiver."""

    id: UUID
    event_id: UUID = Field(description="`webhook-id`: the same at every attempt.")
    webhook_id: UUID | None = Field(description="Null for a run's own webhook. It may be deleted.")
    run_id: UUID | None = Field(description="The run that is told of.")
    event: Kind
    url: str
    status: DeliveryStatus
    attempt_count: int
    max_attempts: int
    next_attempt_at: datetime | None = Field(
        description="Null once it has ended. While one is under way: when there is another if nothing is heard of it."
    )
    last_status_code: int | None
    last_error: str
    created_at: datetime
    finished_at: datetime | None


class AttemptDocument(BaseModel):
    """One try: what was sent, and what came back."""

    number: int
    manual: bool = Field(description="Whether somebody asked for it.")
    started_at: datetime
    duration_ms: float
    request_headers: dict[str, str] = Field(description="Signatures are shortened.")
    status_code: int | None = Field(description="Null where nobody answered.")
    response_headers: dict[str, str]
    response_body: str = Field(description="The first 16 KiB.")
    error: str = Field(description="What went wrong; empty where nothing did.")


class DeliveryLogDocument(DeliveryDocument):
    """A delivery with its body and attempts."""

    body: str | None = Field(description="The bytes that are signed and sent; null until the first attempt.")
    attempts: list[AttemptDocument] = Field(description=f"The latest {MOST_ATTEMPTS}, in order.")


class AlertDocument(BaseModel):
    """Something that is, or was, wrong."""

    id: UUID
    kind: Literal["schedule.failed", "delivery.dead", "queue.stuck", "workers.missing"]
    subject: str = Field(description="What it is about: the id of a schedule, a webhook or a delivery, or the kind.")
    message: str
    opened_at: datetime
    resolved_at: datetime | None
