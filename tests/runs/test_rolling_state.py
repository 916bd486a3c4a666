"""What each finished step leaves is seen while the run goes on, and is taken back with it."""

from typing import Any
from uuid import UUID

from core.validation import validate
from runs.worker.outcomes import Cancelled
from runtime.contract import AgentSpec, BaseAgent, State, Step, StepIO
from runtime.react import ReactAgent
from sessions.bodies import ForkSession, OpenSession
from sessions.models import Session
from sessions.queries import get_session
from sessions.services import fork_session, open_session
from tests.api import Api
from tests.runs.hand import Hand
from tests.runs.stage import Stage
from tests.runs.worker import Tenant, in_thread, one, rows
from tests.runtime.driver import calls

TODO = {"id": "1", "content": "Look", "status": "pending"}


async def context_of(session: UUID) -> Any:
    return (await one("SELECT context FROM sessions WHERE id = %(id)s", id=session))["context"]


async def test_the_state_grows_step_by_step_while_the_run_goes_on(
    tenant: Tenant, session: UUID, hand: Hand, async_pool: None
) -> None:
    def state() -> tuple[list[str], Any, Any]:
        read = Api(Session.objects.get(id=session).workspace).get(f"/sessions/{session}/state").json()
        return [message["content"] for message in read["messages"]], read["todos"], read["metadata"]

    await in_thread(tenant.run, session)
    held = await hand.claim()
    await held.says("first", todos=[TODO])
    assert await in_thread(state) == (["hi", "first"], [TODO], {})
    await held.says("second", todos=[], metadata={"mood": "good"})
    assert await in_thread(state) == (["hi", "first", "second"], [], {"mood": "good"})


async def test_what_a_run_noted_goes_with_it_when_it_is_rolled_back(
    tenant: Tenant, hand: Hand, async_pool: None
) -> None:
    opening = validate(OpenSession, {"initial_state": {"metadata": {"lang": "de"}}})
    session = (await open_session(tenant.identity, tenant.assistant, opening).arun())["id"]
    await in_thread(tenant.run, session)
    held = await hand.claim()
    await held.says("first", metadata={"lang": "de", "mood": "good"})
    assert await context_of(session) == {"lang": "de", "mood": "good"}
    await one(
        "UPDATE runs SET rollback = true, cancel_requested_at = now() WHERE session_id = %(id)s RETURNING id",
        id=session,
    )
    await held.commit(Cancelled())
    assert await context_of(session) == {"lang": "de"}


async def test_a_fork_knows_what_was_known_at_its_checkpoint(tenant: Tenant, hand: Hand, async_pool: None) -> None:
    session = await in_thread(tenant.session)
    await in_thread(tenant.run, session)
    held = await hand.claim()
    await held.says("first", metadata={"mood": "good"})
    point = (await get_session(tenant.identity, session).arun())["checkpoint_id"]
    await held.says("second", done=True, metadata={"mood": "bad"})
    forks = [
        await fork_session(tenant.identity, session, validate(ForkSession, {"checkpoint_id": checkpoint})).arun()
        for checkpoint in (str(point), None)
    ]
    assert [fork["context"] for fork in forks] == [{"mood": "good"}, {"mood": "bad"}]


class Noting(BaseAgent):
    """Sets the state's key to this."""

    def __init__(self, metadata: Any) -> None:
        super().__init__(AgentSpec("noting", {"step_timeout_s": 30}))
        self._metadata = metadata

    async def step(self, state: State, io: StepIO) -> Step:
        return Step(kind="custom", changes={"metadata": self._metadata}, done=True)


async def test_metadata_that_is_no_object_or_too_large_ends_the_run(stage: Stage) -> None:
    for metadata in ("x", {"a": "x" * 65_536}):
        commit = await stage.carry_out("sync", Noting(metadata))
        assert commit.error is not None
        assert commit.error["message"].startswith("A session's metadata")
    assert await context_of(stage.session) == {}


async def test_what_the_model_writes_is_stored_with_its_steps(stage: Stage) -> None:
    turn = calls(
        ("write_todos", {"todos": [TODO]}),
        ("create_file", {"path": "/a", "content": "one"}),
        ("create_file", {"path": "/ours/b", "content": "two"}),
    )
    llm = {"provider": "fake", "model": "script", "settings": {"turns": [turn, {"text": "Done."}]}}
    files = {"name": "files", "settings": {"directories": [{"path": "/ours", "scope": "assistant"}]}}
    config = {"llm": llm, "middleware": [{"name": "todo_list"}, files], "step_timeout_s": 30}
    await stage.carry_out("sync", ReactAgent(AgentSpec("ReactAgent", config)))
    state = (await one("SELECT state FROM sessions WHERE id = %(id)s", id=stage.session))["state"]
    assert (state["todos"], state["files:/a"]["content"]) == ([TODO], "one")
    assert await rows("SELECT path, content FROM shared_files") == [{"path": "/ours/b", "content": "two"}]
    # Each step's checkpoint has what that step changed, and no more.
    changes = await rows("SELECT changes FROM checkpoints WHERE session_id = %(id)s ORDER BY step", id=stage.session)
    assert [sorted(row["changes"].keys() - {"model_calls"}) for row in changes] == [[], [], ["files:/a", "todos"], []]
