"""A deployment of somebody's own: agent types from a module and from an installed package, a model server in the
neighbourhood, a pool of workers for one type.
"""

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.assistants.acceptance.calls import PROMPT, Caller, path_of, refused, script, unique
from tests.assistants.acceptance.measures import most_at_once
from tests.servers import Server, wait_for
from tests.stubs.openai import openai_stub
from tests.stubs.server import ModelStub, Reply

pytestmark = pytest.mark.servers
SLOTS = 2

# Named in AGENT_SERVER_AGENTS.
HOUSE_AGENTS = '''
import asyncio
from typing import Literal

from pydantic import BaseModel, Field

from runtime.contract import BaseAgent, Message, State, Step, StepIO
from runtime.registry import register_agent


class Tone(BaseModel):
    marks: int = Field(ge=1, le=5)
    pause_s: float = 0


class HouseConfig(BaseModel):
    metadata: Tone
    durability: Literal["sync"]


@register_agent("Shouter")
class Shouter(BaseAgent):
    """Repeats the last message in capitals.

    It asks no model.
    """

    Config = HouseConfig

    async def step(self, state: State, io: StepIO) -> Step:
        tone = HouseConfig.model_validate(self.spec.config).metadata
        await asyncio.sleep(tone.pause_s)
        said = state.messages[-1].text.upper() + "!" * tone.marks
        return Step(kind="custom", messages=[Message(id=io.new_id(), role="assistant", content=said)], done=True)
'''

# An installed package that names its class in an entry point.
TALLY = '''
from runtime.contract import BaseAgent, Message, Step


class Tally(BaseAgent):
    """Goes through a state machine of its own: one step for each part, and a count at the end."""

    async def step(self, state, io):
        seen = state.values.get("seen", [])
        parts = state.messages[state.run_start].content
        if len(seen) < len(parts):
            part = parts[len(seen)]
            return Step(kind="custom", changes={"seen": [*seen, part.get("mime_type", part["type"])]}, next=("look",))
        told = Message(id=io.new_id(), role="assistant", content=" and ".join(seen))
        return Step(kind="custom", messages=[told], done=True)


def no_agent(): ...
'''


def install(folder: Path, entry: str) -> None:
    """A package `tally` in the folder, as pip would leave it, with one entry point."""
    folder.joinpath("tally.py").write_text(TALLY)
    info = folder / "tally-1.0.dist-info"
    info.mkdir()
    info.joinpath("METADATA").write_text("Metadata-Version: 2.1\nName: tally\nVersion: 1.0\n")
    info.joinpath("entry_points.txt").write_text(f"[agent_server.agents]\n{entry}\n")


@pytest.fixture(scope="module")
def model() -> Iterator[ModelStub]:
    with openai_stub(Reply("How may I help?")) as running:
        yield running


@pytest.fixture(scope="module")
def house(model: ModelStub) -> Iterator[Server]:
    """A server with a worker of two slots for everything, and one of two slots for Shouters only."""
    with ExitStack() as stack:
        data = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="house-")))
        packages = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="house-packages-")))
        packages.joinpath("house_agents.py").write_text(HOUSE_AGENTS)
        install(packages, "Tally = tally:Tally")
        settings = {
            "PYTHONPATH": str(packages),
            "AGENT_SERVER_AGENTS": "house_agents",
            "N_JOBS_PER_WORKER": str(SLOTS),
            "OPENAI_API_KEY": "sk-local-0123456789",
            "OPENAI_BASE_URL": f"http://{model.address}/v1",
        }
        server = stack.enter_context(Server(data, **settings))
        stack.enter_context(server.beside("worker", "--types", "Shouter"))
        wait_for(lambda: server.sql("SELECT 1 FROM workers WHERE types = ARRAY['Shouter']::varchar[]"), 30)
        yield server


@pytest.fixture
def owner(house: Server) -> Caller:
    return Caller(house.client)


# -- types of one's own (B09) --------------------------------------------------------------------------------------


def test_a_registered_type_answers_in_its_own_way(owner: Caller) -> None:
    made = owner.create(type="Shouter", metadata={"marks": 3})
    assert (made["type"], made["status"]) == ("Shouter", "active")
    assert owner.answer(owner.open(made), "good morning") == "GOOD MORNING!!!"


