"""The ReAct loop: reason, call tools, observe, until the model answers without a call."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, Field

from runtime.approval import InterruptOn
from runtime.contract import (
    Ask,
    BaseAgent,
    ChildRun,
    Delegate,
    Json,
    Message,
    ModelRecord,
    State,
    Step,
    StepIO,
    ToolCall,
)
from runtime.errors import AgentError, MaxStepsExceeded, ModelError
from runtime.history import answers_for_open_calls
from runtime.metadata import REASONING, UNREADABLE_CALLS
from runtime.middleware.base import ToolOutcome, Turn
from runtime.middleware.stack import Stack
from runtime.model import Answer, ModelCaller
from runtime.open_calls import answers_in, child_record, forget_asked, open_calls, question_of
from runtime.toolbox import Toolbox, tool_message
from runtime.values import Values

# Runs that carry out calls of one agent side by side: one answer of a model does not fill everybody's queue.
MAX_CHILDREN = 32


class ReactMemory(BaseModel):
    """`none`: the model sees this run's messages only; any other scope: all of the session."""

    scope: Literal["none", "session", "user", "group"] = "session"


class ReactConfig(BaseModel):
    """What the loop reads of an assistant's configuration. `max_steps` counts model calls of one run."""

    llm: dict[str, object]
    system_prompt: str | None = None
    memory: ReactMemory = ReactMemory()
    max_steps: int = Field(default=50, ge=1)
    interrupt_on: InterruptOn = Field(default_factory=dict)
    output_schema: dict[str, Any] | None = None


