"""One model call: the messages go out, tokens are heard as they come, and one answer is put together."""

import json
import re
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import aclosing, contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

from langchain_core.language_models.base import LanguageModelInput
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.messages.ai import UsageMetadata, add_ai_message_chunks
from langchain_core.runnables import Runnable

from core.redaction import Redactor
from core.text import clean
from runtime.configuration import current
from runtime.contract import Message, ModelRecord, StepIO, ToolCall, Usage
from runtime.errors import AgentError, ModelError
from runtime.messages import to_langchain
from runtime.prices import Price, price_of
from runtime.providers import is_at_home, provider, shaped
from runtime.providers.base import LLM, Provider
from runtime.secrets import NO_SECRETS, Secrets, redactor

Kind = Literal["text", "reasoning"]
Listener = Callable[[str, Kind], None]

_LONGEST_MESSAGE = 600
# Providers name the refused key by its first and last characters.
_KEY_LIKE = re.compile(r"\bsk-[\w*-]{6,}")
_THINKING = ("thinking", "redacted_thinking")


@dataclass(slots=True)
class Answer:
    """What the model said. `unreadable` holds, by call id, the arguments that were not a JSON object.

    `reasoning_blocks` is the reasoning as its provider wants it back, if it does.
    """

    provider: str
    model: str
    text: str
    reasoning: str
    reasoning_blocks: list[dict[str, Any]]
    calls: list[ToolCall]
    unreadable: dict[str, str]
    usage: Usage
    finish_reason: str | None


class ModelCaller:
    """The models of one assistant: `llm`, and in its place the first of its fallbacks that answers.

    `secrets` are those that `llm` may name (`AgentSpec.secrets`). Models are built at the first call, so a missing key
    is an error of the run that needs it. Providers that have a way to be told of `output_schema` are; for others it is
    the caller who tells the model.
    """

    def __init__(
        self,
        llm: LLM,
        tools: Sequence[dict[str, Any]] = (),
        secrets: Secrets = NO_SECRETS,
        *,
        output_schema: dict[str, Any] | None = None,
    ):
        blocks: list[LLM] = [llm, *(llm.get("fallbacks") or ())]
        if output_schema is not None:
            blocks = [shaped(block, output_schema) or block for block in blocks]
        self._candidates = [_Candidate(block, tools, secrets) for block in blocks]

    async def ask(self, messages: Sequence[Message], *, turn: int, listen: Listener, io: StepIO) -> Answer:
        """Ask the model; `listen` hears each piece of the answer. `turn` counts the session's calls before
        this one. The answer's usage holds what failed candidates have reported, too.

        Raises `ModelError` (a retryable one, if any candidate failed in a way that may pass),
        `MissingSecret`, or `MustWait`, for which no fallback takes over. Once a piece has been heard, none does:
        the answer would begin twice. With fallbacks each failure is told as an event `model_failed`.
        """
        failures: list[ModelError] = []
        lost = Usage()
        for candidate in self._candidates:
            draft = _Draft(listen, candidate.price)
            try:
                await candidate.play(messages, turn, draft, io)
            except ModelError as error:
                lost.add(draft.usage)
                error.record = ModelRecord(candidate.llm["provider"], candidate.llm["model"], lost)
                failures.append(error)
                if len(self._candidates) > 1:
                    io.custom("model_failed", _failure(error, error.record))
                if draft.heard:
                    raise
            else:
                answer = draft.answer(candidate, io.new_id)
                answer.usage.add(lost)
                return answer
        raise next((error for error in failures if error.retryable), failures[0])


def _failure(error: ModelError, record: ModelRecord) -> dict[str, Any]:
    return {"provider": record.provider, "model": record.model, "code": error.code, "message": error.message}


class _Candidate:
    """One `llm` block with its model."""

    def __init__(self, llm: LLM, tools: Sequence[dict[str, Any]], secrets: Secrets):
        self.llm = llm
        self.secrets = secrets
        self.tools = tools

    @cached_property
    def provider(self) -> Provider:
        try:
            return provider(self.llm["provider"])
        except LookupError as error:
            raise ModelError(str(error.args[0])) from None

    @cached_property
    def model(self) -> Runnable[LanguageModelInput, AIMessage]:
        model = self.provider.build(self.llm, self.secrets)
        return model.bind_tools(self.tools) if self.tools else model

    @cached_property
    def _redactor(self) -> Redactor:
        return redactor(self.secrets)

    @cached_property
    def place(self) -> str:
        return self.provider.place(self.llm)

    @cached_property
    def price(self) -> Price | None:
        name, model = self.llm["provider"], self.llm["model"]
        return price_of(name, model, current().prices, at_home=is_at_home(self.llm))

    async def play(self, messages: Sequence[Message], turn: int, draft: "_Draft", io: StepIO) -> None:
        sent = to_langchain(messages, self.provider.name, self.provider.media)
        with self._failures():
            # Before the call: to import an integration may take seconds, in which others could call.
            self.model  # noqa: B018
        async with io.model_call(self.provider.name, self.llm["model"], self.place) as call:
            try:
                async with aclosing(self._chunks(sent, turn)) as chunks:
                    async for chunk in chunks:
                        draft.add(chunk)
            finally:
                call.used(draft.usage)

    async def _chunks(self, messages: list[BaseMessage], turn: int) -> AsyncGenerator[AIMessageChunk, None]:
        # A generator of its own, so that only the provider's exceptions are taken for its failures, never
        # those of whoever listens.
        options: dict[str, Any] = {"turn": turn} if self.provider.counts_turns else {}
        with self._failures():
            async for chunk in self.model.astream(messages, **options):
                yield chunk  # type: ignore[misc]  # astream yields chunks

    @contextmanager
    def _failures(self) -> Iterator[None]:
        """The provider's exceptions as our errors."""
        try:
            yield
        except AgentError:
            raise
        except self.provider.failures() as error:
            # The original is not chained: a stranger's answer may repeat the key that was sent to it.
            failure = self.provider.classify(error)
            failure.say(_KEY_LIKE.sub("[key]", self._redactor.text(failure.message))[:_LONGEST_MESSAGE])
            raise failure from None


