"""What a run's outcomes are in rows and events.

A recorder holds the run's totals and its conversation. It is ahead of PostgreSQL by the one commit that it has made
last; where that commit is refused, the recorder and its conversation are thrown away.
"""

from typing import Any

from core.db import Row
from core.ids import new_id
from core.text import clean
from runs.ending import Superseded
from runs.inputs import input_messages
from runs.lifecycle import Status
from runs.worker.claim import TRANSFERRING
from runs.worker.commit import StepCommit
from runs.worker.conversation import Conversation
from runs.worker.journal import Journal
from runs.worker.outcomes import (
    Cancelled,
    Failed,
    Finished,
    HandedBack,
    Outcome,
    Postponed,
    TimedOut,
    error_document,
    retry_delay_s,
)
from runtime.contract import Message, State, Step, Usage
from runtime.errors import AgentError, ModelError, ModelUnavailable
from runtime.history import answers_for_open_calls
from sessions.documents import message_row
from sessions.models import CheckpointSource

MODEL_CALLS = "model_calls"  # the session's state key that counts finished model calls

_SOURCES = {
    "model": CheckpointSource.MODEL,
    "tools": CheckpointSource.TOOLS,
    "custom": CheckpointSource.UPDATE,
}


class Recorder:
    """Turns the outcomes of one claimed run into commits, in order."""

    def __init__(self, claim: Row, conversation: Conversation, journal: Journal, worker_id: str):
        self.conversation = conversation
        self._claim = claim
        self._run_id = str(claim["id"])
        self._journal = journal
        self._worker_id = worker_id
        self._usage = Usage(claim["input_tokens"], claim["output_tokens"], claim["cost_usd"])
        self._step_count: int = claim["step_count"]
        self._model_calls: int = claim["model_calls"]
        self._failures: int = claim["failures"]
        self._checkpoint_id: str | None = claim["checkpoint_id"] and str(claim["checkpoint_id"])
        self._message_start: int = len(conversation.messages)
        self._fresh: list[Message] = []  # the run's input, until the first commit has it

    def begin(self) -> None:
        """Tell that the run goes on here, and take its input into the conversation if that is new."""
        claim, journal = self._claim, self._journal
        journal.tell(
            "metadata",
            {
                "session_id": str(claim["session_id"]),
                "assistant_id": str(claim["assistant_id"]),
                "assistant_version": claim["assistant_version"],
                "attempt": claim["attempt"],
                "worker_id": self._worker_id,
            },
        )
        if claim["transferred"]:
            journal.tell("custom", {"name": "node_transferred", "value": {"to_node": self._worker_id}})
        journal.tell("status", {"status": Status.RUNNING, "attempt": claim["attempt"], "next_attempt_at": None})
        if claim["message_start"] is not None:
            self._message_start = claim["message_start"]
        else:
            self._fresh = input_messages(claim["input"], claim["id"])
            for offset, message in enumerate(self._fresh):
                journal.tell("message", self._message(message, self._message_start + offset + 1))

    def state(self) -> State:
        """What the next step begins with."""
        conversation = self.conversation
        return State(
            messages=conversation.messages + self._fresh,
            values=conversation.values,
            input=self._claim["input"],
            run_start=self._message_start,
            model_calls=self._model_calls,
            session_model_calls=conversation.values.get(MODEL_CALLS, 0),
        )

    def record(self, outcome: Outcome, started: str, duration_ms: float) -> StepCommit:
        """The outcome as rows and events, and as the run's new totals."""
        base_seq = self._journal.committed
        match outcome:
            case Finished(step):
                commit = self._finished(step, started, duration_ms)
            case Failed(error):
                commit = self._failed(error, started, duration_ms)
            case TimedOut():
                commit = self._ended(Status.TIMEOUT, AgentError("The run took too long.", code="run_timeout"))
            case Cancelled(superseded):
                commit = self._ended(Status.CANCELLED, Superseded() if superseded else None)
            case HandedBack():
                commit = self._handed_back()
            case Postponed(delay_s):
                commit = self._put_off(delay_s)
        commit.run = {
            "base_seq": base_seq,
            "last_seq": self._journal.last_seq,
            "step_count": self._step_count,
            "model_calls": self._model_calls,
            "input_tokens": self._usage.input_tokens,
            "output_tokens": self._usage.output_tokens,
            "cost_usd": self._usage.cost_usd,
            "failures": self._failures,
            "checkpoint_id": self._checkpoint_id,
            "message_start": self._message_start,
        }
        commit.events = self._journal.rows()
        return commit

    def _finished(self, step: Step, started: str, duration_ms: float) -> StepCommit:
        self._failures = 0
        changes = dict(clean(step.changes))
        if step.model is not None:
            self._model_calls += 1
            self._usage.add(step.model.usage)
            changes[MODEL_CALLS] = self.conversation.values.get(MODEL_CALLS, 0) + 1
        commit = self._commit_with(step.messages, step.kind, list(step.next), changes, list(step.removed))
        commit.step = self._step_row(step.kind, "ok", started, duration_ms, step)
        for message in step.messages:
            for call in message.tool_calls:
                self._journal.hold("tool_call", {**call.document(), "message_id": message.id})
        if step.model is not None:
            self._journal.hold("usage", {**step.model.usage.document(), "model": step.model.model})
        if step.done:
            commit.status = Status.SUCCESS
            commit.output = self._output(step)
            self._hold_end(Status.SUCCESS, commit.output, None)
        return commit

    def _failed(self, error: AgentError, started: str, duration_ms: float) -> StepCommit:
        self._failures += 1
        changes = {}
        if isinstance(error, ModelError) and not isinstance(error, ModelUnavailable):
            changes[MODEL_CALLS] = self.conversation.values.get(MODEL_CALLS, 0) + 1
        delay = retry_delay_s(self._claim["retry_policy"], error, self._failures)
        if delay is None:
            commit = self._ended(Status.ERROR, error, changes)
        else:
            self._supersede("retry")
            document = clean(error_document(error, retryable=True))
            self._journal.hold("error", {**document, "attempt": self._claim["attempt"]})
            self._hold_pending(delay)
            commit = self._commit_with([], "custom" if changes else None, ["model"], changes, [])
            commit.status, commit.retry_in_s = Status.PENDING, delay
        kind = "model" if isinstance(error, ModelError) else "custom"
        commit.step = self._step_row(kind, "error", started, duration_ms, None)
        return commit

    def _handed_back(self) -> StepCommit:
        commit = self._put_off(None)
        # The last of its events: see `runs.worker.claim`.
        self._journal.hold("custom", {"name": TRANSFERRING, "value": {"from_node": self._worker_id}})
        return commit

    def _put_off(self, delay_s: float | None) -> StepCommit:
        """Back to the queue as if the step in flight had not begun; None: at once."""
        self._supersede("retry")
        self._hold_pending(delay_s)
        commit = self._commit_with([], None, [], {}, [])
        commit.status, commit.retry_in_s = Status.PENDING, delay_s
        return commit

    def _ended(self, status: Status, error: AgentError | None, changes: dict[str, Any] | None = None) -> StepCommit:
        document = None if error is None else clean(error_document(error, retryable=False))
        own = self.conversation.messages[self._message_start :]
        commit = self._commit_with(answers_for_open_calls(own), None, [], changes or {}, [])
        commit.status, commit.error = status, document
        if document is not None:
            self._journal.hold("error", {**document, "attempt": self._claim["attempt"]})
        self._hold_end(status, None, document)
        return commit

    def _commit_with(
        self,
        messages: list[Message],
        source: str | None,
        following: list[str],
        changes: dict[str, Any],
        removed: list[str],
    ) -> StepCommit:
        """The commit's rows for the session: messages, the input's checkpoint before the first step, and the step's.

        `source` None writes no checkpoint of the step's own unless messages or changes call for one.
        """
        conversation = self.conversation
        commit = StepCommit(
            run_id=self._run_id,
            session_id=conversation.session_id,
            epoch=self._claim["epoch"],
            run={},
            session={},
        )
        if self._fresh:
            self._append(commit, self._fresh)
            self._checkpoint(commit, CheckpointSource.INPUT, ["model"], {}, [])
            self._fresh = []
        for offset, message in enumerate(messages):
            message.content = clean(message.content)
            self._journal.hold("message", self._message(message, len(conversation.messages) + offset + 1))
        self._append(commit, messages)
        conversation.values = {k: v for k, v in conversation.values.items() if k not in removed} | changes
        # Whatever changes the state is in a checkpoint: a run is taken out by going back to the one before it.
        if source is not None or messages or changes:
            kind = CheckpointSource.END if source is None else _SOURCES[source]
            self._checkpoint(commit, kind, following, changes, removed)
        commit.session = {
            "message_count": len(conversation.messages),
            "step": conversation.step,
            "checkpoint_id": conversation.checkpoint_id,
            "state": conversation.values if changes or removed else None,
        }
        return commit

    def _append(self, commit: StepCommit, messages: list[Message]) -> None:
        for message in messages:
            self.conversation.messages.append(message)
            commit.messages.append(self._message(message, len(self.conversation.messages)))

    def _message(self, message: Message, seq: int) -> dict[str, Any]:
        return {
            **clean(message_row(message)),
            "session_id": self.conversation.session_id,
            "run_id": self._run_id,
            "seq": seq,
            "created_at": self._journal.now(),
        }

    def _checkpoint(
        self,
        commit: StepCommit,
        source: str,
        following: list[str],
        changes: dict[str, Any],
        removed: list[str],
    ) -> None:
        conversation = self.conversation
        checkpoint_id = str(new_id())
        row = {
            "id": checkpoint_id,
            "session_id": conversation.session_id,
            "run_id": self._run_id,
            "parent_id": conversation.checkpoint_id,
            "step": conversation.step + 1,
            "source": source,
            "next": following,
            "message_count": len(conversation.messages),
            "changes": changes,
            "removed": removed,
        }
        commit.checkpoints.append(row)
        conversation.checkpoint_id = self._checkpoint_id = checkpoint_id
        conversation.step += 1
        self._journal.hold(
            "checkpoint",
            {
                "checkpoint_id": row["id"],
                "parent_id": row["parent_id"],
                "step": row["step"],
                "source": source,
            },
        )

    def _step_row(self, kind: str, status: str, started: str, duration_ms: float, step: Step | None) -> dict[str, Any]:
        self._step_count += 1
        return {
            "run_id": self._run_id,
            "index": self._step_count,
            "kind": kind,
            "status": status,
            "attempt": self._claim["attempt"],
            "started_at": started,
            "duration_ms": round(duration_ms, 3),
            "model": step.model.document() if step and step.model else None,
            "tool_calls": clean([record.document() for record in step.tool_calls]) if step else [],
        }

    def _output(self, step: Step) -> dict[str, Any]:
        own = self.conversation.messages[self._message_start :]
        position = next((i for i in range(len(own) - 1, -1, -1) if own[i].role == "assistant"), None)
        if position is None:
            return {"text": "", "message": None, "structured": clean(step.structured), "citations": []}
        last = own[position]
        return {
            "text": last.text,
            "message": self._message(last, self._message_start + position + 1),
            "structured": clean(step.structured),
            "citations": [],
        }

    def _supersede(self, reason: str) -> None:
        """Tell readers to drop the tokens of a step that will be carried out again."""
        if (first := self._journal.first_token) is not None:
            data = {"from_seq": first, "to_seq": self._journal.last_seq, "reason": reason}
            self._journal.hold("superseded", data)

    def _hold_pending(self, delay_s: float | None) -> None:
        next_attempt_at = None if delay_s is None else self._journal.now(after_s=delay_s)
        attempt = self._claim["attempt"]
        data = {"status": Status.PENDING, "attempt": attempt, "next_attempt_at": next_attempt_at}
        self._journal.hold("status", data)

    def _hold_end(self, status: Status, output: dict[str, Any] | None, error: dict[str, Any] | None) -> None:
        self._journal.hold("end", {"status": status, "output": output, "error": error, "usage": self._usage.document()})
