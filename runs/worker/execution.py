"""One run in one worker: begin, then step after step until an outcome ends it.

claim -> [ step -> commit ] -> [ step -> commit ] -> ... -> the commit that ends it

How often it commits is the run's durability: `sync` after each step, before the next begins; `async` after each step,
while the next one is carried out; `exit` once, when the run leaves the worker: ended, waiting, to be tried again or
handed back.
"""

import asyncio
import logging
import time
import weakref
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any
from uuid import UUID

from core.cancelling import is_to_stop
from core.db import Row
from core.redaction import Redactor
from runs.models import CRASHES_BEFORE_ALONE, Durability
from runs.notices import Said
from runs.worker.artifacts import Artifacts
from runs.worker.committer import Committer, LeaseLost, MustCancel
from runs.worker.conversation import Conversation
from runs.worker.journal import Journal
from runs.worker.keeping import Keeper
from runs.worker.outcomes import (
    Cancelled,
    Failed,
    Finished,
    HandedBack,
    Outcome,
    Postponed,
    StepTimeout,
    TimedOut,
    UnexpectedError,
)
from runs.worker.outside import Outside, with_changes
from runs.worker.recorder import Recorder
from runs.worker.step_commit import StepCommit
from runs.worker.step_files import StepFiles
from runs.worker.step_io import RunIO, redact, refuse_unless_json
from runs.worker.telemetry import Counted, count
from runs.worker.traffic.traffic import WAIT_S, Traffic
from runtime.contract import BaseAgent, ChildRun, Message, Step
from runtime.errors import AgentError, MustWait
from runtime.interrupts import sound_interrupt
from runtime.secrets import redactor
from runtime.values import METADATA, check_metadata

log = logging.getLogger(__name__)


