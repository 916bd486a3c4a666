"""Messages to the middleware of a run that is under way."""

import logging
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from core.redis import client
from runs.middleware_api import MAX_BYTES
from runs.models import RunEvent
from runs.notices import Notice, Said, channel
from runs.pools import COMMON
from runs.worker.execution import Execution
from runs.worker.outside import MAX_WAITING
from runs.worker.runner import Runner
from runtime.contract import AgentSpec, BaseAgent, Json, Message, State, Step, StepIO
from runtime.values import Values
from tests.api import UNKNOWN, Api, assert_refused
from tests.runs.stage import Stage
from tests.runs.worker import in_thread, one

TOLD = {"name": "middleware_message", "value": {"middleware_id": "ear"}}


class Attentive(BaseAgent):
    """Is sent messages in its first step, and tells in its second what it then knows."""

    def __init__(self, *messages: Json, removes: Sequence[str] = (), **changes: Any):
        super().__init__(AgentSpec("Attentive", {"step_timeout_s": 60.0}))
        self.messages, self.changes, self.removes = messages, changes, removes
        self.execution: Execution | None = None

    def notify(self, middleware_id: str, message: Json, values: Values) -> None:
        if middleware_id != "ear":
            raise LookupError("There is none.")
        values["heard"] = message
        match message:
            case "forget":
                del values["heard"]
            case "fail":
                raise ValueError("No.")
            case "odd":
                values["heard"] = object()

    async def step(self, state: State, io: StepIO) -> Step:
        if state.messages[-1].role == "assistant":
            said = Message(io.new_id(), "assistant", str(state.values.get("heard")))
            return Step(kind="custom", messages=[said], done=True, changes=self.changes, removed=self.removes)
        assert self.execution is not None
        for message in self.messages:
            to = "nobody" if message == "lost" else "ear"
            self.execution.say(Said(self.execution.session_id, to, message))
        return Step(kind="custom", messages=[Message(io.new_id(), "assistant", "Well,")])


async def carried_out(stage: Stage, agent: Attentive) -> tuple[str, Json]:
    """What the agent knew in its second step, and what the session kept."""
    await stage.accept("sync")
    agent.execution = await stage.begin(agent)
    await agent.execution.carry_out()
    state = (await one("SELECT state FROM sessions WHERE id = %(id)s", id=stage.session))["state"]
    return (await stage.messages())[-1], state.get("heard")


async def told(stage: Stage) -> list[Any]:
    found = await in_thread(lambda: list(RunEvent.objects.filter(run_id=stage.run_id, event="custom")))
    return [event.data for event in found]


async def test_the_next_step_begins_with_what_came_of_it_and_stores_it(stage: Stage) -> None:
    assert await carried_out(stage, Attentive({"name": "Ann"})) == ("{'name': 'Ann'}", {"name": "Ann"})
    assert await told(stage) == [TOLD]


@pytest.mark.parametrize(
    ("messages", "known"),
    [
        ((1, 2), 2),
        ((1, "forget"), None),
        ((1, "fail"), 1),
        ((1, "odd"), 1),
        ((1, "lost"), 1),
        (range(MAX_WAITING + 1), MAX_WAITING - 1),
    ],
    ids=["two", "taken back", "one that fails", "not JSON", "to nobody", "too many"],
)
async def test_messages_are_taken_in_their_order(
    stage: Stage, messages: tuple[Json, ...], known: Json, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        assert await carried_out(stage, Attentive(*messages)) == (str(known), known)
    dropped = {"fail", "odd", "lost", MAX_WAITING} & set(messages)
    assert len(caplog.records) == len(dropped)
    assert await told(stage) == [TOLD] * (len(messages) - len(dropped))


async def test_where_the_step_changes_the_same_it_has_the_last_word(stage: Stage) -> None:
    assert await carried_out(stage, Attentive("theirs", heard="mine")) == ("theirs", "mine")
    assert await carried_out(stage, Attentive("theirs", removes=["heard"])) == ("theirs", None)


async def test_what_is_taken_back_is_taken_out_of_the_state(stage: Stage) -> None:
    assert await carried_out(stage, Attentive("kept")) == ("kept", "kept")
    assert await carried_out(stage, Attentive("forget")) == ("None", None)


# -- how they come there -----------------------------------------------------------------------------------------------


@pytest.fixture
def published(db: None) -> Any:
    """What the workers have been told since the last time of asking."""
    listening = client().pubsub(ignore_subscribe_messages=True)
    listening.subscribe(channel())
    listening.get_message(timeout=5)

    def ask() -> list[Said | None]:
        found = []
        while message := listening.get_message(timeout=0.2):
            found.append(Notice.parse(message["data"]).said)
        return found

    yield ask
    listening.close()


Published = Callable[[], list[Said | None]]


def test_a_message_is_told_to_the_workers(api: Api, published: Published) -> None:
    session = api.session()
    answer = api.post(f"/sessions/{session}/middleware/user_context/notify", {"message": {"name": "Ann"}})
    assert (answer.status_code, answer.json()) == (202, {})
    assert published() == [Said(session, "user_context", {"name": "Ann"})]


def test_a_closed_session_takes_it_too(api: Api, published: Published) -> None:
    session = api.session()
    api.post(f"/sessions/{session}/close")
    published()
    assert api.post(f"/sessions/{session}/middleware/x/notify", {"message": None}).status_code == 202
    assert published() == [Said(session, "x", None)]


@pytest.mark.parametrize("body", [{}, None, {"message": "x" * MAX_BYTES}, {"message": 1, "more": 2}])
def test_a_message_is_needed_and_bounded(api: Api, published: Published, body: Any) -> None:
    session = api.session()
    assert_refused(api.post(f"/sessions/{session}/middleware/x/notify", body), 422, "invalid")
    assert_refused(api.post(f"/sessions/{UNKNOWN}/middleware/x/notify", {"message": 1}), 404, "not_found")
    assert published() == []


async def test_a_worker_gives_it_to_the_run_of_its_session(stage: Stage) -> None:
    runner = Runner(slots=1, pool=COMMON)  # which claims nothing by itself
    await stage.accept("sync")
    agent = Attentive()
    agent.execution = await stage.begin(agent)
    runner._executions[agent.execution.run_id] = (agent.execution, None)  # type: ignore[assignment]
    runner._heard(Notice(said=Said(str(stage.session), "ear", "here")))
    runner._heard(Notice(said=Said(UNKNOWN, "ear", "elsewhere")))
    await agent.execution.carry_out()
    assert await told(stage) == [TOLD]
