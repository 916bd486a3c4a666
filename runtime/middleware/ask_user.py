"""A question to the person on the other side, as a tool."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from runtime.contract import Ask, Json, Tool, ToolContext
from runtime.middleware.base import Middleware, Turn

FEWEST, MOST = 2, 10

_Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]

CANCELLED = (
    "The user cancelled this question. They do not want you to go on in this direction: stop, and wait for what they "
    "say next."
)
_PROMPT = (
    "Where a decision is the user's to make, and several ways are open, ask with the tool `ask_user` before you go on. "
    "Do not ask what you can find out, nor what follows from what was said."
)


class Choice(BaseModel):
    """An answer to choose: `label` is shown to the user, `value` is what you are told."""

    model_config = ConfigDict(extra="forbid")

    value: _Text
    label: _Text


class AskUserArgs(BaseModel):
    """`options`: 2 to 10 of them for a selection, none for free text."""

    model_config = ConfigDict(extra="forbid")

    question: _Text
    response_type: Literal["single_select", "multi_select", "freeform"]
    options: list[Choice] = Field(default_factory=list)
    context: str | None = Field(default=None, description="What the user should know to decide.")
    allow_other: bool = Field(default=False, description="Whether the user may answer in words of their own, too.")
    allow_cancel: bool = Field(default=True, description="Whether the user may leave the question unanswered.")

    @model_validator(mode="after")
    def _options_that_can_be_told_apart(self) -> "AskUserArgs":
        if self.response_type == "freeform":
            if self.options:
                raise ValueError("free text has no options")
            return self
        if not FEWEST <= len(self.options) <= MOST:
            raise ValueError(f"a selection has {FEWEST} to {MOST} options, not {len(self.options)}")
        for name, given in (("value", [o.value for o in self.options]), ("label", [o.label for o in self.options])):
            if len(set(given)) < len(given):
                raise ValueError(f"each option has a {name} of its own")
        return self


class AskUserTool(Tool):
    name = "ask_user"
    description = (
        "Ask the user a question and wait for the answer. For decisions that are theirs, where several ways are open."
    )
    read_only = True
    Args = AskUserArgs

    async def acall(self, args: AskUserArgs, context: ToolContext) -> Json | Ask:
        if context.answer is None:
            return Ask({"type": "ask_user_question", **args.model_dump()})
        return said(context.answer)


class AskUser(Middleware):
    """Lets the model ask the user a question, to choose from options or to answer freely; the run waits for it."""

    name = "ask_user"

    def tools(self) -> Sequence[Tool]:
        return (AskUserTool(),)

    def prompt(self, turn: Turn) -> str:
        return _PROMPT


def said(answer: dict[str, Any]) -> str:
    """The answer to a question (see `runtime.interrupts`) as the model is told it."""
    if answer["type"] == "cancel":
        return CANCELLED
    other = (answer.get("other_text") or "").strip()
    if not answer["selected"]:
        return f'User responded: "{other}"'
    selected = f"User selected: {', '.join(answer['selected'])}"
    return f'{selected}\nAdditional input: "{other}"' if other else selected
