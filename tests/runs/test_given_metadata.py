"""What a client gives to every tool: the metadata of its session and of its run."""

from typing import Any

import pytest

from runtime.contract import AgentSpec, BaseAgent, Message, State, Step, StepIO
from sessions.models import Session
from tests.runs.stage import Stage
from tests.runs.worker import in_thread


class Telling(BaseAgent):
    """Keeps what it is given."""

    def __init__(self) -> None:
        super().__init__(AgentSpec("Telling", {"step_timeout_s": 60.0}))
        self.given: dict[str, Any] = {}
        self.run_id = ""

    async def step(self, state: State, io: StepIO) -> Step:
        self.given, self.run_id = dict(io.metadata), io.run_id
        with pytest.raises(TypeError):
            io.metadata["mine"] = True  # type: ignore[index]
        return Step(kind="custom", messages=[Message(io.new_id(), "assistant", "Well.")], done=True)


async def test_the_runs_metadata_is_given_over_the_sessions(stage: Stage) -> None:
    kept = {"tenant": "acme", "colour": {"of": "session"}}
    await in_thread(lambda: Session.objects.filter(id=stage.session).update(metadata=kept))
    agent = Telling()
    await stage.accept("sync", metadata={"colour": {"deep": 1}, "run_id": "mine"})
    await (await stage.begin(agent)).carry_out()
    assert agent.given == {"tenant": "acme", "colour": {"deep": 1}, "run_id": "mine"}
    assert agent.run_id == str(stage.run_id)
