"""What was said long ago is shown to the model as a summary."""

from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict, Field

from runtime.contract import AgentSpec, Json, Message
from runtime.errors import AgentError, MustWait
from runtime.middleware.base import Middleware, Turn
from runtime.middleware.model_settings import OwnModelSettings, own_model

# The session's value: the summary, and the last message that is in it.
SUMMARY = "summary"
_SEEN = "This is a summary of the conversation so far:\n\n"
_PROMPT = (
    "You are shown the beginning of a conversation between a user and an assistant that goes on after it. Write a "
    "summary that lets the assistant go on without that beginning. Keep what the user wants and what was agreed, "
    "facts, names, numbers and the results of tools, and what is still open. Leave out what no longer matters. Answer "
    "with the summary alone."
)


class SummarizationSettings(BaseModel):
    """`max_tokens_before_summary`: how many tokens, as estimated, the model is shown before a summary is made."""

    model_config = ConfigDict(extra="forbid")

    max_tokens_before_summary: int = Field(default=170_000, ge=1)
    messages_to_keep: int = Field(default=6, ge=1, le=1_000, description="How many of the last are shown as they are.")
    llm: OwnModelSettings | None = Field(default=None, description="Who writes it; by default the assistant's model.")
    prompt: str = Field(default=_PROMPT, min_length=1, max_length=20_000)


class Summarization(Middleware):
    """Shows the model a summary in place of what was said long ago, once a conversation grows long.

    The session keeps every message. A summary is made once, and again when as much has been said since. Where it fails,
    the model is shown everything.
    """

    name = "summarization"
    Settings = SummarizationSettings

    def __init__(self, settings: SummarizationSettings, *, id: str, spec: AgentSpec):  # noqa: A002
        super().__init__(settings, id=id, spec=spec)
        self._model = own_model(settings.llm, spec)

    async def before_model(self, turn: Turn) -> None:
        turn.messages = shortened(turn.messages, turn.values.get(SUMMARY))
        tokens = self._model.estimated(turn.messages)
        if tokens <= self.settings.max_tokens_before_summary:
            return
        old, kept = parted(turn.messages, self.settings.messages_to_keep)
        # A summary alone is not made any shorter by summing it up.
        if not old or (len(old) == 1 and _is_summary(old[0])):
            return
        try:
            text = await self._summed_up(old, turn)
        except MustWait:
            raise
        except AgentError as error:
            turn.io.custom("summary_failed", {"code": error.code, "message": error.message})
            return
        summary = {"text": text, "through": old[-1].id}
        turn.messages = [_shown(summary), *kept]
        turn.values[SUMMARY] = summary
        told = {"messages": len(old), "tokens_before": tokens, "tokens_after": self._model.estimated(turn.messages)}
        turn.io.custom("summarized", told)

    async def _summed_up(self, old: Sequence[Message], turn: Turn) -> str:
        text = await self._model.ask(self.settings.prompt, _transcript(old), turn)
        if not text:
            raise AgentError("The summary is empty.", code="summary_empty")
        return text


def shortened(messages: list[Message], summary: Json) -> list[Message]:
    """The messages with the summary in place of those that are in it; as they are where they do not have its last one.

    A run that goes on from an earlier checkpoint may not.
    """
    if not summary:
        return messages
    through = summary["through"]
    last = next((index for index, message in enumerate(messages) if message.id == through), None)
    return messages if last is None else [_shown(summary), *messages[last + 1 :]]


def parted(messages: list[Message], keep: int) -> tuple[list[Message], list[Message]]:
    """What is summed up, and the last `keep` messages; some more where a tool's result would lose its call."""
    start = max(0, len(messages) - keep)
    while 0 < start < len(messages) and messages[start].role == "tool":
        start -= 1
    return messages[:start], messages[start:]


def _shown(summary: dict[str, str]) -> Message:
    """The summary as a message. Its id tells it from the session's own."""
    return Message(id=f"{SUMMARY}-{summary['through']}", role="user", content=_SEEN + summary["text"])


def _is_summary(message: Message) -> bool:
    return message.id.startswith(f"{SUMMARY}-")


def _transcript(messages: Sequence[Message]) -> str:
    """What was said, as one text: as messages it would be a conversation to take part in."""
    lines = []
    for message in messages:
        name = f"{message.role} ({message.name})" if message.name else message.role
        called = "".join(f"\n[calls {call.name} with {call.args}]" for call in message.tool_calls)
        media = sum(1 for part in message.for_model if isinstance(part, dict) and part.get("type") != "text")
        lines.append(f"{name}: {message.text_for_model}{' [media]' * media}{called}")
    return "\n\n".join(lines)
