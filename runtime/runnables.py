"""langchain's runnables as agents: a chat model or a chain, registered as it is."""

from collections.abc import Callable, Sequence
from contextlib import aclosing
from functools import cached_property
from typing import Any, ClassVar, Literal

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.messages.ai import add_ai_message_chunks
from langchain_core.outputs import ChatGeneration, LLMResult
from langchain_core.runnables import Runnable, RunnableConfig

from core.text import clean
from runtime.contract import AgentSpec, BaseAgent, Json, Message, ModelRecord, State, Step, StepIO, Usage
from runtime.errors import AgentError
from runtime.functional import answer_of
from runtime.messages import to_langchain
from runtime.registry import register_agent

Factory = Callable[[AgentSpec], Runnable[Any, Any]]


def register_runnable(
    name: str,
    runnable: Runnable[Any, Any] | Factory,
    *,
    takes: Literal["messages", "input"] = "messages",
    description: str = "",
) -> None:
    """Register a runnable as the agent type `name`, or a function that makes one for each assistant version.

    One that takes `messages` is given the conversation as langchain's messages, below the assistant's `system_prompt`
    if there is one; where the assistant's memory has the scope `none`, of this run only. One that takes the `input` is
    given the run's input as posted. It is one step of the run, called by `astream`; pieces of text are told as tokens.
    Its result, pieces added up, becomes the run's output as what a function returns does (`runtime.functional`).

    The tokens that its models report (`usage_metadata`) are counted. Their calls are not held back by
    `AGENT_SERVER_PROVIDER_LIMITS`, and its exceptions are not tried again: for that it has `with_retry`.

    Raises `ValueError` where the name is taken by something else.
    """
    members = {
        "__doc__": description or f"The runnable {name}.",
        "__qualname__": f"register_runnable({name!r})",
        "make": staticmethod((lambda _: runnable) if isinstance(runnable, Runnable) else runnable),
        "takes": takes,
    }
    register_agent(name)(type(name, (RunnableAgent,), members))


class RunnableAgent(BaseAgent):
    """A runnable; `register_runnable` makes a subclass for each."""

    make: ClassVar[Factory]
    takes: ClassVar[Literal["messages", "input"]]

    @cached_property
    def runnable(self) -> Runnable[Any, Any]:
        return type(self).make(self.spec)

    async def step(self, state: State, io: StepIO) -> Step:
        used = _Used(type(self).__name__)
        config = RunnableConfig(callbacks=[used], metadata={"run_id": io.run_id, "session_id": io.session_id})
        message_id = io.new_id()
        pieces = []
        async with aclosing(self.runnable.astream(self._given(state), config)) as said:  # type: ignore[type-var]
            async for piece in said:
                pieces.append(piece)
                if text := _text(piece):
                    io.token(message_id, text)
        result = _added_up(pieces)
        value = Message(id=message_id, role="assistant", content=_spoken(result)) if _is_text(result) else result
        message, structured = answer_of(value, io)
        return Step(
            kind="custom",
            messages=[message] if message is not None else [],
            done=True,
            structured=structured,
            model=used.record,
        )

    def _given(self, state: State) -> Json:
        if self.takes == "input":
            return state.input
        own_only = (self.spec.config.get("memory") or {}).get("scope") == "none"
        prompt = self.spec.config.get("system_prompt")
        first = [Message(id="", role="system", content=prompt)] if prompt else []
        seen = to_langchain([*first, *state.messages[state.run_start if own_only else 0 :]])
        # Others are shown the same ones, and whose code this is nobody knows.
        return [message.model_copy() for message in seen]


class _Used(BaseCallbackHandler):
    """Adds up what the models inside of a runnable report. langchain's own leaves out models without a name."""

    run_inline = True

    def __init__(self, name: str) -> None:
        self.model = name
        self.usage = Usage()
        self.calls = 0

    @property
    def record(self) -> ModelRecord | None:
        """Its model calls as one; None where it made none."""
        return ModelRecord("runnable", self.model, self.usage) if self.calls else None

    def on_llm_end(self, response: LLMResult, **_: Any) -> None:
        self.calls += 1
        for generation in (generation for answers in response.generations for generation in answers[:1]):
            if isinstance(generation, ChatGeneration) and isinstance(generation.message, AIMessage):
                self.model = generation.message.response_metadata.get("model_name") or self.model
                if reported := generation.message.usage_metadata:
                    self.usage.add(Usage(reported["input_tokens"], reported["output_tokens"]))


def _text(piece: Any) -> str:
    return clean(_spoken(piece)) if _is_text(piece) else ""


def _is_text(value: Any) -> bool:
    return isinstance(value, str | BaseMessage)


def _spoken(value: str | BaseMessage) -> str:
    if isinstance(value, AIMessage) and value.tool_calls:
        raise AgentError("The runnable asks for tools, and nobody calls them: have it call them itself.")
    return value if isinstance(value, str) else str(value.text)


def _added_up(pieces: Sequence[Any]) -> Any:
    """The result whose pieces these are; where they cannot be added, the last one is."""
    if all(isinstance(piece, str) for piece in pieces):
        return "".join(pieces) if pieces else None
    if all(isinstance(piece, AIMessageChunk) for piece in pieces):
        return add_ai_message_chunks(*pieces)
    result = pieces[0]
    for piece in pieces[1:]:
        try:
            result = result + piece
        except TypeError:
            result = piece
    return result
