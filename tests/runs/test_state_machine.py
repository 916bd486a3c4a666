"""The life of runs as a state machine: whatever clients and workers do, in whatever order, the queue stays right.

Hypothesis makes up the sequences; each act is the server's own operation on PostgreSQL, and after each the rows are
compared with a model of a few lines. Workers here are rows and claims without a process, so that dead ones and late
writers cost nothing. `make model` tries 10,000 sequences, the suite a few dozen.
"""

import asyncio
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, TypeVar
from uuid import UUID

import hypothesis
import psycopg
import pytest
from django.conf import settings
from django.db import connection
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from psycopg.rows import dict_row

from core.db import Row
from core.errors import NotInterrupted, RunFinished, SessionBusy, SessionClosed
from runs.bodies import ResumeRun
from runs.family import rounds, run_rounds
from runs.lifecycle import TERMINAL, Status, sources
from runs.models import CRASHES_BEFORE_ALONE, Run, RunEvent, Worker
from runs.pools import COMMON
from runs.resuming import resume_run
from runs.services import cancel_run, close_session
from runs.worker.children import MAX_DEPTH, child_row
from runs.worker.claim import claim
from runs.worker.commit import commit_steps
from runs.worker.rescue import put_back, rescue
from runs.worker.step_commit import StepCommit
from runtime.contract import ChildRun
from sessions.models import Session
from tests.runs.worker import Tenant, ending, make_worker

T = TypeVar("T")

pytestmark = pytest.mark.django_db(transaction=True)


@dataclass
class Expected:
    """What the model says of a run."""

    session: UUID
    status: str = "pending"
    crashes: int = 0
    stopped: bool = False
    holder: "Claimed | None" = None
    parent: UUID | None = None
    continues: bool = False  # it goes on where the run before it asks
    waiting: bool = False  # for its children, or for what they ask
    children: list[UUID] = field(default_factory=list)  # of its last delegating
    asked_by: list[UUID] = field(default_factory=list)


@dataclass(eq=False)
class Claimed:
    """A worker's view of a run that it claimed; it stays the same when others take the run over."""

    worker: UUID
    row: Row


# Which of several: late claims and ended runs too, but the latest more often than their share.
ANY = st.integers(0, 7)


def one(items: list[T], index: int) -> T:
    return items[-1 - index % len(items)]


def has_claims(machine: "Lives") -> bool:
    return bool(machine.claims)