def test_an_installed_packages_type_has_a_state_machine_of_its_own(owner: Caller) -> None:
    parts = [
        {"type": "text", "text": "What is this?"},
        {"type": "image", "base64": "iVBORw0KGgo=", "mime_type": "image/png"},
        {"type": "image", "url": "https://example.com/cat.jpg"},
    ]
    run = owner.run(owner.open(owner.create(type="Tally")), parts)
    assert (run["status"], run["output"]["text"]) == ("success", "text and image/png and image")
    assert [step["kind"] for step in run["steps"]] == ["custom"] * 4


def test_an_image_reaches_the_model(owner: Caller, model: ModelStub) -> None:
    made = owner.create(llm={"provider": "openai", "model": "gpt-4o"})
    parts = [{"type": "text", "text": "Look."}, {"type": "image", "base64": "iVBORw0KGgo=", "mime_type": "image/png"}]
    owner.answer(owner.open(made), parts)
    text, image = model.asked[-1].body["messages"][-1]["content"]
    assert text == {"type": "text", "text": "Look."}
    assert image["image_url"]["url"] == "data:image/png;base64,iVBORw0KGgo="


def test_the_types_are_listed_with_what_they_demand(owner: Caller) -> None:
    types = {kind["name"]: kind for kind in owner.get("/assistant-types")}
    assert types.keys() == {"ReactAgent", "DocumentAssistant", "Graph", "Shouter", "Tally"}
    assert types["Shouter"]["description"] == "Repeats the last message in capitals."
    whole, narrowed = types["Shouter"]["config_schema"]["allOf"]
    definitions = types["Shouter"]["config_schema"]["$defs"]
    assert "system_prompt" in definitions[whole["$ref"].rpartition("/")[2]]["properties"]
    assert "metadata" in definitions[narrowed["$ref"].rpartition("/")[2]]["required"]
    assert definitions["Tone"]["properties"]["marks"]["maximum"] == 5
    assert "system_prompt" in types["Tally"]["config_schema"]["properties"]


@pytest.mark.parametrize(
    ("config", "loc"),
    [
        ({}, ["metadata", "marks"]),
        ({"metadata": {"marks": 6}}, ["metadata", "marks"]),
        ({"metadata": {"marks": "many"}}, ["metadata", "marks"]),
        ({"metadata": {"marks": 1}, "durability": "exit"}, ["durability"]),
    ],
)
def test_an_assistant_that_does_not_fit_its_type_is_refused(owner: Caller, config: Any, loc: list[str]) -> None:
    body = {"name": unique("unfit"), "type": "Shouter", "llm": PROMPT, **config}
    refused(owner.client.post("/assistants", json=body), 422, "invalid", *loc)
    assert owner.items("/assistants", name=body["name"]) == []


def test_a_change_must_fit_the_type_too(owner: Caller) -> None:
    made = owner.create(type="Shouter", metadata={"marks": 3})
    refused(owner.client.patch(path_of(made), json={"metadata": {"marks": 9}}), 422, "invalid", "metadata", "marks")
    refused(owner.client.patch(path_of(made), json={"metadata": None}), 422, "invalid", "metadata", "marks")
    plain = owner.create()
    refused(owner.client.patch(path_of(plain), json={"type": "Shouter"}), 422, "invalid", "metadata", "marks")
    assert owner.get(path_of(made)) == made


def test_an_unknown_type_is_refused_by_its_name(owner: Caller) -> None:
    error = refused(
        owner.client.post("/assistants", json={"name": unique("who"), "type": "Whisperer", "llm": PROMPT}),
        422,
        "invalid",
        "type",
    )
    assert "Shouter" in error["detail"]


@pytest.mark.parametrize(
    ("entry", "complaint"),
    [
        ("Tally = tally:no_agent", "The entry point Tally = 'tally:no_agent' is no subclass of BaseAgent."),
        ("ReactAgent = tally:Tally", "The agent type 'ReactAgent' is registered already."),
    ],
)
def test_an_entry_point_that_is_no_agent_stops_the_start_with_one_line_that_says_why(
    tmp_path: Path, entry: str, complaint: str
) -> None:
    install(tmp_path, entry)
    server = Server(tmp_path / "data", PYTHONPATH=str(tmp_path))
    server.spawn()
    assert server.wait() != 0
    wait_for(lambda: server.lines and complaint in server.lines[-1])
    assert len(server.lines) == 1, server.output
    assert "entry point agent_server.agents" in server.lines[0]