class Execution:
    """Carries out one claimed run. `stop()` may be called at any time from the same loop.

    `assured` waits until the worker's lease is known to hold; each step waits for it.
    """

    def __init__(
        self,
        claim: Row,
        *,
        agent: BaseAgent,
        conversation: Conversation,
        journal: Journal,
        committer: Committer,
        traffic: Traffic,
        worker_id: str,
        assured: Callable[[], Awaitable[None]],
    ):
        self.run_id = str(claim["id"])
        self.session_id = str(claim["session_id"])
        self.capped: bool = claim["capped"]
        # Until its step is committed it may take the process with it: nothing else is carried out beside it.
        self.suspect: bool = claim["crashes"] >= CRASHES_BEFORE_ALONE
        # Whether other runs wait for its end, or end with it.
        self.has_family = claim["parent_run_id"] is not None or claim["delegated_at"] is not None
        self.conversation = conversation
        self._agent = agent
        self._journal = journal
        self._committer = committer
        self._assured = assured
        patience_s = agent.spec.config.get("interrupt_timeout_s")
        self._recorder = Recorder(
            claim,
            conversation,
            journal,
            worker_id,
            interrupt_timeout_s=patience_s,
            speaks_itself=agent.takes_any_input,
        )
        self._deadline = time.monotonic() + claim["time_left_s"]
        self._step_timeout_s = float(agent.spec.config["step_timeout_s"])
        # What waits in its slot must not be taken for a step that hangs.
        self._redactor = redactor(agent.spec.secrets)
        # A late writer of results ends as a late writer of steps does: the next commit is refused.
        keeper = Keeper(claim, worker_id, self._redactor, on_lost=_handing_back(self))
        self._artifacts = Artifacts(self.session_id, self._redactor)
        self._files = StepFiles(claim, self._redactor)
        wait_s = min(WAIT_S, self._step_timeout_s / 2)
        self._io = RunIO(claim, journal, traffic, self._redactor, keeper, self._files, self._artifacts, wait_s=wait_s)
        self._outside = Outside(self.run_id, agent, journal)
        self._stop: Outcome | None = Cancelled(claim["superseded"]) if claim["cancel_requested_at"] else None
        self._in_flight: asyncio.Task[Step] | None = None
        self._writes_beside: bool = claim["durability"] == Durability.ASYNC
        self._writing: asyncio.Future[Cancelled | None] | None = None  # the commit that is not known to be on disk

    async def carry_out(self) -> StepCommit:
        """Step until the run ends, is handed back or waits; gives the last commit, which says which.

        Raises LeaseLost when another worker has taken the run over.
        """
        self._begin()
        try:
            while True:
                started, clock = self._journal.now(), time.perf_counter()
                outcome = await self._next_outcome()
                duration_ms = (time.perf_counter() - clock) * 1_000
                await self._written()
                made = self._files.take(), self._artifacts.take()
                commit = self._recorder.record(outcome, started, duration_ms, *made, self._left_by(outcome))
                if commit is None:
                    continue
                self._write(commit)
                if commit.status is not None:
                    await self._ended_with(commit)
                    return commit
                if not self._writes_beside:
                    await self._written()
        finally:
            self._agent.left(self.run_id)
            if self._writing is not None:
                self._writing.cancel()

    async def _ended_with(self, commit: StepCommit) -> None:
        """Wait for the last commit; a run that was asked to stop by then ends cancelled all the same. Raises LeaseLost.

        The answer to a cancel says that it will.
        """
        try:
            await self._written()
        except MustCancel as refused:
            self._recorder.end_cancelled(commit, refused.how)
            self._write(commit)
            await self._written()

    def _write(self, commit: StepCommit) -> None:
        """Have the commit written; with durability `async` the next step is carried out meanwhile."""
        self._writing = asyncio.ensure_future(self._committer.submit(commit))
        if self._writes_beside:
            self._writing.add_done_callback(self._look_at)

    def _look_at(self, writing: "asyncio.Future[Cancelled | None]") -> None:
        """What a commit found must not wait for the step in flight; `_written` raises what there is to raise."""
        if writing.cancelled():
            return
        if writing.exception() is not None:
            self.stop(HandedBack())
        elif (cancelled := writing.result()) is not None:
            self.stop(cancelled)

    async def _written(self) -> None:
        """Wait until the commit that is on its way is on disk. Raises LeaseLost."""
        if self._writing is None:
            return
        cancelled = await self._writing
        self._writing = None
        self._journal.commit()
        self._files.written()
        self._artifacts.written()
        self.suspect = False
        if cancelled is not None:
            self._stop = cancelled

    def stop(self, outcome: Outcome) -> None:
        """End the run's stay here with this outcome: the step in flight is cancelled, not awaited."""
        self._stop = self._stop or outcome
        if self._in_flight is not None:
            self._in_flight.cancel()

    def say(self, said: Said) -> None:
        """Give the agent's middleware a message, before the next step."""
        self._outside.say(said)

    def leave(self) -> None:
        """Hand the run back after the step in flight."""
        self._stop = self._stop or HandedBack()

    def _asked(self) -> Outcome | None:
        return self._stop

    async def _next_outcome(self) -> Outcome:
        await self._assured()
        if (asked := self._asked()) is not None:
            return asked
        time_left = self._deadline - time.monotonic()
        if time_left <= 0:
            return TimedOut()
        self._files.begin()
        state = self._recorder.state()
        changed = self._outside.heard(state)
        self._in_flight = asyncio.ensure_future(self._agent.step(state, self._io))
        try:
            async with asyncio.timeout(min(time_left, self._step_timeout_s)):
                step = with_changes(await self._in_flight, changed)
            return Finished(self._checked(step))
        except TimeoutError:
            if time.monotonic() >= self._deadline:
                return TimedOut()
            return Failed(StepTimeout(f"The step took longer than {self._step_timeout_s:g} s."))
        except asyncio.CancelledError:
            # By `stop()`, by the end of this process's loop, or by the agent itself: something that it awaited was
            # cancelled, and its run must not be taken for one that was claimed and not started.
            if (asked := self._asked()) is not None:
                return asked
            if is_to_stop():
                raise
            count(Counted.AGENT_CRASH)
            return Failed(UnexpectedError("The agent awaited something that was cancelled."))
        except MustWait as wait:
            # Not beyond the end of its time, which whoever claims it then tells.
            return Postponed(max(0.0, min(wait.wait_s, self._deadline - time.monotonic())))
        except LeaseLost:
            raise
        except Exception as error:  # noqa: BLE001  (the executor's edge)
            return self._failure(error)
        finally:
            self._in_flight = None

    def _checked(self, step: Step) -> Step:
        return _checked(step, self._redactor, own_state=self._agent.takes_any_input)

    def _left_by(self, outcome: Outcome) -> Step | None:
        """What is to be stored of a step that did not finish."""
        if isinstance(outcome, Finished):
            return None
        try:
            left = self._agent.unfinished(self.run_id)
            return None if left is None else self._checked(left)
        except Exception:
            # The edge: how the run ended is what matters.
            log.exception("run %s: what its step left cannot be stored", self.run_id)
            return None

    def _failure(self, error: Exception) -> Failed:
        """An agent's or tool's own bug ends its run, never the worker."""
        if isinstance(error, AgentError):
            error.say(self._redactor.text(error.message))
            return Failed(error)
        log.error("run %s: the agent raised", self.run_id, exc_info=error)
        count(Counted.AGENT_CRASH)
        return Failed(UnexpectedError(self._redactor.text(f"{type(error).__name__}: {error}")))

    def _begin(self) -> None:
        """Begin to tell; a message that the agent does not take ends the run before its first step."""
        try:
            self._recorder.begin(self._incoming)
        except Exception as error:  # noqa: BLE001  (the executor's edge)
            self._stop = self._stop or self._failure(error)

    def _incoming(self, message: Message) -> Message:
        """A message of the run's input, as the agent wants it."""
        taken = self._agent.incoming(message)
        if taken is not message:
            refuse_unless_json("A message", [taken.content, taken.metadata])
            # Who wrote it, and which one it is, is not the agent's to say.
            taken.id, taken.role = message.id, message.role
        return taken


