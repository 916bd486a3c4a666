"""The runner: one event loop in each Celery worker process that claims runs and carries them out.

Doorbells, finished runs and a slow poll wake it; it claims as many runs as it has free slots.
"""

import asyncio
import itertools
import logging
from uuid import UUID

import psycopg
from django.conf import settings
from psycopg.rows import dict_row
from psycopg_pool import PoolTimeout

from core.db import AsyncPool, Row, close_pool, configure_for_keys, open_pool
from core.redaction import in_logs
from runs.announce import announce, look_after
from runs.doorbell import doorbell
from runs.lifecycle import TERMINAL, Status, sources
from runs.notices import Notice, Process
from runs.pools import COMMON, Pool
from runs.queries import anything_waiting
from runs.services import give_up
from runs.worker.agents import agent_of
from runs.worker.claim import claim
from runs.worker.clock import DatabaseClock
from runs.worker.committer import Committer, LeaseLost
from runs.worker.conversation import Conversations
from runs.worker.execution import Execution
from runs.worker.isolation import PATIENCE_S, is_to_make_room
from runs.worker.journal import Journal
from runs.worker.listener import listen
from runs.worker.outcomes import Cancelled, HandedBack
from runs.worker.presence import Presence
from runs.worker.publisher import Publisher
from runs.worker.rescue import held_by, put_back, rescue_at_once, rescue_lost
from runs.worker.telemetry import Counted, Telemetry, count
from runs.worker.traffic.traffic import Traffic

log = logging.getLogger(__name__)

POLL_S = 1.0
# The doorbell wakes one worker, and it may be one of another pool: see `runs.worker.bootstep.DoorbellStep`.
POOL_POLL_S = 0.25
# How often it looks for dead workers, and each how many times at what it holds itself.
LOOK_AROUND_S = 0.25
LOOKS_AT_ITSELF = 2
# When a run that is to stop, and was claimed a moment ago, is looked for again.
STARTING_S = 0.05
OUTAGE_PAUSE_S = 0.5


