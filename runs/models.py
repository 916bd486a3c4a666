"""One execution: its queue row, its payload, its steps, its events, and the workers that carry it out.

The models own the schema; the hot statements over it are raw SQL beside the code that uses them.
"""

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F, Q

from accounts.models import Workspace
from assistants.models import Assistant
from core.models import DocumentField, created_field, id_field, one_of
from runs.lifecycle import TERMINAL, Status
from sessions.models import Session

# From so many crashes at its present step on, a run is carried out with nothing else in the process.
CRASHES_BEFORE_ALONE = 2


class Durability(models.TextChoices):
    SYNC = "sync"
    ASYNC = "async"
    EXIT = "exit"


class MultitaskStrategy(models.TextChoices):
    """What a new run does where its session has one that has not ended."""

    ENQUEUE = "enqueue"
    REJECT = "reject"
    INTERRUPT = "interrupt"
    ROLLBACK = "rollback"


class Run(models.Model):
    """The queue row. `ready` says that it heads its session and may be claimed once `next_attempt_at` has come.

    `lease_owner` and `epoch` are the fence: a step is written only by the worker that holds both.
    """

    id = id_field()
    workspace = models.ForeignKey(Workspace, models.CASCADE, db_index=False)
    session = models.ForeignKey(Session, models.CASCADE, related_name="runs", db_index=False)
    assistant = models.ForeignKey(Assistant, models.CASCADE, related_name="runs", db_index=False)
    assistant_version = models.PositiveIntegerField()
    user_id = models.CharField(max_length=255, null=True)
    number = models.PositiveIntegerField(null=True, help_text="Its place in the session, given at the first claim.")
    api_key_id = models.UUIDField(null=True, help_text="The key that it came by, if that one has limits on its runs.")
    parent_run = models.ForeignKey("self", models.SET_NULL, null=True, db_index=False)
    parent_call_id = models.CharField(max_length=255, null=True, help_text="The tool call that it carries out.")
    subagent = models.CharField(max_length=100, blank=True, db_default="", help_text="Which of its assistant's.")
    schedule_id = models.UUIDField(null=True)
    webhook = DocumentField(null=True, help_text="Whom it tells of itself: `url`, `secret_env`, `events`.")
    status = models.CharField(max_length=16, choices=Status.choices, default=Status.PENDING)
    ready = models.BooleanField(default=False)
    waiting = models.BooleanField(db_default=False, help_text="For its children, or for what they ask.")
    delegated_at = models.DateTimeField(null=True, help_text="When the children began that it has yet to hear.")
    priority = models.IntegerField(default=0)
    attempt = models.PositiveIntegerField(db_default=0, help_text="Executions begun.")
    failures = models.PositiveIntegerField(db_default=0, help_text="Retryable failures so far.")
    crashes = models.PositiveIntegerField(db_default=0, help_text="Crashes at the present step.")
    epoch = models.PositiveIntegerField(db_default=0)
    lease_owner = models.UUIDField(null=True)
    last_worker_id = models.UUIDField(null=True)
    last_seq = models.PositiveIntegerField(db_default=0, help_text="The last committed event.")
    step_count = models.PositiveIntegerField(db_default=0)
    model_calls = models.PositiveIntegerField(db_default=0)
    durability = models.CharField(max_length=16, choices=Durability.choices, default=Durability.SYNC)
    multitask_strategy = models.CharField(
        max_length=16, choices=MultitaskStrategy.choices, default=MultitaskStrategy.ENQUEUE
    )
    retry_policy = DocumentField(default=dict)
    timeout_s = models.FloatField()
    metadata = DocumentField(default=dict)
    error = DocumentField(null=True)
    interrupt = DocumentField(null=True)
    interrupted_at = models.DateTimeField(null=True)
    interrupt_expires_at = models.DateTimeField(null=True, help_text="When it has waited for a person long enough.")
    waited_s = models.FloatField(db_default=0, help_text="Seconds that it waited for a person, of finished waits.")
    input_tokens = models.PositiveIntegerField(db_default=0)
    output_tokens = models.PositiveIntegerField(db_default=0)
    cost_usd = models.DecimalField(max_digits=14, decimal_places=8, null=True)
    checkpoint_id = models.UUIDField(null=True)
    from_checkpoint_id = models.UUIDField(null=True, help_text="Where it begins, if not where the session stands.")
    message_start = models.PositiveIntegerField(null=True, help_text="How many messages there were before its own.")
    cancel_requested_at = models.DateTimeField(null=True)
    superseded = models.BooleanField(db_default=False, help_text="Cancelled because a newer run takes its place.")
    rollback = models.BooleanField(db_default=False, help_text="What it wrote is taken out when it ends.")
    discarded = models.BooleanField(db_default=False, help_text="Deleted once it has ended.")
    next_attempt_at = models.DateTimeField(null=True)
    queue_deadline_at = models.DateTimeField(null=True)
    created_at = created_field()
    queued_at = created_field()
    claimed_at = models.DateTimeField(null=True)
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)

    class Meta:
        db_table = "runs"
        constraints = [
            one_of("status", Status),
            models.UniqueConstraint(fields=["session"], condition=Q(status="running"), name="run_one_running"),
            models.UniqueConstraint(fields=["session", "number"], name="run_number_once"),
            models.CheckConstraint(
                condition=Q(status__in=TERMINAL, finished_at__isnull=False)
                | (~Q(status__in=TERMINAL) & Q(finished_at__isnull=True)),
                name="run_finished_at_is_terminal",
            ),
            models.CheckConstraint(
                condition=Q(status="running", lease_owner__isnull=False)
                | (~Q(status="running") & Q(lease_owner__isnull=True)),
                name="run_lease_is_running",
            ),
        ]
        indexes = [
            models.Index(
                "workspace",
                F("priority").desc(),
                "queued_at",
                "id",
                condition=Q(status="pending", ready=True),
                name="run_claimable",
            ),
            models.Index(
                fields=["queued_at", "id"],
                condition=Q(status="pending", ready=True, crashes__gte=CRASHES_BEFORE_ALONE),
                name="run_suspect",
            ),
            models.Index(fields=["lease_owner"], condition=Q(status="running"), name="run_leased"),
            models.Index(
                fields=["queue_deadline_at"],
                condition=Q(status="pending", queue_deadline_at__isnull=False),
                name="run_queue_deadline",
            ),
            models.Index(
                fields=["interrupt_expires_at"],
                condition=Q(status="interrupted", interrupt_expires_at__isnull=False),
                name="run_interrupt_expires",
            ),
            models.Index("workspace", F("created_at").desc(), F("id").desc(), name="run_newest"),
            models.Index(
                "workspace",
                "status",
                F("created_at").desc(),
                F("id").desc(),
                condition=Q(status__in=["pending", "running", "interrupted"]),
                name="run_active",
            ),
            models.Index("session", F("created_at").desc(), F("id").desc(), name="run_of_session"),
            # Limits count by it too.
            models.Index("assistant", F("created_at").desc(), F("id").desc(), name="run_of_assistant"),
            # These two hold the runs of limited keys only: the others pay nothing for them.
            models.Index(
                fields=["api_key_id", "-created_at"], condition=Q(api_key_id__isnull=False), name="run_of_key"
            ),
            models.Index(
                fields=["api_key_id"],
                condition=Q(api_key_id__isnull=False, status__in=["pending", "running"]),
                name="run_of_key_active",
            ),
            models.Index(fields=["parent_run"], condition=Q(parent_run__isnull=False), name="run_of_parent"),
            models.Index(
                fields=["schedule_id"],
                condition=Q(schedule_id__isnull=False, status__in=["pending", "running", "interrupted"]),
                name="run_of_schedule_active",
            ),
            models.Index(
                "schedule_id",
                F("created_at").desc(),
                F("id").desc(),
                condition=Q(schedule_id__isnull=False),
                name="run_of_schedule",
            ),
            models.Index(fields=["id"], condition=Q(discarded=True), name="run_discarded"),
            # These two are empty where no run has children that have not ended: what a worker asks twice a second.
            models.Index(fields=["id"], condition=Q(waiting=True), name="run_waiting"),
            models.Index(
                fields=["parent_run"],
                condition=Q(parent_run__isnull=False, status__in=["pending", "running", "interrupted"]),
                name="run_child_active",
            ),
        ]

    def __str__(self) -> str:
        return f"run {str(self.id)[-8:]} ({self.status})"


