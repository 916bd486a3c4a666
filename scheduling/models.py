"""What starts runs by itself: schedules with their firings, and triggers with their calls."""

from typing import Any

from django.db import models
from django.db.models import F, Q

from accounts.models import Workspace
from assistants.models import Assistant
from core.models import DocumentField, created_field, id_field, one_of


def _gone_with(model: type[models.Model], *, related_name: str) -> "models.ForeignKey[Any, Any]":
    """A foreign key whose rows PostgreSQL deletes with what they belong to: the rooms below, which delete assistants,
    need not know of this one. The constraint is in the first migration."""
    return models.ForeignKey(model, models.DO_NOTHING, related_name=related_name, db_index=False, db_constraint=False)


class Misfire(models.TextChoices):
    """What becomes of slots that nobody looked at in time, because beat or the server was down."""

    SKIP = "skip"  # none of them is made up for
    ONCE = "once"  # one run for all of them, the latest
    ALL = "all"  # one run for each, in order


class Schedule(models.Model):
    """When an assistant runs by itself: exactly one of `cron`, `interval_s` and `at` says it.

    A session is no foreign key: where it is deleted, the schedule says so when it fires. `next_slot` is the moment that
    the rule names and `next_run_at` the one at which it is started, later by the jitter; both are null once nothing
    follows. Only an enabled one is looked at.
    """

    id = id_field()
    workspace = models.ForeignKey(Workspace, models.CASCADE, db_index=False)
    assistant = _gone_with(Assistant, related_name="schedules")
    session_id = models.UUIDField(null=True, blank=True, help_text="Empty: a new one each time.")
    user_id = models.CharField(max_length=255, null=True, blank=True, help_text="Whose sessions it opens.")
    version = models.PositiveIntegerField(null=True, blank=True)
    tag = models.CharField(max_length=64, null=True, blank=True)
    name = models.CharField(max_length=200)
    cron = models.CharField(max_length=200, null=True, blank=True)
    interval_s = models.PositiveIntegerField(null=True, blank=True)
    at = models.DateTimeField(null=True, blank=True)
    timezone = models.CharField(max_length=64, default="UTC")
    input = DocumentField(null=True)
    webhook = DocumentField(null=True, blank=True, help_text="As a run's own.")
    kwargs = DocumentField(null=True, blank=True, help_text="What else a LangGraph client asked for, for its runs.")
    ephemeral = models.BooleanField(db_default=False, help_text="The sessions that it opens end with their runs.")
    metadata = DocumentField(default=dict, blank=True)
    enabled = models.BooleanField(default=True)
    skip_if_running = models.BooleanField(default=True)
    max_active_runs = models.PositiveIntegerField(default=1)
    end_time = models.DateTimeField(null=True, blank=True)
    misfire = models.CharField(max_length=8, choices=Misfire.choices, default=Misfire.ONCE)
    jitter_s = models.PositiveIntegerField(default=0)
    alert_after = models.PositiveIntegerField(default=1)
    anchor = models.DateTimeField(null=True, help_text="Where an interval counts from.")
    next_slot = models.DateTimeField(null=True)
    next_run_at = models.DateTimeField(null=True)
    last_run_at = models.DateTimeField(null=True)
    last_status = models.CharField(max_length=16, null=True, help_text="How the latest run that ended did so.")
    consecutive_failures = models.PositiveIntegerField(db_default=0)
    created_by = models.CharField(max_length=255)
    created_at = created_field()
    updated_at = created_field()

    class Meta:
        db_table = "schedules"
        constraints = [
            one_of("misfire", Misfire),
            models.CheckConstraint(
                condition=Q(cron__isnull=False, interval_s__isnull=True, at__isnull=True)
                | Q(cron__isnull=True, interval_s__isnull=False, at__isnull=True)
                | Q(cron__isnull=True, interval_s__isnull=True, at__isnull=False),
                name="schedule_one_rule",
            ),
        ]
        indexes = [
            models.Index(
                fields=["next_run_at", "id"], condition=Q(enabled=True, next_run_at__isnull=False), name="schedule_due"
            ),
            models.Index("workspace", F("created_at").desc(), F("id").desc(), name="schedule_newest"),
            models.Index("assistant", F("created_at").desc(), F("id").desc(), name="schedule_of_assistant"),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def takes_any_session(self) -> bool:
        """Whether its session may be another assistant's until it runs: so it is with LangGraph's threads."""
        return self.kwargs is not None


class Outcome(models.TextChoices):
    """What became of a slot."""

    STARTED = "started"  # there is a run
    SKIPPED = "skipped"  # the run before it had not ended
    MISSED = "missed"  # nobody was there in time, and the misfire rule makes nothing up for it
    FAILED = "failed"  # the run could not be started


class Firing(models.Model):
    """One slot of a schedule and what became of it; `slot` is null where somebody asked for a run.

    That each slot has one is what keeps two beats from firing twice. `settled` says that the end of its run is counted
    in the schedule.
    """

    id = id_field()
    schedule = _gone_with(Schedule, related_name="firings")
    slot = models.DateTimeField(null=True)
    outcome = models.CharField(max_length=16, choices=Outcome.choices)
    reason = models.CharField(max_length=1_000, blank=True)
    run_id = models.UUIDField(null=True)
    run_status = models.CharField(max_length=16, null=True)
    settled = models.BooleanField(default=False)
    created_at = created_field()

    class Meta:
        db_table = "schedule_firings"
        constraints = [
            one_of("outcome", Outcome),
            models.UniqueConstraint(fields=["schedule", "slot"], name="firing_once_per_slot"),
        ]
        indexes = [
            models.Index("schedule", F("created_at").desc(), F("id").desc(), name="firing_of_schedule"),
            models.Index(fields=["run_id"], condition=Q(settled=False), name="firing_unsettled"),
        ]

    def __str__(self) -> str:
        return f"{self.outcome} at {self.slot}"


class Verification(models.TextChoices):
    """How the caller of a trigger proves that it holds the secret."""

    STANDARD = "standard"  # the three headers of Standard Webhooks
    SHA256 = "sha256"  # HMAC-SHA256 of the body, in hex, in a header


class Trigger(models.Model):
    """An address for another system: what is posted to `/triggers/{token}` with a signature starts a run."""

    id = id_field()
    workspace = models.ForeignKey(Workspace, models.CASCADE, db_index=False)
    assistant = _gone_with(Assistant, related_name="triggers")
    session_id = models.UUIDField(null=True, blank=True, help_text="Empty: a new one each time.")
    user_id = models.CharField(max_length=255, null=True, blank=True)
    version = models.PositiveIntegerField(null=True, blank=True)
    tag = models.CharField(max_length=64, null=True, blank=True)
    name = models.CharField(max_length=200)
    token = models.CharField(max_length=64, unique=True, help_text="Names it in its address; proves nothing.")
    verification = models.CharField(max_length=16, choices=Verification.choices, default=Verification.STANDARD)
    signature_header = models.CharField(max_length=100, default="x-hub-signature-256", help_text="For sha256.")
    sealed_secret = models.BinaryField()
    previous_secret = models.BinaryField(null=True)
    previous_until = models.DateTimeField(null=True)
    metadata = DocumentField(default=dict, blank=True)
    enabled = models.BooleanField(default=True)
    last_called_at = models.DateTimeField(null=True)
    created_by = models.CharField(max_length=255)
    created_at = created_field()
    updated_at = created_field()

    class Meta:
        db_table = "triggers"
        constraints = [one_of("verification", Verification)]
        indexes = [
            models.Index("workspace", F("created_at").desc(), F("id").desc(), name="trigger_newest"),
            models.Index("assistant", F("created_at").desc(), F("id").desc(), name="trigger_of_assistant"),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def takes_any_session(self) -> bool:
        """As schedules; what calls one names the session's own assistant."""
        return False


class TriggerCall(models.Model):
    """One call of a trigger that proved itself. `delivery_id` is the sender's: a repeated one starts nothing."""

    id = id_field()
    trigger = _gone_with(Trigger, related_name="calls")
    delivery_id = models.CharField(max_length=255)
    outcome = models.CharField(max_length=16, choices=Outcome.choices)
    reason = models.CharField(max_length=1_000, blank=True)
    run_id = models.UUIDField(null=True)
    created_at = created_field()

    class Meta:
        db_table = "trigger_calls"
        constraints = [
            one_of("outcome", Outcome),
            models.UniqueConstraint(fields=["trigger", "delivery_id"], name="trigger_call_once"),
        ]
        indexes = [models.Index("trigger", F("created_at").desc(), F("id").desc(), name="call_of_trigger")]

    def __str__(self) -> str:
        return f"{self.outcome} {self.delivery_id}"
