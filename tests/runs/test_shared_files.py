"""Files that sessions share: written with the step, under its fence, and seen by the run before that."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from core.db import pool
from runs.lifecycle import Status
from runs.worker.commit import commit_steps
from runs.worker.committer import LeaseLost
from runs.worker.rescue import put_back
from runtime.contract import AgentSpec, BaseAgent, State, Step, StepIO
from runtime.errors import AgentError
from runtime.shared_files import SharedScope
from sessions.bodies import OpenSession
from sessions.services import open_session
from sessions.shared_files import file_row
from tests.runs.hand import Hand
from tests.runs.stage import Stage
from tests.runs.worker import Tenant, ending, in_thread, rows

Act = Callable[[StepIO], Awaitable[Any]]
ALL: SharedScope = "assistant"


class Acting(BaseAgent):
    """Does these in its steps, one after the other; the last one's result is the run's."""

    def __init__(self, *acts: Act) -> None:
        super().__init__(AgentSpec("acting", {"step_timeout_s": 30}))
        self._acts = list(acts)

    async def step(self, state: State, io: StepIO) -> Step:
        given = await self._acts.pop(0)(io)
        return Step(kind="custom", structured=given, done=not self._acts)


def writes(path: str, content: str | None, scope: SharedScope = ALL) -> Act:
    async def act(io: StepIO) -> None:
        await io.files.load(scope, path)
        io.files.write(scope, path, content)

    return act


def reads(path: str, scope: SharedScope = ALL) -> Act:
    async def act(io: StepIO) -> Any:
        await io.files.load(scope, path)
        return [io.files.read(scope, path), [entry.path for entry in io.files.entries(scope)]]

    return act


async def fails(io: StepIO) -> None:
    raise AgentError("No.")


async def done(stage: Stage, *acts: Act, durability: str = "sync") -> Any:
    """What a run gives that does these."""
    commit = await stage.carry_out(durability, Acting(*acts))
    assert commit.status == Status.SUCCESS, commit.error
    assert commit.output is not None
    return commit.output["structured"]


async def kept() -> dict[str, str]:
    return {row["path"]: row["content"] for row in await rows("SELECT path, content FROM shared_files")}


async def other_session(stage: Stage, **body: Any) -> None:
    """The stage goes on in another session of the same assistant."""
    opened = open_session(stage.tenant.identity, stage.tenant.assistant, OpenSession(**body))
    stage.session = (await in_thread(opened.run))["id"]


async def test_another_session_reads_what_a_step_wrote(stage: Stage) -> None:
    await done(stage, writes("/a", "one"), writes("/b", "two"))
    await other_session(stage)
    assert await done(stage, reads("/a")) == ["one", ["/a", "/b"]]


async def test_the_last_writer_wins_and_each_write_counts(stage: Stage) -> None:
    await done(stage, writes("/a", "one"), writes("/a", "zwölf"))
    assert await rows("SELECT content, size, version FROM shared_files") == [
        {"content": "zwölf", "size": 6, "version": 2}
    ]


async def test_what_is_deleted_is_gone_with_the_step(stage: Stage) -> None:
    assert await done(stage, writes("/a", "one"), writes("/a", None), reads("/a")) == [None, []]
    assert await kept() == {}


async def test_a_step_that_fails_writes_nothing(stage: Stage) -> None:
    async def writes_and_fails(io: StepIO) -> None:
        await writes("/a", "one")(io)
        await fails(io)

    commit = await stage.carry_out("sync", Acting(writes_and_fails))
    assert (commit.status, await kept()) == (Status.ERROR, {})


@pytest.mark.parametrize("durability", ["async", "exit"])
async def test_a_run_sees_what_it_wrote_before_it_is_stored(stage: Stage, durability: str) -> None:
    acts = writes("/a", "one"), writes("/b", "two"), writes("/b", None), reads("/a")
    assert await done(stage, *acts, durability=durability) == ["one", ["/a"]]
    assert await kept() == {"/a": "one"}


async def test_a_late_writer_writes_nothing(stage: Stage) -> None:
    async def loses_the_run(io: StepIO) -> None:
        await writes("/a", "late")(io)
        await put_back(stage.worker, [stage.run_id]).arun()

    with pytest.raises(LeaseLost):
        await stage.carry_out("sync", Acting(loses_the_run))
    assert await kept() == {}


async def test_the_files_of_a_user_are_seen_in_that_users_sessions(stage: Stage) -> None:
    await other_session(stage, user_id="ann")
    await done(stage, writes("/a", "ann's", "user"), writes("/a", "everybody's"))
    assert await done(stage, reads("/a", "user")) == ["ann's", ["/a"]]
    await other_session(stage, user_id="bob")
    assert await done(stage, reads("/a", "user")) == [None, []]
    assert await done(stage, reads("/a")) == ["everybody's", ["/a"]]


async def test_a_session_of_no_user_has_none(stage: Stage) -> None:
    commit = await stage.carry_out("sync", Acting(writes("/a", "x", "user")))
    assert commit.error is not None
    assert "no user's" in commit.error["message"]


async def test_secrets_and_what_postgresql_cannot_store_are_taken_out(stage: Stage) -> None:
    await done(stage, writes("/a", "x\0sk_0123456789ab_" + "0" * 40))
    assert await kept() == {"/a": "x\ufffd[key]"}


async def test_runs_that_end_at_once_write_one_file_in_turn(tenant: Tenant, hand: Hand, async_pool: None) -> None:
    commits = []
    for content in ("first", "second"):
        await in_thread(tenant.run)
        commit = ending((await hand.claim()).claimed)
        row = file_row(tenant.assistant, "", "/a", content)
        commit.files = {("", "/a"): row}
        commits.append(commit)
    async with pool().connection() as conn:
        assert len((await commit_steps(conn, hand.id, commits)).ours) == 2
    assert await kept() == {"/a": "second"}
