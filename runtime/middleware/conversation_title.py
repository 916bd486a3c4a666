"""A title for the conversation, made of the user's first message."""

import asyncio
import logging

from pydantic import BaseModel, ConfigDict, Field

from runtime.contract import AgentSpec
from runtime.errors import AgentError
from runtime.middleware.base import Middleware, Turn
from runtime.middleware.model_settings import OwnModelSettings, own_model
from runtime.values import METADATA, merged

log = logging.getLogger(__name__)

# Under this key of what agents note of the session, whose title follows it.
TITLE = "conversation_title"
_PROMPT = (
    "Give the conversation that begins with this message a title of three to six words, in the message's language. "
    "Answer with the title alone, without quotation marks."
)
_LONGEST_READ = 8_000


class ConversationTitleSettings(BaseModel):
    """`timeout_s`: how long the title may take, in seconds; the step in which it is made waits for it."""

    model_config = ConfigDict(extra="forbid")

    llm: OwnModelSettings | None = Field(default=None, description="Who finds it; by default the assistant's model.")
    prompt: str = Field(default=_PROMPT, min_length=1, max_length=20_000)
    max_chars: int = Field(default=80, ge=1, le=200)
    timeout_s: float = Field(default=10.0, gt=0, le=300)


class ConversationTitle(Middleware):
    """Gives a conversation a title, by a model call beside the first answer. A run goes on where that fails."""

    name = "conversation_title"
    Settings = ConversationTitleSettings

    def __init__(self, settings: ConversationTitleSettings, *, id: str, spec: AgentSpec):  # noqa: A002
        super().__init__(settings, id=id, spec=spec)
        self._model = own_model(settings.llm, spec)

    async def before_model(self, turn: Turn) -> None:
        # Once a run: where it fails, the next run tries again.
        if turn.state.model_calls or TITLE in merged(turn.values.get(METADATA), {}):
            return
        said = next((message.text for message in turn.messages if message.role == "user"), "").strip()
        if said:
            turn.beside(self._give_title(said[:_LONGEST_READ], turn))

    async def _give_title(self, said: str, turn: Turn) -> None:
        try:
            async with asyncio.timeout(self.settings.timeout_s):
                title = await self._asked(said, turn)
        except (AgentError, TimeoutError) as error:
            log.warning("run %s: no title: %s", turn.io.run_id, error or "it took too long")
            return
        if title:
            turn.values[METADATA] = merged(turn.values.get(METADATA), {TITLE: title})
            turn.io.custom("title_generated", {"title": title})

    async def _asked(self, said: str, turn: Turn) -> str:
        answer = await self._model.ask(self.settings.prompt, said, turn)
        title = " ".join(answer.split()).strip("\"'“”„«» ")
        longest: int = self.settings.max_chars
        return title if len(title) <= longest else title[: longest - 1].rstrip() + "…"