class RunPayload(models.Model):
    """What went in and what came out, apart from the row: a list cannot read them by accident."""

    run = models.OneToOneField(Run, models.CASCADE, primary_key=True, related_name="payload")
    input = DocumentField(null=True)
    output = DocumentField(null=True)
    resume = DocumentField(null=True, help_text="What a person answered, until the next step is stored.")
    kwargs = DocumentField(
        null=True, help_text="What else a LangGraph client asked for: command, config, stream_mode ..."
    )

    class Meta:
        db_table = "run_payloads"

    def __str__(self) -> str:
        return f"payload of {self.run_id}"


class RunStep(models.Model):
    """One finished step of a run: a model call, a batch of tool calls, or a custom agent's own."""

    run = models.ForeignKey(Run, models.CASCADE, related_name="steps", db_index=False)
    index = models.PositiveIntegerField()
    kind = models.CharField(max_length=16)
    status = models.CharField(max_length=16)
    attempt = models.PositiveIntegerField()
    started_at = models.DateTimeField()
    duration_ms = models.FloatField()
    model = DocumentField(null=True)
    tool_calls = DocumentField(default=list)

    class Meta:
        db_table = "run_steps"
        ordering = ["index"]
        constraints = [models.UniqueConstraint(fields=["run", "index"], name="run_step_once")]

    def __str__(self) -> str:
        return f"{self.kind} step {self.index}"


