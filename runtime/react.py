"""The ReAct loop: reason, call tools, observe, until the model answers without a call."""

from collections.abc import Mapping
from functools import cached_property
from typing import ClassVar, Literal

from pydantic import BaseModel, Field

from runtime.approval import InterruptOn, approval_of, decided, decisions_in
from runtime.contract import BaseAgent, Message, ModelRecord, State, Step, StepIO, ToolCall, ToolRecord
from runtime.errors import MaxStepsExceeded
from runtime.messages import REASONING, UNREADABLE_CALLS
from runtime.model import Answer, ModelCaller
from runtime.toolbox import Toolbox, tool_message


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


class ReactAgent(BaseAgent):
    """Reasons about the state, calls tools, observes their results, and repeats until it can answer.

    A step is either one model call or all tool calls that the last answer asked for. Where a person decides about some
    of these (`interrupt_on`), the step asks before it carries out any of them, and they are carried out once all are
    decided.
    """

    takes_interrupt_on: ClassVar[bool] = True

    @cached_property
    def config(self) -> ReactConfig:
        return ReactConfig.model_validate(self.spec.config)

    @cached_property
    def toolbox(self) -> Toolbox:
        return Toolbox(self.spec.tools)

    @cached_property
    def model(self) -> ModelCaller:
        return ModelCaller(self.config.llm, self.toolbox.schemas, self.spec.secrets)

    async def step(self, state: State, io: StepIO) -> Step:
        answer, open_calls = _open_calls(state)
        if answer is not None and open_calls:
            return await self._tools_step(answer, open_calls, state, io)
        return await self._model_step(state, io)

    async def _model_step(self, state: State, io: StepIO) -> Step:
        if state.model_calls >= self.config.max_steps:
            raise MaxStepsExceeded(f"The run made {state.model_calls} model calls, as many as it may.")
        message_id = io.new_id()
        answer = await self.model.ask(
            self._visible(state),
            turn=state.session_model_calls,
            listen=lambda text, kind: io.token(message_id, text, kind),
            io=io,
        )
        return Step(
            kind="model",
            messages=[_assistant_message(message_id, answer)],
            done=not answer.calls,
            next=("tools",) if answer.calls else (),
            model=ModelRecord(answer.provider, answer.model, answer.usage, answer.finish_reason),
        )

    async def _tools_step(self, answer: Message, calls: list[ToolCall], state: State, io: StepIO) -> Step:
        unreadable = answer.metadata.get(UNREADABLE_CALLS) or {}
        decisions = decisions_in(state.resume)
        asked = [
            call
            for call in calls
            if self._is_reviewed(call.name) and call.id not in decisions and call.id not in unreadable
        ]
        if asked:
            return Step(
                kind="tools", interrupt=approval_of(asked, self.config.interrupt_on, self.toolbox), next=("tools",)
            )
        records = await self._carry_out([decided(call, decisions.get(call.id)) for call in calls], unreadable, io)
        return Step(
            kind="tools",
            messages=[tool_message(record, io.new_id()) for record in records],
            next=("model",),
            tool_calls=records,
        )

    def _is_reviewed(self, tool: str) -> bool:
        """Whether a person decides about the tool's calls; one that is not here refuses them by itself."""
        return bool(self.config.interrupt_on.get(tool)) and self.toolbox.has(tool)

    async def _carry_out(
        self, calls: list[ToolCall | ToolRecord], unreadable: Mapping[str, str], io: StepIO
    ) -> list[ToolRecord]:
        """Carry out the calls among them; the records of the others are told as they are."""
        for record in calls:
            if isinstance(record, ToolRecord):
                io.tool_result(record)
        wanted = [call for call in calls if isinstance(call, ToolCall)]
        carried_out = iter(await self.toolbox.carry_out(wanted, unreadable, io))
        return [call if isinstance(call, ToolRecord) else next(carried_out) for call in calls]

    def _visible(self, state: State) -> list[Message]:
        start = state.run_start if self.config.memory.scope == "none" else 0
        prompt = self.config.system_prompt
        # Providers do not see a message's id, so the prompt needs none of its own.
        first = [Message(id="", role="system", content=prompt)] if prompt else []
        return [*first, *state.messages[start:]]


def _open_calls(state: State) -> tuple[Message | None, list[ToolCall]]:
    """This run's last answer, and those of its tool calls that have no result yet."""
    answered = set()
    for message in reversed(state.messages[state.run_start :]):
        if message.role != "tool":
            break
        answered.add(message.tool_call_id)
    else:
        return None, []
    return message, [call for call in message.tool_calls if call.id not in answered]


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
