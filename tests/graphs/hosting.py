"""Hosted graphs by hand: runs as a client of LangGraph's protocol starts them, carried out on the test's database."""

import json
from typing import Any
from uuid import UUID

from assistants.models import Assistant
from assistants.services import create_assistant
from assistants.spec import agent_for
from core.ids import new_id
from core.validation import validate
from runs.accepting import Besides, create_run
from runs.bodies import CreateRun, ResumeRun
from runs.resuming import resume_run
from runs.worker.execution import Execution
from runs.worker.step_commit import StepCommit
from runtime.contract import BaseAgent
from tests.runs.stage import Stage
from tests.runs.worker import in_thread, one, rows

_EXAMPLES = ("echo", "steps", "react", "interrupting", "nested")
_MADE = (
    "asks_twice",
    "both_ask",
    "counted",
    "fan_out",
    "flaky",
    "functional",
    "given",
    "inner_asks",
    "leaky",
    "noted",
    "plain",
    "slow",
    "stubborn",
    "tangled",
    "threaded",
)
# As AGENT_SERVER_GRAPHS has them.
GRAPHS = json.dumps(
    {name: f"examples.graphs.graphs:{name}" for name in _EXAMPLES}
    | {name: f"tests.graphs.made:{name}" for name in _MADE}
    | {"broken": "tests.graphs.made:nothing_of_this_name"}
    | {name: f"tests.graphs.made_agents:{name}" for name in ("careful", "deep", "inbox", "one_by_one")}
)


class Host:
    """A worker for the runs of one session, which may be of any graph."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.session = stage.session
        self.agent: BaseAgent

    async def accept(self, graph: str, given: Any = None, durability: str = "async", **kwargs: Any) -> UUID:
        """A run as the protocol's door accepts it; `kwargs` are the rest of the request."""
        assistant = await in_thread(self._assistant, graph)
        body = CreateRun(input=given, durability=durability)
        besides = Besides(assistant, {"input": given, "stream_mode": ["values"], **kwargs})
        creation = create_run(self.stage.tenant.identity, self.session, body, new_id(), besides=besides)
        self.stage.run_id = UUID(str((await in_thread(creation.run))["id"]))
        return self.stage.run_id

    async def accept_native(self, graph: str, given: Any, at: str | None = None, **options: Any) -> UUID:
        """A run of the native API: no `kwargs`. `at`: a checkpoint of the session to begin at."""
        assistant = await in_thread(self._assistant, graph)
        sql = "UPDATE sessions SET assistant_id = %(assistant)s, assistant_version = 1 WHERE id = %(id)s RETURNING id"
        await rows(sql, assistant=assistant, id=self.session)
        body = validate(CreateRun, {"input": given, "checkpoint_id": at, **options})
        creation = create_run(self.stage.tenant.identity, self.session, body, new_id())
        self.stage.run_id = UUID(str((await in_thread(creation.run))["id"]))
        return self.stage.run_id

    async def begin(self) -> Execution:
        run = await one("SELECT workspace_id, assistant_id FROM runs WHERE id = %(id)s", id=self.stage.run_id)
        self.agent = await agent_for(run["workspace_id"], run["assistant_id"], 1).arun()
        return await self.stage.begin(self.agent)

    async def run(self, graph: str, given: Any = None, durability: str = "async", **kwargs: Any) -> StepCommit:
        """Accept a run and carry it out; gives its last commit."""
        await self.accept(graph, given, durability, **kwargs)
        return await self.carry_out()

    async def carry_out(self) -> StepCommit:
        return await (await self.begin()).carry_out()

    async def answer(self, value: Any) -> StepCommit:
        """Let the run go on natively."""
        return await self.resume(value=value)

    async def resume(self, **answer: Any) -> StepCommit:
        """Let the run go on with any of the answers that the native API takes."""
        body = validate(ResumeRun, answer)
        await in_thread(lambda: resume_run(self.stage.tenant.identity, self.stage.run_id, body).run())
        return await self.carry_out()

    async def state(self) -> Any:
        """The session's, which is what a client reads as the thread's values."""
        return (await one("SELECT state FROM sessions WHERE id = %(id)s", id=self.session))["state"]

    async def stands(self) -> str:
        """The session's latest checkpoint."""
        row = await one("SELECT checkpoint_id FROM sessions WHERE id = %(id)s", id=self.session)
        return str(row["checkpoint_id"])

    async def stood(self) -> list[tuple[str, int]]:
        """All of them, the first first, and how many messages each sees."""
        sql = "SELECT id, message_count FROM checkpoints WHERE session_id = %(id)s ORDER BY step"
        return [(str(row["id"]), row["message_count"]) for row in await rows(sql, id=self.session)]

    async def checkpoints(self, namespace: str = "") -> int:
        sql = "SELECT count(*) AS n FROM graph_checkpoints WHERE session_id = %(id)s AND namespace = %(namespace)s"
        return int((await one(sql, id=self.session, namespace=namespace))["n"])

    async def told(self, *names: str) -> list[Any]:
        """The data of these events of the run, as they are stored."""
        sql = "SELECT data FROM run_events WHERE run_id = %(id)s AND event = ANY(%(names)s) ORDER BY seq"
        return [row["data"] for row in await rows(sql, id=self.stage.run_id, names=list(names))]

    async def steps(self) -> int:
        return int((await one("SELECT step_count FROM runs WHERE id = %(id)s", id=self.stage.run_id))["step_count"])

    async def has_begun(self) -> bool:
        """Whether something of the run is stored."""
        return await self.steps() > 0

    async def messages(self) -> list[tuple[str, Any]]:
        sql = "SELECT role, content FROM messages WHERE session_id = %(id)s AND dropped_at_step IS NULL ORDER BY seq"
        return [(row["role"], row["content"]) for row in await rows(sql, id=self.session)]

    def _assistant(self, graph: str) -> UUID:
        workspace = self.stage.tenant.identity.workspace_id
        known = Assistant.objects.filter(workspace=workspace, graph_id=graph).first()
        if known is None:
            create_assistant(self.stage.tenant.identity, {"name": graph, "type": "Graph", "graph_id": graph})
            known = Assistant.objects.get(workspace=workspace, graph_id=graph)
        return UUID(str(known.id))


def values(commit: StepCommit) -> Any:
    """The values with which a run ended."""
    assert commit.output is not None, commit.error
    return commit.output["structured"]


def questions(commit: StepCommit) -> list[Any]:
    """What a run asks, in LangGraph's form."""
    assert commit.interrupt is not None, (commit.status, commit.error)
    return [interrupt["value"] for interrupt in commit.interrupt["value"]["interrupts"]]