class Lives(RuleBasedStateMachine):
    """Sessions, their runs in order, and the workers that claim them."""

    def __init__(self) -> None:
        super().__init__()
        self.tenant = Tenant.make()
        # Few sessions and workers: what goes wrong does so where they meet.
        self.sessions = [self.tenant.session() for _ in range(2)]
        self.workers = [make_worker() for _ in range(2)]
        self.claims: list[Claimed] = []
        self.expected: dict[UUID, Expected] = {}
        self.closed: set[UUID] = set()
        self.loop = asyncio.Runner()
        self.conn = self.loop.run(
            psycopg.AsyncConnection.connect(settings.DATABASE_URL, autocommit=True, row_factory=dict_row)
        )

    def teardown(self) -> None:
        self.loop.run(self.conn.close())
        self.loop.close()
        # What is left would be claimed by the next sequence's workers.
        with connection.cursor() as cursor:
            cursor.execute("TRUNCATE runs, sessions, workers CASCADE")

    # -- what clients do ---------------------------------------------------------------------------------------------

    @initialize()
    def begin_with_some_runs(self) -> None:
        for index in range(6):
            self.create(index, reject=False)

    @rule(index=ANY, reject=st.sampled_from([False, False, True]), continues=st.booleans())
    def create(self, index: int, reject: bool, continues: bool = False) -> None:
        session = one(self.sessions, index)
        asking = [run for run in self.queue_of(session) if self.expected[run].status == "interrupted"]
        busy = self.queue_of(session) != [] and not (continues and asking)
        create = self.tenant.langgraph_run if continues else self.tenant.run
        try:
            run = create(session, multitask_strategy="reject" if reject else "enqueue")
        except SessionClosed:
            assert session in self.closed
        except SessionBusy:
            assert reject
            assert busy
        else:
            assert session not in self.closed
            assert not (reject and busy)
            for other in self.queue_of(session):
                if self.expected[other].status == "interrupted":
                    self.end(self.expected[other], "success" if continues else "cancelled")
            self.expected[run] = Expected(session, continues=continues)

    @rule(index=ANY)
    def cancel(self, index: int) -> None:
        run = one(list(self.expected), index)
        expected = self.expected[run]
        try:
            cancel_run(self.tenant.identity, run).run()
        except RunFinished:
            assert expected.status in TERMINAL
            return
        assert expected.status not in TERMINAL
        self.stop(expected)

    @rule(index=ANY)
    def resume(self, index: int) -> None:
        asking = [run for run, expected in self.expected.items() if expected.status == "interrupted"]
        run = one(asking or list(self.expected), index)
        expected = self.expected[run]
        interrupt = Run.objects.values_list("interrupt", flat=True).get(id=run) or {"type": "custom"}
        try:
            resume_run(self.tenant.identity, run, ResumeRun(**answer_to(interrupt))).run()
        except NotInterrupted:
            assert expected.status != "interrupted"
        else:
            assert expected.status == "interrupted"
            self.answered(run)
            above = expected.parent
            while above and self.expected[above].waiting and self.expected[above].status == "interrupted":
                self.expected[above].status = "pending"
                above = self.expected[above].parent

    def answered(self, run: UUID) -> None:
        """It goes on; whoever asked for others hands the answer down."""
        expected = self.expected[run]
        expected.status = "pending"
        for child in expected.asked_by if expected.waiting else ():
            if self.expected[child].status == "interrupted":
                self.answered(child)

    @precondition(lambda self: len(self.expected) > 8)
    @rule(index=ANY)
    def close(self, index: int) -> None:
        session = one(self.sessions, index)
        close_session(self.tenant.identity, session).run()
        for expected in self.expected.values():
            # Again it changes nothing: a run that went back to pending since will be cancelled when it is claimed.
            if session not in self.closed and self.root_of(expected) == session and expected.status not in TERMINAL:
                self.stop(expected)
        self.closed.add(session)

    # -- what workers do ---------------------------------------------------------------------------------------------

    @rule(index=ANY, slots=st.integers(1, 3), alone=st.sampled_from([False, False, True]))
    def claim(self, index: int, slots: int, alone: bool) -> None:
        worker = one(self.workers, index)
        rows = self.loop.run(claim(self.conn, worker, COMMON, slots, sources(Status.RUNNING), alone=alone))
        ready = [
            run
            for run, expected in self.expected.items()
            if self.is_ready(run, expected) and alone == (expected.crashes >= CRASHES_BEFORE_ALONE)
        ]
        assert len(rows) == min(1 if alone else slots, len(ready))
        for row in rows:
            assert row["id"] in ready
            held = Claimed(worker, row)
            self.expected[row["id"]].status, self.expected[row["id"]].holder = "running", held
            self.claims.append(held)

    @precondition(has_claims)
    @rule(index=ANY)
    def step(self, index: int) -> None:
        held = one(self.claims, index)
        commit = ending(held.row)
        commit.status = None
        commit.events[0]["event"] = "custom"
        if self.commit(held, commit):
            held.row["last_seq"] += 1
            held.row["step_count"] += 1

    @precondition(has_claims)
    @rule(index=ANY, status=st.sampled_from(["success", "error", "timeout", "cancelled"]))
    def finish(self, index: int, status: str) -> None:
        held = one(self.claims, index)
        if self.commit(held, ending(held.row, Status(status))):
            self.let_go(held, status)

    @precondition(has_claims)
    @rule(index=ANY)
    def finish_and_say_so_again(self, index: int) -> None:
        held = one(self.claims, index)
        if self.commit(held, ending(held.row)):
            self.let_go(held, "success")
        assert not self.commit(held, ending(held.row, Status.ERROR))

    @precondition(has_claims)
    @rule(index=ANY)
    def retry_later(self, index: int) -> None:
        held = one(self.claims, index)
        commit = ending(held.row, Status.PENDING)
        commit.events[0]["event"] = "status"
        commit.retry_in_s = 0
        if self.commit(held, commit):
            self.let_go(held, "pending")

    @precondition(has_claims)
    @rule(index=ANY)
    def ask_and_be_answered(self, index: int) -> None:
        held = one(self.current, index)
        self.clear_the_queue_behind(held)
        self.ask_with(held)
        self.resume(index)

    def clear_the_queue_behind(self, held: Claimed) -> None:
        """Most have somebody behind them, for whom they would end at once when they ask."""
        for run in self.queue_of(self.expected[held.row["id"]].session)[1:]:
            cancel_run(self.tenant.identity, run).run()
            self.stop(self.expected[run])

    @precondition(has_claims)
    @rule(index=ANY)
    def ask(self, index: int) -> None:
        self.ask_with(one(self.claims, index))

    def ask_with(self, held: Claimed) -> None:
        commit = ending(held.row, Status.INTERRUPTED)
        commit.events[0]["event"] = "interrupt"
        commit.interrupt = {"type": "custom", "value": None}
        if self.commit(held, commit):
            expected = self.expected[held.row["id"]]
            self.let_go(held, self.how_asking_ends(expected) or "interrupted")

    def how_asking_ends(self, expected: Expected) -> str | None:
        """How it ends where it may not wait for a person: as who is behind it has it, unless it is stopped."""
        if expected.stopped:
            return "cancelled"
        behind = self.queue_of(expected.session)[1:2]
        return next(("success" if self.expected[run].continues else "cancelled" for run in behind), None)

    @rule(index=ANY, count=st.integers(1, 2), late=st.sampled_from([False, False, True]))
    def delegate(self, index: int, count: int, late: bool) -> None:
        self.claim(index, 1, alone=False)
        if self.claims:
            self.delegate_with(one(self.claims if late else self.current, index), count)

    @precondition(lambda self: any(expected.waiting for expected in self.expected.values()))
    @rule(index=ANY)
    def cancel_a_parent(self, index: int) -> None:
        run = one([run for run, expected in self.expected.items() if expected.waiting], index)
        cancel_run(self.tenant.identity, run).run()
        self.stop(self.expected[run])
        self.look_after_relatives()

    def delegate_with(self, held: Claimed, count: int) -> None:
        commit = ending(held.row, Status.PENDING)
        commit.events[0]["event"] = "status"
        commit.children = [child_row(f"call_{nth}", ChildRun({"message": "Go."})) for nth in range(count)]
        if not self.commit(held, commit):
            return
        run = held.row["id"]
        expected = self.expected[run]
        self.let_go(held, "pending")
        if not expected.stopped:
            expected.waiting, expected.children = True, [UUID(row["child"]) for row in commit.children]
            status = "error" if self.depth(run) > MAX_DEPTH else "pending"
            for row in commit.children:
                self.expected[UUID(row["child"])] = Expected(UUID(row["session"]), status, parent=run)

    @rule()
    def look_after_relatives(self) -> None:
        run_rounds(rounds())
        while self.drew_a_conclusion():
            pass

    def drew_a_conclusion(self) -> bool:
        for run, expected in self.expected.items():
            if expected.status in TERMINAL:
                for child in self.expected.values():
                    if child.parent == run and child.status not in TERMINAL and not child.stopped:
                        self.stop(child)
                        return True
            elif expected.waiting:
                states = {child: self.expected[child].status for child in expected.children}
                asking = [child for child, status in states.items() if status == "interrupted"]
                under_way = [child for child, status in states.items() if status in {"pending", "running"}]
                if expected.status == "interrupted" and not asking:
                    expected.status, expected.waiting = "pending", bool(under_way)
                    return True
                if expected.status == "pending" and not under_way:
                    expected.asked_by, expected.waiting = asking, bool(asking)
                    if asking and (end := self.how_asking_ends(expected)):
                        self.end(expected, end)
                    elif asking:
                        expected.status = "interrupted"
                    return True
        return False

    @rule(index=ANY, count=st.integers(1, 2), answered=st.booleans())
    def children_ask(self, index: int, count: int, answered: bool) -> None:
        self.claim(index, 1, alone=False)
        if not self.claims:
            return
        held = one(self.current, index)
        self.clear_the_queue_behind(held)
        self.delegate_with(held, count)
        for _ in range(3):
            self.claim(index, 3, alone=False)
        children = self.expected[held.row["id"]].children
        for claimed in [claimed for claimed in self.claims if claimed.row["id"] in children]:
            self.ask_with(claimed)
        self.look_after_relatives()
        if answered:
            self.resume(index)

    @precondition(has_claims)
    @rule(index=ANY)
    def put_back_a_stray(self, index: int) -> None:
        held = one(self.claims, index)
        ours = self.holds(held.worker, held.row["id"])
        freed = put_back(held.worker, [held.row["id"]]).run()
        assert bool(freed) == ours
        if ours:
            self.expected[held.row["id"]].status, self.expected[held.row["id"]].holder = "pending", None

    @rule(index=ANY)
    def lose_a_worker(self, index: int) -> None:
        worker = one(self.workers, index)
        held = [run for run in self.expected if self.holds(worker, run)]
        rescued = rescue([worker]).run()
        assert {row["id"] for row in rescued} == set(held)
        for row in rescued:
            expected = self.expected[row["id"]]
            expected.status = "error" if expected.crashes >= CRASHES_BEFORE_ALONE else "pending"
            expected.crashes += 1
            expected.holder = None
        # Another process takes its place; what this one claimed may still try to write.
        self.workers[self.workers.index(worker)] = make_worker()

    # -- how -----------------------------------------------------------------------------------------------------------

    @property
    def current(self) -> list[Claimed]:
        """The claims that hold; all, where none does."""
        return [held for held in self.claims if self.expected[held.row["id"]].holder is held] or self.claims

    def commit(self, held: Claimed, commit: StepCommit) -> bool:
        """Commit as this claim's worker; refused are late writers, and who ends otherwise than it is to."""
        expected = self.expected[held.row["id"]]
        ours = expected.holder is held and not (expected.stopped and commit.status in {"success", "error", "timeout"})
        written = self.loop.run(commit_steps(self.conn, held.worker, [commit])).ours
        assert bool(written) == ours
        if ours:
            expected.crashes = 0
        return ours

    def stop(self, expected: Expected) -> None:
        """Somebody wants it to end: who runs is asked to."""
        expected.stopped = True
        if expected.status in {"pending", "interrupted"}:
            self.end(expected, "cancelled")

    def end(self, expected: Expected, status: str) -> None:
        expected.status, expected.waiting = status, False

    def let_go(self, held: Claimed, status: str) -> None:
        self.expected[held.row["id"]].status, self.expected[held.row["id"]].holder = status, None

    def holds(self, worker: UUID, run: UUID) -> bool:
        holder = self.expected[run].holder
        return holder is not None and holder.worker == worker

    def queue_of(self, session: UUID) -> list[UUID]:
        """The session's runs that have not ended, the oldest first."""
        return [
            run
            for run, expected in self.expected.items()
            if expected.session == session and expected.status not in TERMINAL
        ]

    def root_of(self, expected: Expected) -> UUID:
        """The session of the run at the top of its family."""
        return expected.session if expected.parent is None else self.root_of(self.expected[expected.parent])

    def depth(self, run: UUID) -> int:
        parent = self.expected[run].parent
        return 1 if parent is None else 1 + self.depth(parent)

    def is_ready(self, run: UUID, expected: Expected) -> bool:
        waits = expected.status != "pending" or expected.waiting
        return not waits and self.queue_of(expected.session)[0] == run

    # -- what always holds ---------------------------------------------------------------------------------------------

    @invariant()
    def rows_are_as_expected(self) -> None:
        found = Run.objects.values("id", "status", "ready", "waiting", "lease_owner", "finished_at", "number")
        for row in found:
            expected = self.expected[row["id"]]
            assert row["status"] == expected.status
            assert row["waiting"] == expected.waiting
            assert row["ready"] == self.is_ready(row["id"], expected)
            assert row["lease_owner"] == (expected.holder.worker if expected.holder else None)
            assert (row["finished_at"] is not None) == (expected.status in TERMINAL)
            assert row["number"] is not None or expected.status == "pending"
        assert len(found) == len(self.expected)

    @invariant()
    def the_oldest_unfinished_run_heads_its_session(self) -> None:
        for session, head, activity in Session.objects.values_list("id", "head_run_id", "activity"):
            assert head == next(iter(self.queue_of(session)), None)
            assert (activity == "interrupted") == (head is not None and self.expected[head].status == "interrupted")

    @invariant()
    def a_session_counts_its_runs_without_a_double(self) -> None:
        numbers = list(Run.objects.exclude(number=None).values_list("session_id", "number"))
        assert len(numbers) == len(set(numbers))

    @invariant()
    def every_log_is_whole_and_ends_once(self) -> None:
        logs: dict[UUID, list[tuple[int, str, Any]]] = {run: [] for run in self.expected}
        for run, seq, event, data in RunEvent.objects.order_by("seq").values_list("run_id", "seq", "event", "data"):
            logs[run].append((seq, event, data))
        for run, log in logs.items():
            assert_whole(log)
            ends = [event for _, event, _ in log].count("end")
            assert ends == (self.expected[run].status in TERMINAL)
            assert not ends or log[-1][1] == "end"


