"""What LangGraph's clients send to start and to cancel runs: every field of the official Python and JavaScript SDKs."""

from typing import Any, Literal, Self, get_args

from pydantic import Field, model_validator

from core.validation import Body, Metadata

StreamMode = Literal[
    "values", "messages", "messages-tuple", "updates", "events", "tasks", "checkpoints", "debug", "custom", "tools"
]
RUN_MODES: tuple[str, ...] = get_args(StreamMode)
Nodes = Literal["*"] | list[str]
Multitask = Literal["reject", "rollback", "interrupt", "enqueue"]
IfNotExists = Literal["create", "reject"]


class Command(Body):
    """`langgraph.types.Command`; what is null asks nothing."""

    update: Any = None
    resume: Any = None
    goto: Any = None

    @property
    def given(self) -> dict[str, Any]:
        """What it asks."""
        return self.model_dump(exclude_none=True)


class CheckpointConfig(Body):
    """Where to go on from."""

    thread_id: str | None = None
    checkpoint_ns: str | None = None
    checkpoint_id: str | None = None
    checkpoint_map: dict[str, Any] | None = None


class Config(Body):
    """`RunnableConfig`, as far as it can be sent."""

    tags: list[str] | None = None
    metadata: dict[str, Any] | None = None
    run_name: str | None = None
    recursion_limit: int | None = Field(default=None, ge=1)
    max_concurrency: int | None = Field(default=None, ge=1)
    configurable: dict[str, Any] | None = None


class Tracer(Body):
    """Where in LangSmith a run would be traced."""

    project_name: str | None = None
    example_id: str | None = None


class RunSettings(Body):
    """How a run is carried out and streamed: in a request for one, and for all those of a cron."""

    input: Any = None
    metadata: Metadata | None = None
    config: Config | None = None
    context: dict[str, Any] | None = None
    webhook: str | None = Field(default=None, min_length=1, max_length=65_536)
    interrupt_before: Nodes | None = None
    interrupt_after: Nodes | None = None
    stream_mode: StreamMode | list[StreamMode] | None = None
    stream_subgraphs: bool | None = None
    stream_resumable: bool | None = None
    checkpoint_during: bool | None = None
    durability: Literal["sync", "async", "exit"] | None = None


class StatelessRun(RunSettings):
    """POST /runs and its /wait and /stream forms."""

    assistant_id: str
    command: Command | None = None
    feedback_keys: list[str] | None = None
    checkpoint: CheckpointConfig | None = None
    checkpoint_id: str | None = None
    multitask_strategy: Multitask | None = None
    if_not_exists: IfNotExists | None = None
    on_disconnect: Literal["cancel", "continue"] | None = None
    on_completion: Literal["delete", "keep"] | None = None
    after_seconds: float | None = Field(default=None, ge=0, le=30 * 86_400)
    strict_resume: bool | None = None
    langsmith_tracer: Tracer | None = None

    @model_validator(mode="after")
    def _nothing_that_is_not_there(self) -> Self:
        if self.strict_resume:
            raise ValueError("strict_resume is not there (see /info); an answer to nothing that is asked is ignored")
        if self.feedback_keys:
            raise ValueError("feedback_keys needs LangSmith, which this server does not speak to; leave it out")
        if self.langsmith_tracer is not None and self.langsmith_tracer.model_dump(exclude_none=True):
            raise ValueError("langsmith_tracer needs LangSmith, which this server does not speak to; leave it out")
        return self

    @model_validator(mode="after")
    def _what_fits_its_kind(self) -> Self:
        """Overridden for runs of a thread."""
        if self.checkpoint is not None or self.checkpoint_id is not None:
            raise ValueError("checkpoint belongs to runs of a thread; this one begins a thread of its own")
        return self

    @property
    def modes(self) -> list[str]:
        """What is streamed of it."""
        if self.stream_mode is None:
            return ["values"]
        return [self.stream_mode] if isinstance(self.stream_mode, str) else list(dict.fromkeys(self.stream_mode))

    @property
    def persisted(self) -> str:
        """Its durability; `checkpoint_during` is the older word for it."""
        if self.durability is None and self.checkpoint_during is False:
            return "exit"
        return self.durability or "async"

    @property
    def begins_at(self) -> dict[str, Any] | None:
        """The checkpoint to go on from."""
        found = self.checkpoint.model_dump(exclude_none=True) if self.checkpoint else {}
        found.pop("thread_id", None)
        if self.checkpoint_id is not None:
            found.setdefault("checkpoint_id", self.checkpoint_id)
        return found or None


class ThreadRun(StatelessRun):
    """POST /threads/{id}/runs and its /wait and /stream forms."""

    @model_validator(mode="after")
    def _what_fits_its_kind(self) -> Self:
        if self.on_completion == "delete":
            raise ValueError("on_completion belongs to runs without a thread; this one's thread is kept")
        return self


class CancelRuns(Body):
    """POST /runs/cancel"""

    status: Literal["pending", "running", "all"] | None = None
    thread_id: str | None = None
    run_ids: list[str] | None = Field(default=None, min_length=1, max_length=1_000)

    @model_validator(mode="after")
    def _one_form(self) -> Self:
        if (self.status is None) == (self.thread_id is None or self.run_ids is None):
            raise ValueError("give either status, or thread_id and run_ids")
        return self
