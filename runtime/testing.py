"""A model without a network, shipped for your tests as much as for ours.

Choose it in an assistant's configuration:

    {"llm": {"provider": "fake", "model": "echo"}}

answers with the last user message, streamed word by word. The model `prompt` answers with the system prompt.

    {"llm": {"provider": "fake", "model": "script", "settings": {"turns": [
        {"tool_calls": [{"name": "calculator", "args": {"expression": "6*7"}}]},
        {"text": "The answer is 42.", "delay_ms": 50}
    ]}}}

plays its turns, one for each model call. A turn has any of

- `text`: streamed token by token; a token is a word with the space after it
- `tool_calls`: [{`name`, `args`}]
- `delay_ms`: waited before each token (once, where there is no text)
- `error`: {`status`, `retry_after`}: the call fails, after the delay, as a provider's answer with that HTTP
  status
- `usage`: {`input_tokens`, `output_tokens`}; by default the words of the messages and of the answer

The turn played is the number of model calls that the session has had, so a second run in the same session
goes on where the first one ended. A call that ended in an error counts; one that was cut by a crash or a
cancel does not and is played again. After the last turn the last one repeats.
"""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from typing import Any

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models.base import LanguageModelInput
from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, HumanMessage, SystemMessage
from langchain_core.messages.ai import UsageMetadata
from langchain_core.messages.tool import ToolCallChunk, tool_call_chunk
from langchain_core.outputs import ChatGenerationChunk, ChatResult
from langchain_core.runnables import Runnable

from runtime.providers.fake import FakeFailure, Script, Turn, TurnUsage

__all__ = ["FakeChatModel", "FakeFailure", "Script", "Turn"]

_TOKEN = re.compile(r"\S+\s*|\s+")


class FakeChatModel(BaseChatModel):
    """`model` is `echo`, `prompt` or `script`. `turn`, given with each call, is the number of the turn to play."""

    model: str = "echo"
    script: Script = Script()

    @property
    def _llm_type(self) -> str:
        return "fake"

    def bind_tools(self, tools: Sequence[Any], **kwargs: Any) -> Runnable[LanguageModelInput, AIMessage]:
        return self.bind(tools=tools, **kwargs)

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        *,
        turn: int = 0,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        played = self._turn(messages, turn)
        tokens = _TOKEN.findall(played.text)
        delay_s = played.delay_ms / 1000
        if delay_s and not tokens:
            await asyncio.sleep(delay_s)
        if played.error:
            await asyncio.sleep(delay_s if tokens else 0)
            raise FakeFailure(played.error.status, played.error.retry_after)
        for token in tokens:
            if delay_s:
                await asyncio.sleep(delay_s)
            yield ChatGenerationChunk(message=AIMessageChunk(content=token))
        yield _last_chunk(played, messages, len(tokens), turn)

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        raise NotImplementedError("The fake model streams: use astream.")

    def _turn(self, messages: list[BaseMessage], turn: int) -> Turn:
        if self.model == "script":
            return self.script.turns[min(turn, len(self.script.turns) - 1)]
        kind = SystemMessage if self.model == "prompt" else HumanMessage
        asked = next((message for message in reversed(messages) if isinstance(message, kind)), None)
        return Turn.model_construct(text=_text(asked) if asked else "", delay_ms=self.script.delay_ms)


def _last_chunk(turn: Turn, messages: list[BaseMessage], words: int, number: int) -> ChatGenerationChunk:
    usage = turn.usage or TurnUsage.model_construct(
        input_tokens=sum(len(_text(message).split()) for message in messages), output_tokens=words
    )
    return ChatGenerationChunk(
        message=AIMessageChunk(
            content="",
            tool_call_chunks=list(_call_chunks(turn, number)),
            usage_metadata=UsageMetadata(
                input_tokens=usage.input_tokens,
                output_tokens=usage.output_tokens,
                total_tokens=usage.input_tokens + usage.output_tokens,
            ),
            response_metadata={"finish_reason": "tool_calls" if turn.tool_calls else "stop"},
            chunk_position="last",
        )
    )


def _call_chunks(turn: Turn, number: int) -> Iterator[ToolCallChunk]:
    for index, call in enumerate(turn.tool_calls):
        yield tool_call_chunk(name=call.name, args=json.dumps(call.args), id=f"call_{number}_{index}", index=index)


def _text(message: BaseMessage) -> str:
    content = message.content
    return content if isinstance(content, str) else "".join(_texts(content))


def _texts(parts: Iterable[Any]) -> Iterator[str]:
    for part in parts:
        if isinstance(part, dict) and part.get("type") == "text":
            yield str(part.get("text", ""))
