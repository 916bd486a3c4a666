"""A run's input: checked against the assistant's schema before anything is queued, and as messages for the model."""

from typing import Any
from uuid import UUID

import orjson
from pydantic import Field, model_validator

from assistants.spec import RunDefaults
from core.errors import FieldError, Invalid
from core.ids import derived_id
from core.schemas import faults
from core.validation import Body, validate
from runtime.contract import Message
from sessions.bodies import Content, PostedMessage

# The type of assistants that are hosted graphs.
HOSTED = "Graph"


class MessageInput(Body):
    """The default shape: one message, or several."""

    message: Content | None = None
    messages: list[PostedMessage] | None = Field(default=None, min_length=1, max_length=1_000)

    @model_validator(mode="after")
    def _one_form(self) -> "MessageInput":
        if (self.message is None) == (self.messages is None):
            raise ValueError("give either message or messages")
        return self


def check_input(value: Any, defaults: RunDefaults) -> None:
    """Raises `Invalid` with places below `input` where the input is not what the assistant's version takes.

    What a hosted graph takes it says itself, when it is carried out.
    """
    if defaults.type == HOSTED:
        return
    schema = defaults.input_schema
    if schema is not None:
        if found := faults(schema, value):
            raise Invalid(
                "The input does not fit the assistant's input_schema.",
                errors=[FieldError(("input", *fault.loc), fault.message) for fault in found],
            )
        if not (isinstance(value, dict) and value.keys() & {"message", "messages"}):
            return
    try:
        validate(MessageInput, value)
    except Invalid as fault:
        raise Invalid(
            fault.detail,
            errors=[FieldError(("input", *error.loc), error.message) for error in fault.errors]
            or [FieldError(("input",), fault.detail)],
        ) from None


def input_messages(value: Any, run_id: UUID) -> list[Message]:
    """The input as the model sees it: its messages, or the input itself as JSON text.

    Their ids are the run's own, so that a run which is begun again after a crash does not tell them as other ones.
    """
    contents = [orjson.dumps(value).decode()]
    if isinstance(value, dict) and (message := value.get("message")) is not None:
        contents = [message]
    elif isinstance(value, dict) and (messages := value.get("messages")) is not None:
        contents = [item["content"] for item in messages]
    return [
        Message(id=str(derived_id(run_id, index)), role="user", content=content)
        for index, content in enumerate(contents)
    ]
