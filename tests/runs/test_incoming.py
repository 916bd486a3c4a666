"""What an agent does with the messages that a run is given, before its first step."""

from typing import Any

import pytest

from runs.models import Run
from runtime.contract import AgentSpec, BaseAgent, Message, State, Step, StepIO
from runtime.errors import MessageRejected
from tests.runs.stage import Stage
from tests.runs.worker import in_thread, one


class Choosy(BaseAgent):
    """Says what its model would see; takes messages as it is told."""

    def __init__(self, how: str):
        super().__init__(AgentSpec("Choosy", {"step_timeout_s": 60.0}))
        self.how = how

    def incoming(self, message: Message) -> Message:
        match self.how:
            case "refuse":
                raise MessageRejected("Not that.")
            case "break":
                raise RuntimeError("Broken.")
            case "odd":
                return Message(message.id, "user", message.content, metadata={"for_model": object()})  # type: ignore[dict-item]
        return Message("mine", "assistant", message.content, metadata={"for_model": "hello"})

    async def step(self, state: State, io: StepIO) -> Step:
        said = Message(io.new_id(), "assistant", str(state.messages[-1].for_model))
        return Step(kind="custom", messages=[said], done=True)


async def test_what_is_shown_and_what_the_model_sees_are_two_texts(stage: Stage) -> None:
    await stage.carry_out("sync", Choosy("change"))
    assert await stage.messages() == ["hi", "hello"]
    sql = "SELECT role, metadata FROM messages WHERE session_id = %(id)s AND seq = 1"
    assert await one(sql, id=stage.session) == {"role": "user", "metadata": {"for_model": "hello"}}


@pytest.mark.parametrize(
    ("how", "error"),
    [
        ("refuse", {"code": "message_rejected", "message": "Not that."}),
        ("break", {"code": "agent_error", "message": "RuntimeError: Broken."}),
        ("odd", {"code": "agent_error"}),
    ],
)
async def test_a_message_that_is_refused_is_not_in_the_conversation(
    stage: Stage, how: str, error: dict[str, Any]
) -> None:
    await stage.carry_out("sync", Choosy("change"))
    await stage.carry_out("sync", Choosy(how))
    run = await in_thread(lambda: Run.objects.get(id=stage.run_id))
    assert run.status == "error"
    assert error.items() <= run.error.items()
    assert await stage.messages() == ["hi", "hello"]
    await stage.carry_out("sync", Choosy("change"))
    assert await stage.messages() == ["hi", "hello"] * 2
