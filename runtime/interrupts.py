"""What an agent may ask a person (`Step.interrupt`), form by form.

| form | is answered with (`State.resume`) |
|---|---|
| `approval` of tool calls | `{"decisions": [{"type", "tool_call_id", ...}]}`, in the order of the requests |
| `ask_user_question` | `{"type": "answer", "selected": [...], "other_text": ...}` or `{"type": "cancel"}` |
| `subagent`: another run asks | what its `interrupt` is answered with |
| `multiple`: several at once | `{"responses": [{"tool_call_id", ...}]}`, in the order of `interrupts` |
| `custom`: anything | `{"value": ...}`; with the `decisions` where it was made of them (`runtime.graph_reviews`) |
"""

from typing import Annotated, Any, Literal

import orjson
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator
from pydantic_core import PydanticSerializationError

from core.text import clean
from runtime.contract import Json
from runtime.errors import AgentError

Decision = Literal["approve", "edit", "reject", "respond"]
# What may be decided where nobody says more: to answer in the tool's place must be named.
USUAL_DECISIONS: tuple[Decision, ...] = ("approve", "edit", "reject")


class _Form(BaseModel):
    model_config = ConfigDict(extra="forbid")


class ActionRequest(_Form):
    """A tool call that is not carried out before somebody has decided."""

    tool_call_id: str
    tool_name: str
    arguments: dict[str, Json]
    display_text: str = ""


class ReviewConfig(_Form):
    """What may be decided about a tool's calls. `args_schema` is the JSON Schema of its arguments, None where nobody
    knows it: edited ones are checked against it."""

    allowed_decisions: list[Decision] = Field(min_length=1)
    args_schema: dict[str, Json] | None = None


class Approval(_Form):
    """Asks about tool calls; `hitl_tool_call_ids` are the ids of those, in their order."""

    type: Literal["approval"]
    action_requests: list[ActionRequest] = Field(min_length=1)
    review_configs: dict[str, ReviewConfig] = Field(default_factory=dict)
    hitl_tool_call_ids: list[str] = Field(default_factory=list)

    @model_validator(mode="after")
    def _whole(self) -> "Approval":
        ids = [request.tool_call_id for request in self.action_requests]
        if len(set(ids)) < len(ids):
            raise ValueError("each tool call is asked about once")
        self.hitl_tool_call_ids = ids
        for request in self.action_requests:
            self.review_configs.setdefault(request.tool_name, ReviewConfig(allowed_decisions=list(USUAL_DECISIONS)))
        return self


class Option(_Form):
    """One of the answers to choose from."""

    value: str = Field(min_length=1)
    label: str = Field(min_length=1)


class Question(_Form):
    """A question: one of the options, several of them, or free text."""

    type: Literal["ask_user_question"]
    question: str = Field(min_length=1)
    response_type: Literal["single_select", "multi_select", "freeform"]
    options: list[Option] = Field(default_factory=list)
    allow_other: bool = False
    allow_cancel: bool = True
    context: str | None = None
    tool_call_id: str | None = None

    @model_validator(mode="after")
    def _options_where_there_is_a_choice(self) -> "Question":
        values = [option.value for option in self.options]
        if (self.response_type == "freeform") == bool(values):
            raise ValueError("a selection has options, and free text has none")
        if len(set(values)) < len(values):
            raise ValueError("each option has a value of its own")
        return self


class Subagent(_Form):
    """Another run, started by this one, asks."""

    type: Literal["subagent"]
    run_id: str
    interrupt: "Interrupt"
    tool_call_id: str | None = None


class Multiple(_Form):
    """Several at once, each for a tool call of its own."""

    type: Literal["multiple"]
    interrupts: list[Annotated[Question | Subagent, Field(discriminator="type")]] = Field(min_length=1)

    @model_validator(mode="after")
    def _told_apart(self) -> "Multiple":
        ids = [interrupt.tool_call_id for interrupt in self.interrupts]
        if None in ids or len(set(ids)) < len(ids):
            raise ValueError("each of several interrupts has a tool_call_id of its own")
        return self


class Custom(_Form):
    """Whatever the agent and who resumes it have agreed upon."""

    type: Literal["custom"]
    value: Json


Interrupt = Annotated[Approval | Question | Subagent | Multiple | Custom, Field(discriminator="type")]
Subagent.model_rebuild()
_INTERRUPT: TypeAdapter[Approval | Question | Subagent | Multiple | Custom] = TypeAdapter(Interrupt)


def read_interrupt(document: dict[str, Any]) -> Approval | Question | Subagent | Multiple | Custom:
    """The form of an interrupt that is stored."""
    return _INTERRUPT.validate_python(document)


def sound_interrupt(given: dict[str, Any]) -> dict[str, Any]:
    """What an agent asks as it is stored and told, with all its fields. Raises AgentError where it has no form."""
    try:
        document: dict[str, Any] = clean(_INTERRUPT.dump_python(_INTERRUPT.validate_python(given), mode="json"))
        # What cannot be written must not get as far as the transaction that other runs' steps share.
        orjson.dumps(document)
    except ValidationError as error:
        fault = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, fault["loc"]))
        raise AgentError(f"What the agent asks has no form: {where}: {fault['msg']}") from None
    except (PydanticSerializationError, orjson.JSONEncodeError) as error:
        raise AgentError(f"What the agent asks is not JSON: {error}") from None
    return document
