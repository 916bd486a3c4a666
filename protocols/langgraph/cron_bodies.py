"""What LangGraph's clients send to crons: every field of the official SDKs (Python and JavaScript)."""

from datetime import UTC, datetime
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from accounts.bodies import within_calendar
from core.validation import Body
from protocols.langgraph.run_bodies import IfNotExists, Multitask, RunSettings, StatelessRun

MAX_LIMIT = 1_000
# What of a cron its runs are started with. Its metadata are not theirs.
OF_RUNS = (*(name for name in RunSettings.model_fields if name != "metadata"), "multitask_strategy")


def _in_utc(moment: datetime) -> datetime:
    # As the SDK sends what its users gave without a zone.
    return within_calendar(moment if moment.tzinfo else moment.replace(tzinfo=UTC))


Moment = Annotated[datetime, Field(strict=False), AfterValidator(_in_utc)]
Limit = Annotated[int, Field(ge=1, le=MAX_LIMIT)]
Offset = Annotated[int, Field(ge=0, le=2**31)]


class _Asked(RunSettings):
    """What each run is started with, and when."""

    timezone: str | None = None
    end_time: Moment | None = None
    enabled: bool | None = None

    @property
    def given(self) -> dict[str, Any]:
        """What was given, as it was, without what is null."""
        return self.model_dump(mode="json", include=self.model_fields_set, exclude_none=True)


class CreateThreadCron(_Asked):
    """POST /threads/{id}/runs/crons"""

    assistant_id: str
    schedule: str
    multitask_strategy: Multitask | None = None
    if_not_exists: IfNotExists | None = None


class CreateCron(CreateThreadCron):
    """POST /runs/crons"""

    on_run_completed: Literal["delete", "keep"] | None = None


class PatchCron(_Asked):
    """PATCH /runs/crons/{id}: what is left out, or null, stays; `end_time` may be taken away."""

    schedule: str | None = None
    on_run_completed: Literal["delete", "keep"] | None = None

    @model_validator(mode="after")
    def _something(self) -> Self:
        self.model_fields_set.difference_update(
            {name for name in self.model_fields_set if name != "end_time" and getattr(self, name) is None}
        )
        return self


class CountCrons(Body):
    """POST /runs/crons/count"""

    assistant_id: str | None = None
    thread_id: str | None = None
    metadata: dict[str, Any] | None = None


class SearchCrons(CountCrons):
    """POST /runs/crons/search"""

    enabled: bool | None = None
    limit: Limit = 10
    offset: Offset = 0
    sort_by: (
        Literal["cron_id", "assistant_id", "thread_id", "next_run_date", "end_time", "created_at", "updated_at"] | None
    ) = None
    sort_order: Literal["asc", "desc"] | None = None
    select: list[str] | None = None


def run_of(assistant_id: str, payload: dict[str, Any]) -> StatelessRun:
    """The request that each run of the cron stands for. Raises pydantic's ValidationError."""
    asked = {name: payload[name] for name in OF_RUNS if payload.get(name) is not None}
    return StatelessRun.model_validate({"assistant_id": assistant_id, **asked})
