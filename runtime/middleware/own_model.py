"""A model that middleware asks by itself."""

from collections.abc import Sequence

from langchain_core.messages.utils import count_tokens_approximately

from runtime.contract import Message
from runtime.messages import to_langchain
from runtime.middleware.base import Turn
from runtime.model import ModelCaller
from runtime.providers.base import LLM
from runtime.secrets import Secrets

# The media of a part are not read as text; an estimate needs no more.
_MEDIA = "[media]" * 50


class OwnModel:
    """Asks the model of an `llm` block, without tools."""

    def __init__(self, llm: LLM, secrets: Secrets):
        self._caller = ModelCaller(llm, secrets=secrets)

    async def ask(self, prompt: str, text: str, turn: Turn) -> str:
        """What it answers to the text. Nobody hears its tokens; what it took is counted.

        Raises as `ModelCaller.ask`.
        """
        messages = [Message(id="", role="system", content=prompt), Message(id="", role="user", content=text)]
        calls = turn.state.session_model_calls
        answer = await self._caller.ask(messages, turn=calls, listen=lambda text, kind: None, io=turn.io)
        turn.used(answer.usage)
        return answer.text.strip()

    def estimated(self, messages: Sequence[Message]) -> int:
        """About how many tokens the messages are."""
        return count_tokens_approximately(to_langchain(_without_media(message) for message in messages))


def _without_media(message: Message) -> Message:
    content = message.for_model
    if isinstance(content, str):
        return message
    parts = [part if part.get("type") == "text" else {"type": "text", "text": _MEDIA} for part in content]
    return Message(message.id, message.role, parts, message.tool_calls, message.tool_call_id, message.name)