# -- the documentation's smallest example (B39) --------------------------------------------------------------------


def test_the_documentations_first_assistant_is_active_at_once_and_answers(owner: Caller, model: ModelStub) -> None:
    example = """{ "name": "support-agent", "type": "ReactAgent", "description": "Technical support agent", "llm": {
        "provider": "openai", "model": "gpt-4o" }, "system_prompt": "You are a helpful support agent." }"""
    answer = owner.client.post("/assistants", content=example, headers={"Content-Type": "application/json"})
    made = answer.json()
    assert (answer.status_code, made["version"], made["status"]) == (201, 1, "active"), answer.text
    assert owner.answer(owner.open(made), "hello").strip() == "How may I help?"
    asked = model.asked[-1]
    assert (asked.headers["authorization"], asked.body["model"]) == ("Bearer sk-local-0123456789", "gpt-4o")
    assert asked.body["messages"][0] == {"role": "system", "content": "You are a helpful support agent."}
    # And its documentation's change of it.
    change = {"system_prompt": "Updated instructions for the agent.", "llm": {"temperature": 0.5}}
    changed = owner.patch(path_of(made), change)
    assert (changed["version"], changed["llm"]["model"], changed["llm"]["temperature"]) == (2, "gpt-4o", 0.5)
    (found,) = owner.items("/assistants", type="ReactAgent", status="active", limit=20, name="support-agent")
    assert found == changed


# -- pools, priorities, caps (B31, B32, B33) -----------------------------------------------------------------------


@pytest.fixture
def busy(owner: Caller) -> Iterator[list[str]]:
    """Runs that hold all slots of the worker for everything, until they are released."""
    slow = owner.create(llm=script({"text": "it takes forever", "delay_ms": 60_000}))
    runs = [owner.start(owner.open(slow)) for _ in range(SLOTS)]
    wait_for(lambda: [owner.get(f"/runs/{run}")["status"] for run in runs] == ["running"] * SLOTS)
    yield runs
    for run in runs:
        owner.client.post(f"/runs/{run}/cancel")


def release(owner: Caller, busy: list[str]) -> None:
    for run in busy:
        owner.post(f"/runs/{run}/cancel")


def test_a_worker_of_one_type_carries_out_no_other(owner: Caller, busy: list[str]) -> None:
    waiting = owner.start(owner.open(owner.create()))
    loud = owner.run(owner.open(owner.create(type="Shouter", metadata={"marks": 1})), "free")
    assert loud["status"] == "success"
    # The run that came before it waits for the other worker, although this one has nothing to do.
    assert owner.get(f"/runs/{waiting}")["status"] == "pending"
    release(owner, busy)
    patient = owner.ended(waiting)
    assert patient["status"] == "success"
    assert patient["worker_id"] == owner.get(f"/runs/{busy[0]}")["worker_id"] != loud["worker_id"]


def test_runs_of_a_more_important_assistant_overtake(owner: Caller, busy: list[str]) -> None:
    usual, urgent = (owner.create(priority=priority, system_prompt="x") for priority in (0, 10))
    ordinary = [owner.start(owner.open(usual)) for _ in range(8)]
    late = owner.start(owner.open(urgent))
    release(owner, busy)
    runs, last = [owner.ended(run) for run in ordinary], owner.ended(late)
    assert last["priority"] == 10
    assert last["created_at"] > max(run["created_at"] for run in runs)
    # As many as there are slots may be claimed together with it, but none before.
    assert sum(run["claimed_at"] < last["claimed_at"] for run in runs) < SLOTS


def test_a_cap_holds_across_workers(owner: Caller) -> None:
    capped = owner.create(type="Shouter", metadata={"marks": 1, "pause_s": 0.3}, max_concurrent_runs=3)
    waiting = [owner.start(owner.open(capped)) for _ in range(12)]
    runs = [owner.ended(run) for run in waiting]
    assert {run["status"] for run in runs} == {"success"}
    assert len({run["worker_id"] for run in runs}) == 2
    assert most_at_once(runs) == 3
