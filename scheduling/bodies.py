"""What clients may post to schedules."""

from typing import Annotated, Any

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from accounts.bodies import Moment
from core.validation import Body, Id, Metadata, UserId, bounded
from runs.webhook import Webhook
from scheduling.models import Misfire
from scheduling.targets import refuse_two_targets
from sessions.bodies import Tag, VersionChoice

# Exactly one of them says when.
RULE = ("cron", "interval_s", "at")
ONE_RULE = "give exactly one of cron, interval_s and at"
MOST_SECONDS = 2_147_483_647
MAX_JITTER_S = 3_600
MAX_COUNT = 1_000

Name = Annotated[str, StringConstraints(min_length=1, max_length=200)]
Cron = Annotated[str, StringConstraints(min_length=1, max_length=200)]
Zone = Annotated[str, StringConstraints(min_length=1, max_length=64)]
# Shorter ones are refused with the rule's own words.
Interval = Annotated[int, Field(ge=1, le=MOST_SECONDS)]
Jitter = Annotated[int, Field(ge=0, le=MAX_JITTER_S)]
Count = Annotated[int, Field(ge=1, le=MAX_COUNT)]
Version = Annotated[int, Field(ge=1, le=MOST_SECONDS)]
Late = Annotated[Misfire, Field(strict=False)]
# Lists show the inputs of up to 100 schedules at once.
Input = Annotated[Any, AfterValidator(bounded)]


class CreateSchedule(VersionChoice):
    """POST /assistants/{id}/schedules"""

    name: Name
    cron: Cron | None = Field(default=None, description="Five fields: minute, hour, day, month, weekday.")
    interval_s: Interval | None = Field(default=None, description="60 or more, counted from the creation.")
    at: Moment | None = Field(default=None, description="Once.")
    timezone: Zone = Field(default="UTC", description="An IANA name, which cron is read in.")
    input: Input = Field(description="Of each run; as a run's own.")
    session_id: Id | None = Field(default=None, description="Null: a new session each time.")
    user_id: UserId | None = Field(default=None, description="Whose sessions it opens.")
    enabled: bool = True
    skip_if_running: bool = True
    max_active_runs: Count = 1
    end_time: Moment | None = Field(default=None, description="No slot comes after it.")
    misfire: Late = Misfire.ONCE
    jitter_s: Jitter = 0
    alert_after: Count = Field(default=1, description="Failures in a row before an alert.")
    webhook: Webhook | None = Field(default=None, description="Of each run; as a run's own.")
    metadata: Metadata = Field(default_factory=dict)

    @model_validator(mode="after")
    def _one_rule_and_one_target(self) -> "CreateSchedule":
        if [self.cron, self.interval_s, self.at].count(None) != 2:
            raise ValueError(ONE_RULE)
        refuse_two_targets(self)
        return self


def _kept() -> Any:
    # What is left out stays as it is; null is no way to say so.
    return Field(default_factory=lambda: None)


class ChangeSchedule(Body):
    """PATCH /schedules/{id}: what is left out stays. Of cron, interval_s and at a given one takes the others' place."""

    name: Name = _kept()
    cron: Cron | None = None
    interval_s: Interval | None = None
    at: Moment | None = None
    timezone: Zone = _kept()
    input: Input = _kept()
    session_id: Id | None = None
    user_id: UserId | None = None
    version: Version | None = None
    tag: Tag | None = None
    enabled: bool = _kept()
    skip_if_running: bool = _kept()
    max_active_runs: Count = _kept()
    end_time: Moment | None = None
    misfire: Late = _kept()
    jitter_s: Jitter = _kept()
    alert_after: Count = _kept()
    webhook: Webhook | None = None
    metadata: Metadata = Field(default_factory=lambda: {}, description="Merged with what is there.")

    @model_validator(mode="after")
    def _one_rule_and_one_target(self) -> "ChangeSchedule":
        if (given := self.model_fields_set & {*RULE}) and sum(getattr(self, name) is not None for name in given) != 1:
            raise ValueError(ONE_RULE)
        refuse_two_targets(self)
        return self

    @property
    def given(self) -> dict[str, Any]:
        """The fields that were given, with their values as rows hold them."""
        return self.model_dump(include=self.model_fields_set)
