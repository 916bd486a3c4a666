"""One run in one worker: begin, then step after step until an outcome ends it.

claim -> [ step -> commit ] -> [ step -> commit ] -> ... -> the commit that ends it
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any, Literal

from core.db import Row
from core.ids import new_id
from runs.models import CRASHES_BEFORE_ALONE
from runs.worker.commit import StepCommit
from runs.worker.committer import Committer
from runs.worker.conversation import Conversation
from runs.worker.journal import Journal
from runs.worker.outcomes import (
    Cancelled,
    Failed,
    Finished,
    HandedBack,
    Outcome,
    StepTimeout,
    TimedOut,
    UnexpectedError,
)
from runs.worker.recorder import Recorder
from runtime.contract import BaseAgent, Step, ToolRecord
from runtime.errors import AgentError

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
        worker_id: str,
        assured: Callable[[], Awaitable[None]],
    ):
        self.run_id = str(claim["id"])
        self.capped: bool = claim["capped"]
        # Until its step is committed it may take the process with it: nothing else is carried out beside it.
        self.suspect: bool = claim["crashes"] >= CRASHES_BEFORE_ALONE
        self.conversation = conversation
        self._agent = agent
        self._journal = journal
        self._committer = committer
        self._assured = assured
        self._recorder = Recorder(claim, conversation, journal, worker_id)
        self._io = _IO(claim, journal)
        self._deadline = time.monotonic() + claim["time_left_s"]
        self._step_timeout_s = float(agent.spec.config["step_timeout_s"])
        self._stop: Outcome | None = Cancelled(claim["superseded"]) if claim["cancel_requested_at"] else None
        self._in_flight: asyncio.Task[Step] | None = None

    async def carry_out(self) -> StepCommit:
        """Step until the run ends, is handed back or waits; gives the last commit, which says which.

        Raises LeaseLost when another worker has taken the run over, or it was to be rolled back as it ended.
        """
        self._recorder.begin()
        while True:
            started, clock = self._journal.now(), time.perf_counter()
            outcome = await self._next_outcome()
            commit = self._recorder.record(outcome, started, (time.perf_counter() - clock) * 1_000)
            cancelled = await self._committer.submit(commit)
            self._journal.commit()
            self.suspect = False
            if commit.status is not None:
                return commit
            if cancelled:
                self._stop = cancelled

    def stop(self, outcome: Outcome) -> None:
        """End the run's stay here with this outcome: the step in flight is cancelled, not awaited."""
        self._stop = self._stop or outcome
        if self._in_flight is not None:
            self._in_flight.cancel()

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
        self._in_flight = asyncio.ensure_future(self._agent.step(self._recorder.state(), self._io))
        try:
            async with asyncio.timeout(min(time_left, self._step_timeout_s)):
                return Finished(await self._in_flight)
        except TimeoutError:
            if time.monotonic() >= self._deadline:
                return TimedOut()
            return Failed(StepTimeout(f"The step took longer than {self._step_timeout_s:g} s."))
        except asyncio.CancelledError:
            # By `stop()`, or by the end of this process's loop.
            if (asked := self._asked()) is None:
                raise
            return asked
        except AgentError as error:
            return Failed(error)
        except Exception as error:
            # The executor's edge: an agent's or tool's own bug ends its run, never the worker.
            log.exception("run %s: the agent raised", self.run_id)
            return Failed(UnexpectedError(f"{type(error).__name__}: {error}"))
        finally:
            self._in_flight = None


class _IO:
    """What the agent sees of its run while it steps (`runtime.contract.StepIO`)."""

    def __init__(self, claim: Row, journal: Journal):
        self.run_id = str(claim["id"])
        self.session_id = str(claim["session_id"])
        self.workspace_id = str(claim["workspace_id"])
        self.user_id: str | None = claim["user_id"]
        self.attempt: int = claim["attempt"]
        self._journal = journal

    def token(self, message_id: str, text: str, kind: Literal["text", "reasoning"] = "text") -> None:
        self._journal.token(message_id, text, kind)

    def tool_result(self, record: ToolRecord) -> None:
        document = record.document()
        self._journal.tell("tool_result", {k: v for k, v in document.items() if k != "args"})

    def custom(self, name: str, value: Any) -> None:
        self._journal.tell("custom", {"name": name, "value": value})

    def new_id(self) -> str:
        return str(new_id())