class Runner:
    """Everything a worker process does with runs. Made and used inside one event loop."""

    def __init__(self, *, slots: int, pool: Pool):
        self.slots = slots
        self.pool = pool
        self._poll_s = POLL_S if pool == COMMON else POOL_POLL_S
        self._loop = asyncio.get_running_loop()
        self._wake = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._claiming = asyncio.Lock()
        self._executions: dict[str, tuple[Execution, asyncio.Task[None]]] = {}
        self._strays: set[UUID] = set()
        self._asked_to_stop = asyncio.Event()
        self._deaths: asyncio.Queue[Process] = asyncio.Queue()
        self._conversations = Conversations()
        self._clock = DatabaseClock()
        self._publisher = Publisher()
        self._traffic = Traffic(settings.PROVIDER_LIMITS)
        self._telemetry = Telemetry()
        self._draining = False
        self._making_room_since: float | None = None
        self._stopping = asyncio.Event()
        self._lost = asyncio.Event()
        self._presence = self._new_presence()

    # -- the process's side ----------------------------------------------------------------------------------------

    def wake(self) -> None:
        """Look for work now; may be called from any thread."""
        self._loop.call_soon_threadsafe(self._wake.set)

    async def run(self) -> None:
        """Work until `drain` has ended, or forever. Begins anew under a new identity when declared lost."""
        await open_pool(size=8, configure=configure_for_keys)
        async with AsyncPool(
            settings.DATABASE_URL,
            kwargs={"autocommit": True, "row_factory": dict_row},
            configure=_for_claims,
            min_size=1,
            max_size=1,
        ) as self._claims:
            while not self._draining:
                await self._live()
        await self._publisher.close()
        await self._traffic.close()
        await self._telemetry.close()
        await close_pool()

    async def drain(self, grace_s: float) -> None:
        """Claim no more; let runs finish for `grace_s` seconds; hand the rest back."""
        self._draining = True
        self._presence.draining = True
        async with self._claiming:
            pass  # a claim that was on its way has started its runs
        try:
            await asyncio.wait_for(self._idle.wait(), grace_s)
        except TimeoutError:
            log.info("Handing %d runs back.", len(self._executions))
            for execution, _ in list(self._executions.values()):
                execution.stop(HandedBack())
            await self._idle.wait()
        self._stopping.set()

    # -- one life as a worker --------------------------------------------------------------------------------------

    async def _live(self) -> None:
        await asyncio.to_thread(self._presence.start)
        self._committer = Committer(self._presence.id, self._wake)
        log.info("Worker %s is ready with %d slots.", self._presence.id, self.slots)
        chores = [
            asyncio.create_task(chore)
            for chore in (
                self._committer.run(),
                self._publisher.run(),
                self._traffic.run(),
                self._telemetry.run(),
                self._claim_forever(),
                self._look_around(),
                self._stop_when_asked(),
                self._rescue_when_told(),
                listen(self._heard),
            )
        ]
        ends = [asyncio.create_task(event.wait()) for event in (self._stopping, self._lost)]
        done, _ = await asyncio.wait([*chores, *ends], return_when=asyncio.FIRST_COMPLETED)
        for task in [*chores, *ends]:
            task.cancel()
        await asyncio.to_thread(self._presence.stop)
        if self._lost.is_set():
            log.warning("Worker %s was declared lost; its runs belong to others now.", self._presence.id)
            await self._abandon()
            self._lost.clear()
            self._presence = self._new_presence()
        for task in done:
            task.result()  # a chore that died takes the process with it

    def _new_presence(self) -> Presence:
        return Presence(slots=self.slots, pool=self.pool, on_beat=self._clock.set, on_lost=self._declared_lost)

    def _declared_lost(self) -> None:
        self._loop.call_soon_threadsafe(self._lost.set)

    async def _abandon(self) -> None:
        tasks = [task for _, task in self._executions.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # -- claiming ----------------------------------------------------------------------------------------------------

    async def _claim_forever(self) -> None:
        poll = False
        while True:
            try:
                claimed = await self._claim(poll)
            except (psycopg.OperationalError, PoolTimeout) as error:
                log.warning("Claiming waits for PostgreSQL: %s", error)
                await asyncio.sleep(OUTAGE_PAUSE_S)
                continue
            if claimed:
                continue
            try:
                await asyncio.wait_for(self._wake.wait(), self._poll_s)
                poll = False
            except TimeoutError:
                poll = True
            self._wake.clear()

    @property
    def _free_slots(self) -> int:
        if self._draining or any(execution.suspect for execution, _ in self._executions.values()):
            return 0
        return self.slots - len(self._executions)

    async def _claim(self, poll: bool) -> bool:
        """Claim what fits; gives whether the claim was a full one, so that another may follow."""
        async with self._claiming:
            slots = self._free_slots
            if slots <= 0 or (poll and not await anything_waiting(self.pool).arun()):
                return False
            if alone := self._making_room_since is not None:
                if self._executions:
                    return False
                self._making_room_since = None
            async with self._claims.connection() as conn:
                rows = await claim(conn, self._presence.id, self.pool, slots, sources(Status.RUNNING), alone=alone)
            if rows:
                await self._start(rows)
            # Where somebody else took the suspect, the others' turn is at once.
            return len(rows) == slots or (alone and not rows)

    async def _start(self, rows: list[Row]) -> None:
        self._clock.at_least(max(row["claimed_at"] for row in rows))
        conversations = await self._conversations.load(rows)
        for row in rows:
            run_id = str(row["id"])
            execution = Execution(
                row,
                agent=await agent_of(row, conversations[row["id"]]),
                conversation=conversations[row["id"]],
                journal=Journal(
                    run_id=run_id,
                    session_id=str(row["session_id"]),
                    number=row["number"],
                    committed=row["last_seq"],
                    publisher=self._publisher,
                    now=self._clock.now,
                ),
                committer=self._committer,
                traffic=self._traffic,
                worker_id=str(self._presence.id),
                assured=self._presence.assured,
            )
            count(Counted.AGENT_START)
            if row["attempt"] == 1:
                count(Counted.EXECUTION_START)
            self._idle.clear()
            self._executions[run_id] = (execution, asyncio.create_task(self._carry_out(execution)))
        self._presence.used = len(self._executions)

    async def _carry_out(self, execution: Execution) -> None:
        saturated = self._free_slots <= 0
        try:
            last = await execution.carry_out()
        except LeaseLost:
            log.warning("run %s was taken over; what this worker still had is dropped", execution.run_id)
        except Exception as error:
            # The edge: PostgreSQL refuses what the step made. A run that nobody can record must not hold its session.
            log.exception("run %s cannot be recorded", execution.run_id)
            count(Counted.AGENT_CRASH)
            reason = in_logs.text(f"{type(error).__name__}: {error}")
            await give_up(UUID(execution.run_id), self._presence.id, reason).arun()
            await self._look_after(execution)
        else:
            self._conversations.keep(execution.conversation)
            if last.status in TERMINAL:
                count(Counted.EXECUTION_STOP)
            if last.status == Status.PENDING:
                # Its next attempt; a worker that is elsewhere by then finds it by its poll.
                self._loop.call_later(last.retry_in_s or 0, self._wake.set)
                if self._draining:
                    doorbell.ring()
            elif last.status == Status.INTERRUPTED:
                count(Counted.EXECUTION_INTERRUPT)
                # It may have ended with the same commit; no journal tells that.
                await asyncio.to_thread(announce, UUID(last.session_id), UUID(last.run_id))
            if last.children:
                doorbell.ring()
            await self._look_after(execution, delegated=bool(last.children))
        finally:
            count(Counted.AGENT_STOP)
            del self._executions[execution.run_id]
            self._presence.used = len(self._executions)
            if not self._executions:
                self._idle.set()
            # Work may have waited for this slot, or for the assistant to have fewer runs.
            if saturated or execution.capped:
                self._wake.set()

    async def _look_after(self, execution: Execution, *, delegated: bool = False) -> None:
        """Tell its parent and its children of the run's last commit; where that fails the next look around does."""
        if not (execution.has_family or delegated):
            return
        try:
            if await look_after([UUID(execution.run_id)]):
                self._wake.set()
        except (psycopg.OperationalError, PoolTimeout) as error:
            log.warning("What follows from run %s waits for PostgreSQL: %s", execution.run_id, error)

    # -- looking around ------------------------------------------------------------------------------------------

    async def _look_around(self) -> None:
        """Rescue what dead workers left, and compare what this one holds with what it carries out."""
        for nth in itertools.count():
            await asyncio.sleep(LOOK_AROUND_S)
            try:
                if rescued := await rescue_lost():
                    log.warning("Rescued %d runs of lost workers.", len(rescued))
                    count(Counted.AGENT_CRASH, len(rescued))
                    self._wake.set()
                if nth % LOOKS_AT_ITSELF == 0:
                    if await look_after():
                        self._wake.set()
                    await self._compare()
                    await self._make_room()
            except (psycopg.OperationalError, PoolTimeout) as error:
                log.warning("Looking around waits for PostgreSQL: %s", error)

    async def _compare(self) -> None:
        """Stop what is to be cancelled; put back what is held and not carried out.

        An outage in the middle of a claim leaves such runs behind. One that is seen so twice is not just starting.
        """
        held = await self._stop_cancelled()
        strays = {run_id for run_id in held if str(run_id) not in self._executions}
        if forgotten := list(strays & self._strays):
            log.warning("Putting %d runs back that were claimed and not started.", len(forgotten))
            await put_back(self._presence.id, forgotten).arun()
            self._wake.set()
        self._strays = strays

    async def _stop_cancelled(self) -> dict[UUID, Cancelled | None]:
        """Stop those of the runs held that are to be cancelled; gives all of them."""
        held = await held_by(self._presence.id).arun()
        for run_id, cancelled in held.items():
            if cancelled and (known := self._executions.get(str(run_id))):
                known[0].stop(cancelled)
        return held

    def _heard(self, notice: Notice) -> None:
        # One that is being claimed at this moment may be meant, too.
        ours = self._executions.keys() | {execution.session_id for execution, _ in self._executions.values()}
        if notice.stop and (self._claiming.locked() or notice.stop & ours):
            self._asked_to_stop.set()
        if notice.died is not None:
            self._deaths.put_nowait(notice.died)
        if notice.said is not None:
            for execution, _ in self._executions.values():
                if execution.session_id == notice.said.session_id:
                    execution.say(notice.said)

    async def _rescue_when_told(self) -> None:
        """Look after the runs of workers whose supervisor saw them end, before the next round."""
        while True:
            died = await self._deaths.get()
            try:
                if rescued := await rescue_at_once(died):
                    log.warning("Rescued %d runs of the process %d, which has ended.", len(rescued), died.pid)
                    count(Counted.AGENT_CRASH, len(rescued))
            except (psycopg.OperationalError, PoolTimeout) as error:
                log.warning("Rescuing waits for PostgreSQL: %s", error)
            # Whoever of the workers rescued them, each may have room for some.
            self._wake.set()

    async def _stop_when_asked(self) -> None:
        """Stop at once what a notice is about; of many notices one look takes all that have come."""
        while True:
            await self._asked_to_stop.wait()
            self._asked_to_stop.clear()
            try:
                held = await self._stop_cancelled()
            except (psycopg.OperationalError, PoolTimeout) as error:
                log.warning("Stopping what is to be cancelled waits for PostgreSQL: %s", error)
                continue
            if any(cancelled and str(run_id) not in self._executions for run_id, cancelled in held.items()):
                # Claimed, and not begun yet.
                self._loop.call_later(STARTING_S, self._asked_to_stop.set)

    async def _make_room(self) -> None:
        """Become empty for a run that must be carried out alone, where this worker is the one to."""
        if self._draining or not await is_to_make_room(self._presence.id, self.pool).arun():
            self._making_room_since = None
            return
        now = self._loop.time()
        if self._making_room_since is None:
            self._making_room_since = now
        if now - self._making_room_since > PATIENCE_S:
            for execution, _ in self._executions.values():
                execution.leave()
        if not self._executions:
            self._wake.set()


async def _for_claims(conn: psycopg.AsyncConnection[Row]) -> None:
    await configure_for_keys(conn)
    # A claim that a crash forgets leaves a pending run, and the fence refuses its late writer.
    await conn.execute("SET synchronous_commit = off")
