"""The conversation and its history.

`run_id` is a plain UUID here: runs stand above sessions and a foreign key would point up.
"""

from django.db import models
from django.db.models.functions import Coalesce

from accounts.models import Workspace
from assistants.models import Assistant
from core.models import DocumentField, WrittenField, created_field, id_field, one_of


class Status(models.TextChoices):
    """Whether the session takes new runs."""

    ACTIVE = "active"
    CLOSED = "closed"
    EXPIRED = "expired"


class Activity(models.TextChoices):
    """What the session's last run is doing, or how it ended."""

    IDLE = "idle"
    RUNNING = "running"
    INTERRUPTED = "interrupted"
    ERROR = "error"


class TtlStrategy(models.TextChoices):
    """What becomes of a session whose time is over, where it does not merely expire."""

    DELETE = "delete"
    KEEP_LATEST = "keep_latest"


class MessageRole(models.TextChoices):
    USER = "user"
    ASSISTANT = "assistant"
    TOOL = "tool"
    SYSTEM = "system"


class CheckpointSource(models.TextChoices):
    """What wrote the checkpoint."""

    INPUT = "input"
    MODEL = "model"
    TOOLS = "tools"
    INTERRUPT = "interrupt"
    UPDATE = "update"
    FORK = "fork"
    END = "end"


class Session(models.Model):
    """One conversation with one version of an assistant.

    Its row is the lock of its queue: `head_run_id` names the one run that may be claimed. It is set when a run is
    accepted into an empty queue and handed on when that run ends, both under this row's lock.
    """

    id = id_field()
    workspace = models.ForeignKey(Workspace, models.CASCADE)
    # None before the first run of a session that any assistant may serve (a LangGraph thread).
    assistant = models.ForeignKey(Assistant, models.CASCADE, null=True, related_name="sessions")
    assistant_version = models.PositiveIntegerField(null=True)
    parent = models.ForeignKey("self", models.CASCADE, null=True, blank=True, editable=False, db_index=False)
    agent_id = models.CharField(max_length=255, null=True, blank=True)
    user_id = models.CharField(max_length=255, null=True, blank=True)
    title = models.CharField(max_length=200, blank=True, default="")
    status = models.CharField(max_length=16, choices=Status.choices, db_default=Status.ACTIVE)
    activity = models.CharField(max_length=16, choices=Activity.choices, db_default=Activity.IDLE)
    message_count = models.PositiveIntegerField(db_default=0)
    run_count = models.PositiveIntegerField(db_default=0, help_text="Numbers given to runs so far.")
    step = models.PositiveIntegerField(db_default=0, help_text="The last checkpoint's step.")
    head_run_id = models.UUIDField(null=True, editable=False)
    checkpoint_id = models.UUIDField(null=True, editable=False)
    metadata = DocumentField(default=dict, blank=True)
    context = DocumentField(default=dict, blank=True, help_text="Written by agents.")
    state = DocumentField(default=dict, blank=True, help_text="The fold of the checkpoints' changes.")
    ttl_seconds = models.PositiveIntegerField(null=True, blank=True)
    ttl_strategy = models.CharField(
        max_length=16, choices=TtlStrategy.choices, null=True, blank=True, help_text="Empty: it expires, and is kept."
    )
    ephemeral = models.BooleanField(db_default=False, help_text="Deleted once its run has ended.")
    created_at = created_field()
    updated_at = created_field()
    last_activity_at = created_field()
    expires_at = models.DateTimeField(null=True, blank=True)
    closed_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        db_table = "sessions"
        constraints = [
            models.UniqueConstraint(fields=["workspace", "agent_id"], name="session_agent_id_once"),
            one_of("status", Status),
            one_of("activity", Activity),
            one_of("ttl_strategy", TtlStrategy),
        ]
        indexes = [
            models.Index("workspace", models.F("created_at").desc(), models.F("id").desc(), name="session_newest"),
            models.Index(
                "workspace",
                "user_id",
                models.F("last_activity_at").desc(),
                models.F("id").desc(),
                name="session_of_user",
            ),
            models.Index(fields=["parent"], condition=models.Q(parent__isnull=False), name="session_of_parent"),
            # What is deleted first where sessions are not kept for ever.
            models.Index(
                Coalesce("closed_at", "expires_at"),
                condition=models.Q(status__in=["closed", "expired"]),
                name="session_ended",
            ),
            models.Index(
                fields=["expires_at"],
                condition=models.Q(status="active", expires_at__isnull=False),
                name="session_expiring",
            ),
            models.Index(fields=["id"], condition=models.Q(ephemeral=True), name="session_ephemeral"),
        ]

    def __str__(self) -> str:
        return self.title or str(self.id)


class Message(models.Model):
    """One message of the conversation, numbered from 1 in its session.

    Steps are the session's time: they only rise. `step` is that of the checkpoint that brought the message. A run that
    begins at an earlier checkpoint goes on from there; what came after it is dropped at the step at which it does.
    What has not been dropped is the current conversation. `sessions.queries.SEEN_AT` says what a checkpoint sees.
    """

    id = id_field()
    session = models.ForeignKey(Session, models.CASCADE, related_name="messages", db_index=False)
    run_id = models.UUIDField(null=True)
    seq = models.PositiveIntegerField()
    step = models.PositiveIntegerField(db_default=0)
    dropped_at_step = models.PositiveIntegerField(null=True)
    role = models.CharField(max_length=16, choices=MessageRole.choices)
    content = DocumentField(help_text="Text, or a list of parts.")
    tool_calls = DocumentField(default=list, blank=True)
    tool_call_id = models.CharField(max_length=255, null=True, blank=True)
    name = models.CharField(max_length=255, null=True, blank=True)
    metadata = DocumentField(default=dict, blank=True)
    created_at = created_field()

    class Meta:
        db_table = "messages"
        ordering = ["seq"]
        constraints = [
            # Over all rows and not the current ones alone: by it everything that a session said is found.
            models.UniqueConstraint("session", "seq", Coalesce("dropped_at_step", 0), name="message_seq_once"),
            one_of("role", MessageRole),
        ]

    def __str__(self) -> str:
        return f"{self.role} #{self.seq}"


