"""Images and text: an agent that looks at the parts of a message before its model does."""

from collections import Counter
from functools import cached_property

from runtime.contract import BaseAgent, Message, ModelRecord, State, Step, StepIO
from runtime.model import ModelCaller
from runtime.registry import register_agent


@register_agent("MultiModal")
class MultiModal(BaseAgent):
    """Tells the model which parts a message has, and has it answer to all of them."""

    @cached_property
    def model(self) -> ModelCaller:
        return ModelCaller(self.spec.config["llm"], secrets=self.spec.secrets)

    async def step(self, state: State, io: StepIO) -> Step:
        content = state.messages[-1].content
        parts = [{"type": "text"}] if isinstance(content, str) else content
        kinds = Counter(part["type"] for part in parts)
        told = "Parts of the message: " + ", ".join(f"{count} {kind}" for kind, count in kinds.items()) + "."
        said = Message(id=io.new_id(), role="assistant", content="")
        answer = await self.model.ask(
            [Message(id="", role="system", content=told), *state.messages],
            turn=state.session_model_calls,
            listen=lambda text, kind: io.token(said.id, text, kind),
            io=io,
        )
        said.content = answer.text
        record = ModelRecord(answer.provider, answer.model, answer.usage, answer.finish_reason)
        return Step(kind="model", messages=[said], structured={"parts": dict(kinds)}, model=record, done=True)
