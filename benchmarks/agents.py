"""The work of the *echo* figure: one step, no model."""

from runtime.contract import BaseAgent, Message, State, Step, StepIO
from runtime.registry import register_agent


@register_agent("BenchmarkEcho")
class BenchmarkEcho(BaseAgent):
    """Says what it was told, so that what is measured is the server and not an agent."""

    async def step(self, state: State, io: StepIO) -> Step:
        text = state.messages[-1].text
        message_id = io.new_id()
        io.token(message_id, text)
        return Step(kind="custom", messages=[Message(id=message_id, role="assistant", content=text)], done=True)