class ReactAgent(BaseAgent):
    """Reasons about the state, calls tools, observes their results, and repeats until it can answer.

    A step is either one model call or all tool calls that the last answer asked for. Calls that ask a person, or that
    another run carries out, stay open while the others are stored; the run goes on with them once they are answered.
    """

    takes_interrupt_on: ClassVar[bool] = True
    takes_middleware: ClassVar[bool] = True
    takes_output_schema: ClassVar[bool] = True

    @cached_property
    def config(self) -> ReactConfig:
        return ReactConfig.model_validate(self.spec.config)

    @cached_property
    def stack(self) -> Stack:
        return Stack(self.spec)

    @cached_property
    def toolbox(self) -> Toolbox:
        return Toolbox(self.stack.tools(dict(self.spec.tools)))

    @cached_property
    def model(self) -> ModelCaller:
        config = self.config
        return ModelCaller(config.llm, self.toolbox.schemas, self.spec.secrets, output_schema=config.output_schema)

    def incoming(self, message: Message) -> Message:
        return self.stack.incoming(message)

    def notify(self, middleware_id: str, message: Json, values: Values) -> None:
        self.stack.handle_message(middleware_id, message, values)

    async def step(self, state: State, io: StepIO) -> Step:
        turn = Turn(state, Values(state.values), io, tools=self.toolbox.tools)
        if state.resume is not None:
            self.stack.handle_resume(turn)
        answer, calls = open_calls(state)
        if answer is not None and calls:
            step = await self._tools_step(answer, calls, turn)
        else:
            step = await self._model_step(turn)
        step.messages += turn.said
        step.changes, step.removed = turn.values.changes, turn.values.removed
        return step

    async def _model_step(self, turn: Turn) -> Step:
        state, io = turn.state, turn.io
        if state.model_calls >= self.config.max_steps:
            raise MaxStepsExceeded(f"The run made {state.model_calls} model calls, as many as it may.")
        turn.messages = state.messages[state.run_start if self.config.memory.scope == "none" else 0 :]
        message_id = io.new_id()
        answer = await self._ask(turn, message_id)
        message = _assistant_message(message_id, answer)
        turn.usage.add(answer.usage)
        record = ModelRecord(answer.provider, answer.model, turn.usage, answer.finish_reason)
        try:
            await self.stack.after_model(turn, message)
        except AgentError as error:
            # The step is not stored, and what its call has taken counts all the same.
            error.record = error.record or record
            raise
        ends = turn.done or not (message.tool_calls or turn.said)
        return Step(
            kind="model",
            # Who ends the run here leaves calls behind, and no model takes a history with calls without a result.
            messages=[message, *(answers_for_open_calls([message]) if ends else ())],
            done=ends,
            structured=turn.structured,
            next=() if ends else ("tools",) if message.tool_calls else ("model",),
            model=record,
        )

    async def _ask(self, turn: Turn, message_id: str) -> Answer:
        """The model's answer, with what middleware does before and beside it."""
        io = turn.io
        try:
            async with turn.accompanied():
                await self.stack.before_model(turn)
                return await self.model.ask(
                    [*self._system_message(turn), *turn.messages],
                    turn=turn.state.session_model_calls,
                    listen=lambda text, kind: io.token(message_id, text, kind),
                    io=io,
                )
        except ModelError as error:
            if error.record is not None:
                # What middleware's own calls have taken counts, too.
                error.record.usage.add(turn.usage)
            raise

    async def _tools_step(self, answer: Message, calls: list[ToolCall], turn: Turn) -> Step:
        unreadable = answer.metadata.get(UNREADABLE_CALLS) or {}
        answers = answers_in(turn)
        children = turn.state.children
        fresh = [
            call for call in calls if self.toolbox.has(call.name) and call.id not in {*unreadable, *answers, *children}
        ]
        if fresh and (interrupt := await self.stack.before_tools(turn, fresh)) is not None:
            return Step(kind="tools", interrupt=interrupt, next=("tools",))
        forget_asked(turn)
        outcomes = await self._carry_out(calls, turn, unreadable, answers)
        result = _Sorted.of(calls, outcomes)
        turn.open_calls = [call for call in calls if call.id in {*result.asks, *result.children}]
        records = [outcome for outcome in outcomes if not isinstance(outcome, Ask | Delegate)]
        await self.stack.after_tools(turn, records)
        return Step(
            kind="tools",
            messages=[tool_message(record, turn.io.new_id()) for record in records],
            interrupt=question_of(result.asks, turn),
            # Those that ask are answered first: the others are called again beside them, and delegate then. So do those
            # that are too many now.
            children={} if result.asks else dict(islice(result.children.items(), MAX_CHILDREN)),
            done=turn.done and not turn.open_calls,
            structured=turn.structured,
            next=("tools",) if turn.open_calls else () if turn.done else ("model",),
            tool_calls=records,
        )

    async def _carry_out(
        self, calls: list[ToolCall], turn: Turn, unreadable: Mapping[str, str], answers: Mapping[str, Json]
    ) -> list[ToolOutcome]:
        """What came of each call, in their order; a call that another run carried out has that one's result."""
        ended = turn.state.children
        records = {call.id: child_record(call, ended[call.id]) for call in calls if call.id in ended}
        for record in records.values():
            turn.io.tool_result(record)
        wanted = [call for call in calls if call.id not in ended]
        carried_out = iter(
            await self.toolbox.carry_out(
                wanted, turn, unreadable=unreadable, answers=answers, around=self.stack.around_tool
            )
        )
        return [records[call.id] if call.id in records else next(carried_out) for call in calls]

    def _system_message(self, turn: Turn) -> Sequence[Message]:
        prompt = self.stack.prompt(self.config.system_prompt, turn)
        # Providers do not see a message's id, so the prompt needs none of its own.
        return [Message(id="", role="system", content=prompt)] if prompt else []


@dataclass(slots=True)
class _Sorted:
    """The calls that are still open, by what they wait for."""

    asks: dict[str, dict[str, Json]] = field(default_factory=dict)
    children: dict[str, ChildRun] = field(default_factory=dict)

    @classmethod
    def of(cls, calls: Sequence[ToolCall], outcomes: Sequence[ToolOutcome]) -> "_Sorted":
        found = cls()
        for call, outcome in zip(calls, outcomes, strict=True):
            if isinstance(outcome, Ask):
                found.asks[call.id] = outcome.interrupt
            elif isinstance(outcome, Delegate):
                found.children[call.id] = outcome.child
        return found


def _assistant_message(message_id: str, answer: Answer) -> Message:
    message = Message(id=message_id, role="assistant", content=answer.text, tool_calls=answer.calls)
    if answer.unreadable:
        message.metadata[UNREADABLE_CALLS] = answer.unreadable
    if answer.reasoning or answer.reasoning_blocks:
        message.metadata[REASONING] = {
            "provider": answer.provider,
            "text": answer.reasoning,
            **({"blocks": answer.reasoning_blocks} if answer.reasoning_blocks else {}),
        }
    return message