def answer_to(interrupt: dict[str, Any]) -> dict[str, Any]:
    if interrupt["type"] == "subagent":
        return answer_to(interrupt["interrupt"])
    if interrupt["type"] == "multiple":
        return {"responses": [{"tool_call_id": i["tool_call_id"], **answer_to(i)} for i in interrupt["interrupts"]]}
    return {"value": None}


def assert_whole(log: list[tuple[int, str, Any]]) -> None:
    """The numbers go up by one, but where a `superseded` event covers the jump."""
    previous = 0
    for seq, event, data in log:
        if event == "superseded":
            assert (data["from_seq"], data["to_seq"]) == (previous + 1, seq - 1)
        else:
            assert seq == previous + 1
        previous = seq


@pytest.fixture
def no_workers_left() -> Iterator[None]:
    Worker.objects.all().delete()
    yield
    Worker.objects.all().delete()


def test_whatever_happens_the_queue_stays_right(no_workers_left: None) -> None:
    sequences = int(os.environ.get("SEQUENCES", "25"))
    run_state_machine_as_test(
        Lives,
        settings=hypothesis.settings(
            max_examples=sequences,
            stateful_step_count=50,
            deadline=None,
            database=None,
            # To make a failing sequence shorter takes minutes: only where somebody waits for it.
            phases=set(hypothesis.Phase) - ({hypothesis.Phase.shrink} if sequences < 1_000 else set()),
            suppress_health_check=list(hypothesis.HealthCheck),
        ),
    )
