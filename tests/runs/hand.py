"""What a worker would do, without one: claims, and outcomes that are committed one by one."""

from typing import Any

from core.db import Row, pool
from core.ids import new_id
from runs.worker.commit import commit_steps
from runs.worker.conversation import Conversation, Conversations
from runs.worker.journal import Journal
from runs.worker.outcomes import Finished, Outcome
from runs.worker.publisher import Publisher
from runs.worker.recorder import Recorder
from runs.worker.step_commit import StepCommit
from runtime.contract import ChildRun, Step, ToolCall
from runtime.contract import Message as Said
from tests.runs.worker import claim_with, make_worker


class Hand:
    """A worker that does one thing at a time, and keeps conversations warm as a worker does."""

    def __init__(self) -> None:
        self.id = make_worker()
        self.warm = Conversations()

    async def claim(self, **settings: Any) -> "Held":
        """`settings` are the recorder's."""
        (held,) = await self.claim_all(**settings)
        return held

    async def claim_all(self, **settings: Any) -> list["Held"]:
        """Whatever may be claimed, the oldest first."""
        claimed = sorted(await claim_with(self.id), key=lambda row: row["id"])
        conversations = await self.warm.load(claimed)
        return [Held(self, row, conversations[row["id"]], **settings) for row in claimed]


def journal_of(claimed: Row) -> Journal:
    """The log of a claimed run, for which time stands still."""
    return Journal(
        run_id=str(claimed["id"]),
        session_id=str(claimed["session_id"]),
        number=claimed["number"],
        committed=claimed["last_seq"],
        publisher=Publisher(),
        now=lambda **_: "2026-01-01T00:00:00.000000Z",
    )


class Held:
    """A claimed run of which each outcome is committed when it is told."""

    def __init__(self, hand: Hand, claimed: Row, conversation: Conversation, **settings: Any) -> None:
        self.hand, self.claimed, self.conversation = hand, claimed, conversation
        self.journal = journal_of(claimed)
        self.recorder = Recorder(claimed, conversation, self.journal, str(hand.id), **settings)
        self.recorder.begin()

    async def commit(self, outcome: Outcome) -> bool:
        """Gives whether the run was still this worker's to write."""
        commit: StepCommit = self.recorder.record(outcome, "2026-01-01T00:00:00.000000Z", 1)
        async with pool().connection() as conn:
            committed = await commit_steps(conn, self.hand.id, [commit])
            if how := committed.refused.get(commit.run_id):
                self.recorder.end_cancelled(commit, how)
                committed = await commit_steps(conn, self.hand.id, [commit])
        self.journal.commit()
        if commit.status is not None:
            self.hand.warm.keep(self.conversation)
        return bool(committed.ours)

    async def says(self, text: str, *, done: bool = False, **changes: Any) -> bool:
        said = Said(id=str(new_id()), role="assistant", content=text)
        return await self.commit(Finished(Step(kind="model", messages=[said], changes=changes, done=done)))

    async def calls(self, *names: str) -> None:
        calls = [ToolCall(f"call_{name}", name, {}) for name in names]
        said = Said(id=str(new_id()), role="assistant", content="", tool_calls=calls)
        await self.commit(Finished(Step(kind="model", messages=[said], next=["tools"])))

    async def delegates(self, *calls: str, **child: Any) -> None:
        """A model's answer with these tool calls, and the step that has children carry them out."""
        await self.calls(*calls)
        children = {f"call_{name}": ChildRun({"message": name}, **child) for name in calls}
        await self.commit(Finished(Step(kind="tools", children=children, next=["tools"])))

    async def asks(self, **interrupt: Any) -> bool:
        return await self.commit(Finished(Step(kind="tools", interrupt=interrupt)))
