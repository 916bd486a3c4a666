"""A worker that carries out the runs of one session, one at a time: an execution and its commits, and no loop."""

from typing import Any
from uuid import UUID

from runs.worker.committer import Committer
from runs.worker.conversation import Conversations
from runs.worker.execution import Execution
from runs.worker.step_commit import StepCommit
from runs.worker.traffic.traffic import Traffic
from runtime.contract import BaseAgent
from tests.runs.hand import journal_of
from tests.runs.worker import Tenant, claim_with, in_thread, one, rows


async def _at_once() -> None:
    """The lease holds."""


class Stage:
    """One session of one tenant, and a worker that carries out its runs one at a time."""

    def __init__(self, tenant: Tenant, session: UUID, worker: UUID, committer: Committer) -> None:
        self.tenant, self.session, self.worker, self.committer = tenant, session, worker, committer

    async def accept(self, durability: str, **body: Any) -> UUID:
        self.run_id = await in_thread(lambda: self.tenant.run(self.session, durability=durability, **body))
        return self.run_id

    async def begin(self, agent: BaseAgent) -> Execution:
        (claimed,) = await claim_with(self.worker)
        self.claimed = claimed
        self.journal = journal_of(claimed)
        return Execution(
            claimed,
            agent=agent,
            conversation=(await Conversations().load([claimed]))[claimed["id"]],
            journal=self.journal,
            committer=self.committer,
            traffic=Traffic({}),
            assured=_at_once,
            worker_id=str(self.worker),
        )

    async def carry_out(self, durability: str, agent: BaseAgent) -> StepCommit:
        await self.accept(durability)
        return await (await self.begin(agent)).carry_out()

    async def checkpoints(self) -> int:
        found = await one("SELECT count(*) AS n FROM checkpoints WHERE session_id = %(id)s", id=self.session)
        return int(found["n"])

    async def messages(self) -> list[str]:
        sql = "SELECT content FROM messages WHERE session_id = %(id)s AND dropped_at_step IS NULL ORDER BY seq"
        return [row["content"] for row in await rows(sql, id=self.session)]