class RunResult(models.Model):
    """What a run kept in the middle of a step, for when that is carried out again (`runs.worker.keeping`)."""

    run = models.ForeignKey(Run, models.CASCADE, related_name="results", db_index=False)
    key = models.CharField(max_length=255)
    value = DocumentField()
    created_at = created_field()

    class Meta:
        db_table = "run_results"
        constraints = [models.UniqueConstraint(fields=["run", "key"], name="run_result_once")]

    def __str__(self) -> str:
        return f"{self.key} of {self.run_id}"


class Artifact(models.Model):
    """What a tool call gave or made that is too large for documents, or is none (`runs.worker.artifacts`)."""

    id = id_field()
    run = models.ForeignKey(Run, models.CASCADE, related_name="artifacts", db_index=False)
    call_id = models.CharField(max_length=255, null=True)
    name = models.CharField(max_length=255)
    mime_type = models.CharField(max_length=255)
    size = models.PositiveIntegerField(help_text="Bytes.")
    content = models.BinaryField()
    created_at = created_field()

    class Meta:
        db_table = "artifacts"
        indexes = [models.Index(fields=["run", "created_at", "id"], name="artifact_of_run")]

    def __str__(self) -> str:
        return self.name


class RunEvent(models.Model):
    """One event of the run's log, numbered from 1 in its run; committed with the step that it belongs to."""

    run = models.ForeignKey(Run, models.CASCADE, related_name="events", db_index=False)
    seq = models.PositiveIntegerField()
    event = models.CharField(max_length=32)
    data = DocumentField()
    ts = models.DateTimeField()

    class Meta:
        db_table = "run_events"
        ordering = ["seq"]
        constraints = [models.UniqueConstraint(fields=["run", "seq"], name="run_event_once")]

    def __str__(self) -> str:
        return f"{self.event} #{self.seq}"


class WorkerState(models.TextChoices):
    ACTIVE = "active"
    DRAINING = "draining"
    LOST = "lost"


class Worker(models.Model):
    """A worker process. Its lease covers every run that it owns; its advisory lock says that it lives."""

    id = id_field()
    host = models.CharField(max_length=255)
    pid = models.PositiveIntegerField()
    lock_key = models.BigIntegerField()
    slots = models.PositiveIntegerField()
    used = models.PositiveIntegerField(db_default=0)
    labels = ArrayField(models.CharField(max_length=64), db_default=[], help_text="What it has that runs may need.")
    types = ArrayField(models.CharField(max_length=100), null=True, help_text="Whose runs it carries out; null: all.")
    state = models.CharField(max_length=16, choices=WorkerState.choices, default=WorkerState.ACTIVE)
    started_at = created_field()
    heartbeat_at = created_field()
    lease_expires_at = models.DateTimeField()

    class Meta:
        db_table = "workers"
        ordering = ["-started_at"]
        constraints = [one_of("state", WorkerState)]
        indexes = [models.Index(fields=["state"], condition=~Q(state="lost"), name="worker_alive")]

    def __str__(self) -> str:
        return f"{self.host}:{self.pid}"