class Checkpoint(models.Model):
    """The state after a step, stored as what the step changed.

    Messages are rows of their own: `message_count` says how many it sees. `changes` holds the state keys that the
    step set, `removed` those that it deleted; the state is the fold along `parent`. `graph_checkpoint_id` says where a
    hosted graph stood then: the latest of its own checkpoints; it is null where there is no such graph.
    """

    id = id_field()
    session = models.ForeignKey(Session, models.CASCADE, related_name="checkpoints", db_index=False)
    run_id = models.UUIDField(null=True)
    parent = models.ForeignKey("self", models.SET_NULL, null=True, db_constraint=False, db_index=False)
    step = models.PositiveIntegerField()
    source = models.CharField(max_length=16, choices=CheckpointSource.choices)
    next = DocumentField(default=list)
    message_count = models.PositiveIntegerField()
    changes = DocumentField(default=dict)
    removed = DocumentField(default=list)
    graph_checkpoint_id = models.UUIDField(null=True)
    created_at = created_field()

    class Meta:
        db_table = "checkpoints"
        ordering = ["-step"]
        constraints = [
            models.UniqueConstraint(fields=["session", "step"], name="checkpoint_step_once"),
            one_of("source", CheckpointSource),
        ]

    def __str__(self) -> str:
        return f"{self.source} #{self.step}"


class GraphCheckpoint(models.Model):
    """A checkpoint of a hosted LangGraph graph, or of one of its subgraphs: LangGraph's document but for the values.

    These are rows of their own because a native checkpoint is a step of the server, while a graph's are its own:
    several of them, and those of subgraphs, may be stored with one step.
    """

    pk = models.CompositePrimaryKey("session", "namespace", "checkpoint_id")
    session = models.ForeignKey(Session, models.DO_NOTHING, db_constraint=False, db_index=False)
    namespace = models.TextField(help_text="Empty for the graph itself.")
    checkpoint_id = models.UUIDField()
    parent_id = models.UUIDField(null=True)
    run_id = models.UUIDField(null=True)
    document = WrittenField(help_text="`channel_versions` names the values.")
    metadata = DocumentField(default=dict)
    created_at = created_field()

    class Meta:
        db_table = "graph_checkpoints"
        indexes = [
            models.Index(fields=["run_id"], condition=models.Q(run_id__isnull=False), name="graph_checkpoint_of_run")
        ]

    def __str__(self) -> str:
        return str(self.checkpoint_id)


class GraphValue(models.Model):
    """What a channel of a graph holds at one of its versions: written once, whatever number of checkpoints name it.

    A long list that grew is stored as what came behind that of an earlier version, `base`, which may have one of its
    own: bytes do not grow with the list.
    """

    pk = models.CompositePrimaryKey("session", "namespace", "channel", "version")
    session = models.ForeignKey(Session, models.DO_NOTHING, db_constraint=False, db_index=False)
    namespace = models.TextField()
    channel = models.TextField()
    version = models.TextField()
    base = models.TextField(null=True, help_text="The version whose list the value goes on from.")
    value = WrittenField(null=True, help_text="As `graphs.serde` writes it; null: the channel is empty.")

    class Meta:
        db_table = "graph_values"

    def __str__(self) -> str:
        return f"{self.channel} {self.version}"


class GraphWrite(models.Model):
    """What a task of a graph wrote after a checkpoint and before the next: its results, interrupts and errors."""

    pk = models.CompositePrimaryKey("session", "namespace", "checkpoint_id", "task_id", "index")
    session = models.ForeignKey(Session, models.DO_NOTHING, db_constraint=False, db_index=False)
    namespace = models.TextField()
    checkpoint_id = models.UUIDField()
    task_id = models.TextField()
    index = models.IntegerField()
    task_path = models.TextField(default="")
    # Of the run that wrote it, which need not be the one of the checkpoint: a run goes on where another one asked.
    run_id = models.UUIDField(null=True)
    channel = models.TextField()
    value = WrittenField(null=True, help_text="As `graphs.serde` writes it.")

    class Meta:
        db_table = "graph_writes"

    def __str__(self) -> str:
        return f"{self.task_id} {self.index}"


class SharedFile(models.Model):
    """A file that sessions with an assistant share: those of one user, or all of them.

    A session's own files are not here, but in its state.
    """

    id = id_field()
    workspace = models.ForeignKey(Workspace, models.CASCADE)
    assistant = models.ForeignKey(Assistant, models.CASCADE, db_index=False)
    user_id = models.CharField(max_length=255, blank=True, default="", help_text="Empty: of all sessions.")
    path = models.CharField(max_length=1_024)
    content = models.TextField(null=True, help_text="Null in the transaction that deletes it, and never after it.")
    size = models.PositiveIntegerField(help_text="In bytes of UTF-8.")
    version = models.PositiveIntegerField(db_default=1, help_text="How often it was written.")
    created_at = created_field()
    updated_at = created_field()

    class Meta:
        db_table = "shared_files"
        constraints = [models.UniqueConstraint(fields=["assistant", "user_id", "path"], name="shared_file_once")]

    def __str__(self) -> str:
        return self.path
