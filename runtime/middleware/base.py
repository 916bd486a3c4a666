"""What middleware is: a piece of behaviour around the model and tool calls of an agent."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict

from runtime.contract import (
    AgentSpec,
    Ask,
    BoundTool,
    Delegate,
    Json,
    Message,
    State,
    StepIO,
    Tool,
    ToolCall,
    ToolContext,
    ToolRecord,
    Usage,
)
from runtime.metadata import ASKED_AGAIN
from runtime.values import Values

# What came of a call: its record, or that a person is asked or another run carries it out.
ToolOutcome = ToolRecord | Ask | Delegate
Proceed = Callable[[ToolCall], Awaitable[ToolOutcome]]
# A place in a middleware's settings, and what is wrong there.
Misfit = tuple[tuple[str | int, ...], str]


class NoSettings(BaseModel):
    """Nothing may be set."""

    model_config = ConfigDict(extra="forbid")


@dataclass(slots=True)
class Turn:
    """One step, as the middleware of an agent shares it.

    `values` are the session's, and become what the step changes. `messages` is what the model is shown, without the
    system prompt; `open_calls` are the tool calls that have no result when the step ends, `tools` all that the
    model may call.
    """

    state: State
    values: Values
    io: StepIO
    messages: list[Message] = field(default_factory=list)
    open_calls: list[ToolCall] = field(default_factory=list)
    usage: Usage = field(default_factory=Usage)
    done: bool = False
    structured: Json = None
    said: list[Message] = field(default_factory=list)
    tools: Mapping[str, BoundTool] = field(default_factory=dict)
    _beside: list[asyncio.Task[None]] = field(default_factory=list)

    def finish(self, *, structured: Json = None, text: str | None = None) -> None:
        """End the run with success after this step; `text` is then the last thing that the assistant says."""
        self.done, self.structured = True, structured
        if text is not None:
            self.said.append(Message(id=self.io.new_id(), role="assistant", content=text))

    def go_on(self, message: Message) -> None:
        """Have the model asked again, with this message after its answer, although it called no tool.

        It is marked as one of the agent's own, so that nobody takes it for the user's.
        """
        message.metadata[ASKED_AGAIN] = True
        self.said.append(message)

    def used(self, usage: Usage) -> None:
        """Count what a model call beside the agent's own has taken; in a model step only."""
        self.usage.add(usage)

    def beside(self, work: Coroutine[Any, Any, None]) -> None:
        """Have this done while the model answers; in a model step only, which waits for it before it ends.

        What it raises fails the step. It is cancelled where the step fails or is cancelled by itself.
        """
        self._beside.append(asyncio.ensure_future(work))

    @asynccontextmanager
    async def accompanied(self) -> AsyncGenerator[None, None]:
        """What is to be done beside the block is done when it ends."""
        try:
            yield
            if self._beside:
                await asyncio.gather(*self._beside)
        finally:
            for task in self._beside:
                task.cancel()


class Middleware:
    """A piece of behaviour around model and tool calls. Override what you need.

    An assistant lists it by `name`, with `settings` that fit `Settings` and, to tell two of one name apart, an `id`.
    Hooks are called in the order of that list; what asks a person about tool calls (`interrupt_on`) is always last.
    One instance serves all runs of an assistant version in a process, so it keeps no run's state: what it wants to
    remember it puts into the session's values (`Turn.values`), under keys that begin with its name.
    """

    name: ClassVar[str]
    Settings: ClassVar[type[BaseModel]] = NoSettings

    def __init__(self, settings: Any, *, id: str, spec: AgentSpec):  # noqa: A002 - the name that assistants give it
        self.settings = settings
        self.id = id
        self.spec = spec

    @classmethod
    def unfit(cls, settings: Any, config: Mapping[str, Any]) -> Iterable[Misfit]:
        """Where in its settings, and why, it cannot do for the assistant of that configuration what they say.

        `settings` fit `Settings`. What there is becomes a failed check of the assistant.
        """
        return ()

    def tools(self) -> Sequence[Tool]:
        """Tools that it adds to the assistant's own."""
        return ()

    def incoming(self, message: Message) -> Message:
        """A message that the run is given, before its first step; gives it as it is to be kept.

        `message.metadata["for_model"]` may say what the model is to see in place of the content. Raises ValueError,
        with the reason, to refuse it: the run ends so, and the message is not in the conversation.
        """
        return message

    def prompt(self, turn: Turn) -> str:
        """What it adds to the system prompt of this model call."""
        return ""

    async def before_model(self, turn: Turn) -> None:
        """Before the model is asked; may change `turn.messages`, which only this call sees, and `turn.values`.

        Raises AgentError to end the run.
        """

    async def after_model(self, turn: Turn, answer: Message) -> None:
        """After the model has answered; may change the answer before it is stored, finish the run or have it go on.

        Raises AgentError to end the run.
        """

    async def before_tools(self, turn: Turn, calls: Sequence[ToolCall]) -> dict[str, Json] | None:
        """Before any of the calls is carried out; gives what a person is asked first (see `runtime.interrupts`).

        `calls` are those of tools that are there, with readable arguments, that nobody has answered yet.
        """
        return None

    async def wrap_tool(self, call: ToolCall, context: ToolContext, proceed: Proceed) -> ToolOutcome:
        """Around one call; `proceed` carries it out, or another call in its place."""
        return await proceed(call)

    async def after_tools(self, turn: Turn, records: Sequence[ToolRecord]) -> None:
        """After the calls were carried out; may change the records' results, and finish the run."""

    def handle_message(self, message: Json, values: Values) -> None:
        """Something was sent to this middleware while the run is under way; may change values."""

    def handle_resume(self, turn: Turn) -> None:
        """A person has answered (`turn.state.resume`), and this step is the first one after it."""
