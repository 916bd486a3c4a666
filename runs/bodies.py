"""What clients may post to create, join, cancel and resume runs."""

from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints, model_validator

from core.errors import Invalid
from core.pagination import seconds
from core.validation import Body, Id, Metadata, No, UserId, Yes
from runs.webhook import Webhook
from sessions.bodies import Tag, VersionChoice

MAX_WAIT_S = 3_600
DEFAULT_WAIT_S = 300
_RetryClass = Literal["rate_limit", "timeout", "connection", "server_error"]


class RetryPolicy(Body):
    """The assistant's retry policy, overridden for one run; what is left out is the assistant's."""

    max_attempts: int | None = Field(default=None, ge=1, le=100)
    backoff: Literal["exponential", "fixed"] | None = None
    initial_interval_s: float | None = Field(default=None, ge=0, le=86_400)
    max_interval_s: float | None = Field(default=None, ge=0, le=86_400)
    retry_on: list[_RetryClass] | None = None


class CreateRun(Body):
    """POST /sessions/{id}/runs and its /wait and /stream forms.

    With a `checkpoint_id` the run begins there, and `input` may be null: then it goes on with what was to follow.
    """

    input: Any
    metadata: Metadata = Field(default_factory=dict)
    priority: int | None = Field(default=None, ge=-1_000, le=1_000)
    multitask_strategy: Literal["enqueue", "reject", "interrupt", "rollback"] = "enqueue"
    durability: Literal["sync", "async", "exit"] | None = None
    retry_policy: RetryPolicy | None = None
    timeout_s: float | None = Field(default=None, gt=0, le=7 * 86_400)
    queue_timeout_s: float | None = Field(default=None, gt=0, le=30 * 86_400)
    after_seconds: float | None = Field(default=None, ge=0, le=30 * 86_400)
    checkpoint_id: Id | None = None
    webhook: Webhook | None = None
    wait: bool = False
    stream: bool = False


class CreateStatelessRun(CreateRun, VersionChoice):
    """POST /runs and its /wait and /stream forms: the session is made with the run."""

    assistant_id: Id
    version: int | None = Field(default=None, ge=1, le=2_147_483_647)
    tag: Tag | None = None
    user_id: UserId | None = None
    keep_session: Yes = True


class BatchedRun(CreateRun, VersionChoice):
    """One run of a batch: in a session, or with an assistant in a session that is made with it."""

    session_id: Id | None = None
    assistant_id: Id | None = None
    version: int | None = Field(default=None, ge=1, le=2_147_483_647)
    tag: Tag | None = None
    user_id: UserId | None = None
    keep_session: Yes = True
    wait: No = False
    stream: No = False

    @model_validator(mode="after")
    def _one_place(self) -> "BatchedRun":
        if (self.session_id is None) == (self.assistant_id is None):
            raise ValueError("give either session_id or assistant_id")
        if self.session_id is not None and (self.version or self.tag or self.user_id):
            raise ValueError("version, tag and user_id are the session's")
        return self


class CreateRuns(Body):
    """POST /runs/batch"""

    runs: list[BatchedRun] = Field(min_length=1, max_length=100)


class CancelRuns(Body):
    """POST /runs/cancel"""

    status: Literal["pending", "running", "all"] | None = None
    ids: list[Id] | None = Field(default=None, min_length=1, max_length=100)

    @model_validator(mode="after")
    def _one_form(self) -> "CancelRuns":
        if (self.status is None) == (self.ids is None):
            raise ValueError("give either status or ids")
        return self


class CancelRun(Body):
    """POST /runs/{id}/cancel"""

    action: Literal["cancel", "rollback"] = "cancel"
    wait: bool = False


_Text = Annotated[str, StringConstraints(min_length=1, max_length=100_000)]


class Decision(Body):
    """What becomes of a tool call that a person was asked about."""

    type: Literal["approve", "edit", "reject", "respond"]
    tool_call_id: str | None = None
    arguments: dict[str, Any] | None = Field(default=None, description="The new ones; for edit.")
    message: _Text | None = Field(default=None, description="For the model; for reject and respond.")

    @model_validator(mode="after")
    def _what_the_type_takes(self) -> "Decision":
        if (self.type == "edit") != (self.arguments is not None):
            raise ValueError("arguments belong to edit, which needs them")
        if self.message is not None and self.type not in {"reject", "respond"}:
            raise ValueError("a message belongs to reject and respond")
        if self.message is None and self.type == "respond":
            raise ValueError("respond needs a message")
        return self


class Answer(Body):
    """To what a run asks: exactly one of `decisions`, `type`, `responses` and `value`."""

    decisions: list[Decision] | None = Field(default=None, min_length=1, max_length=1_000)
    type: Literal["answer", "cancel"] | None = None
    selected: list[str] = Field(default_factory=list, max_length=1_000)
    other_text: _Text | None = None
    responses: list["InterruptResponse"] | None = Field(default=None, min_length=1, max_length=1_000)
    value: Any = None

    @model_validator(mode="after")
    def _one_form(self) -> "Answer":
        # A `value` may be null.
        forms = [self.decisions, self.type, self.responses, "value" if "value" in self.model_fields_set else None]
        if sum(form is not None for form in forms) != 1:
            raise ValueError("give exactly one of decisions, type, responses and value")
        if self.type != "answer" and self.model_fields_set & {"selected", "other_text"}:
            raise ValueError("selected and other_text belong to the type answer")
        return self


class InterruptResponse(Answer):
    """The answer to one of several interrupts."""

    tool_call_id: str


class ResumeRun(Answer):
    """POST /runs/{id}/resume. With `checkpoint_id` it is one to what the run asked there, and to nothing later."""

    checkpoint_id: Id | None = None


def parse_wait_s(text: str | None) -> float:
    """The query's `wait_s`: how many seconds a wait may take. Raises Invalid."""
    if text is None:
        return DEFAULT_WAIT_S
    try:
        value: float = seconds(0, MAX_WAIT_S)(text)
    except ValueError as fault:
        raise Invalid.at("query", "wait_s", message=str(fault)) from None
    return value