@dataclass(slots=True)
class _Draft:
    """An answer as it grows. Plain text is only joined: langchain's merging would cost more than all the
    rest."""

    listen: Listener
    price: Price | None = None
    heard: bool = False
    pieces: dict[Kind, list[str]] = field(default_factory=lambda: {"text": [], "reasoning": []})
    structured: list[AIMessageChunk] = field(default_factory=list)
    usage: Usage = field(default_factory=Usage)
    cached_tokens: int = 0
    finish_reason: str | None = None

    def add(self, chunk: AIMessageChunk) -> None:
        content = chunk.content
        if isinstance(content, str):
            self._say("text", content)
            self._say("reasoning", chunk.additional_kwargs.get("reasoning_content"))
        else:
            for block in content:
                self._block(block)
        if chunk.tool_call_chunks or not isinstance(content, str):
            self.structured.append(chunk)
        if chunk.usage_metadata:
            self._used(chunk.usage_metadata)
        if chunk.response_metadata:
            metadata = chunk.response_metadata
            self.finish_reason = metadata.get("finish_reason") or metadata.get("stop_reason") or self.finish_reason

    def _used(self, told: UsageMetadata) -> None:
        self.usage.input_tokens += told["input_tokens"]
        self.usage.output_tokens += told["output_tokens"]
        details = told.get("input_token_details") or {}
        # With the name of a service tier before it, where the call was in one.
        self.cached_tokens += sum(int(str(count)) for key, count in details.items() if key.endswith("cache_read"))
        if self.price is not None:
            self.usage.cost_usd = self.price.cost(self.usage, self.cached_tokens)

    def _block(self, block: str | dict[str, Any]) -> None:
        if isinstance(block, str):
            self._say("text", block)
        elif block.get("type") == "text":
            self._say("text", block.get("text"))
        elif block.get("type") in ("thinking", "reasoning"):
            self._say("reasoning", block.get("thinking") or block.get("reasoning"))

    def _say(self, kind: Kind, text: str | None) -> None:
        if text:
            text = clean(text)
            self.heard = True
            self.pieces[kind].append(text)
            self.listen(text, kind)

    def answer(self, candidate: _Candidate, new_id: Callable[[], str]) -> Answer:
        first, *rest = self.structured or [AIMessageChunk(content="")]
        merged = add_ai_message_chunks(first, *rest)
        calls, unreadable = _tool_calls(merged, new_id)
        return Answer(
            provider=candidate.provider.name,
            model=candidate.llm["model"],
            text="".join(self.pieces["text"]),
            reasoning="".join(self.pieces["reasoning"]),
            reasoning_blocks=_reasoning_blocks(merged),
            calls=calls,
            unreadable=unreadable,
            usage=self.usage,
            finish_reason=self.finish_reason,
        )


def _tool_calls(merged: AIMessageChunk, new_id: Callable[[], str]) -> tuple[list[ToolCall], dict[str, str]]:
    # langchain's own `tool_calls` completes arguments that were cut off, and so would call a tool with half of them.
    calls: dict[str, ToolCall] = {}
    unreadable: dict[str, str] = {}
    for chunk in merged.tool_call_chunks:
        # Some servers give no ids, or the same one twice.
        key = chunk["id"] if chunk["id"] and chunk["id"] not in calls else new_id()
        written = clean(chunk["args"] or "{}")
        args = _object(written)
        if args is None:
            unreadable[key] = written
        calls[key] = ToolCall(key, clean(chunk["name"] or ""), clean(args or {}))
    return list(calls.values()), unreadable


def _object(text: str) -> dict[str, Any] | None:
    try:
        value = json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _reasoning_blocks(merged: AIMessageChunk) -> list[dict[str, Any]]:
    if isinstance(merged.content, str):
        return []
    return [
        {key: value for key, value in block.items() if key != "index"}
        for block in merged.content
        if isinstance(block, dict) and block.get("type") in _THINKING
    ]