def _handing_back(execution: Execution) -> Callable[[], None]:
    """What stops the execution for a worker that has lost its run. It does not hold it: an execution is much, and is
    freed with its end rather than by the garbage collector."""
    its = weakref.ref(execution)

    def hand_back() -> None:
        if (held := its()) is not None:
            held.stop(HandedBack())

    return hand_back


def _checked(step: Step, redactor: Redactor, *, own_state: bool) -> Step:
    """The step, with what it asks a person as readers and answers find it, and without secrets. Raises AgentError.

    What is not JSON would be refused with all that is committed beside it. What a model says is left as it is: its
    tokens have been heard by then, and it has seen no secret. `own_state`: no key of the state means anything here.
    """
    if step.changes or step.structured is not None:
        refuse_unless_json("What a step keeps", [step.changes, step.structured])
    if METADATA in step.changes and not own_state:
        _refuse_unless_metadata(step.changes[METADATA])
    if step.kind == "custom":
        refuse_unless_json("A message", [[message.content, message.metadata] for message in step.messages])
    if step.interrupt is not None:
        if step.done:
            raise AgentError("A step that asks a person cannot be the last one.")
        step.interrupt = redactor.value(sound_interrupt(step.interrupt))
    if step.children:
        if step.done or step.interrupt is not None:
            raise AgentError("A step that has other runs carry something out neither ends nor asks a person.")
        step.children = {call_id: _sound_child(child, redactor) for call_id, child in step.children.items()}
    if step.kind != "model":
        for message in step.messages:
            message.content, message.metadata = redactor.value(message.content), redactor.value(message.metadata)
        for record in step.tool_calls:
            redact(record, redactor)
    _redact_kept(step, redactor)
    return step


def _redact_kept(step: Step, redactor: Redactor) -> None:
    """Take the secrets out of what the step keeps; what it keeps as its output too is looked through once."""
    given, step.structured = step.structured, redactor.value(step.structured)
    of_output = given if isinstance(given, dict) else {}
    changes: dict[str, Any] = {}
    for key, value in step.changes.items():
        name = redactor.text(key)
        changes[name] = step.structured[name] if of_output.get(key, step) is value else redactor.value(value)
    step.changes = changes


def _refuse_unless_metadata(value: Any) -> None:
    try:
        check_metadata(value)
    except ValueError as error:
        raise AgentError(str(error), code=UnexpectedError.code) from None


def _sound_child(child: ChildRun, redactor: Redactor) -> ChildRun:
    refuse_unless_json("What another run is given", child.input)
    try:
        assistant_id = child.assistant_id and str(UUID(child.assistant_id))
    except ValueError:
        raise AgentError(f"{child.assistant_id!r} is not the id of an assistant.") from None
    told = {"input": redactor.value(child.input), "title": redactor.text(child.title)}
    return replace(child, assistant_id=assistant_id, **told)
