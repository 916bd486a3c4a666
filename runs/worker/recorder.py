"""What a run's outcomes are in rows and events.

A recorder holds the run's totals and its conversation. It is ahead of PostgreSQL by what is on its way there: with
durability `sync` and `async` by the commit that it has made last, with `exit` by all that the run has done here. Where
a commit is refused, the recorder and its conversation are thrown away.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from core.db import Row
from core.documents import text
from core.text import clean
from runs.ending import Superseded
from runs.lifecycle import Status
from runs.models import Durability
from runs.worker.artifacts import NewArtifact
from runs.worker.branching import first_messages
from runs.worker.children import STARTED, announced, child_row
from runs.worker.claim import TRANSFERRING, tell_claimed
from runs.worker.conversation import Conversation
from runs.worker.journal import Journal
from runs.worker.line import Line
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
from runs.worker.rows import step_row, told
from runs.worker.step_commit import StepCommit
from runtime.contract import ChildResult, Message, ModelRecord, State, Step, Usage
from runtime.errors import AgentError, ModelError, ModelUnavailable
from runtime.history import answers_for_open_calls
from sessions.models import CheckpointSource

# A run of durability `exit` is stored before it has told more events than this, or a rescue's gap could not cover them.
MAX_UNSTORED = 50_000

# Nor does it gather more bytes of artifacts.
MAX_HELD_BYTES = 16 * 1024 * 1024

MODEL_CALLS = "model_calls"  # the session's state key that counts finished model calls

_SOURCES = {
    "model": CheckpointSource.MODEL,
    "tools": CheckpointSource.TOOLS,
    "custom": CheckpointSource.UPDATE,
    "interrupt": CheckpointSource.INTERRUPT,
}


class Recorder:
    """Turns the outcomes of one claimed run into commits, in order."""

    def __init__(
        self,
        claim: Row,
        conversation: Conversation,
        journal: Journal,
        worker_id: str,
        *,
        interrupt_timeout_s: float | None = None,
        speaks_itself: bool = False,
    ):
        self.conversation = conversation
        self._claim = claim
        self._run_id = str(claim["id"])
        self._journal = journal
        self._worker_id = worker_id
        self._interrupt_timeout_s = interrupt_timeout_s
        # The agent's steps say which messages and which state there are (`BaseAgent.takes_any_input`).
        self._speaks_itself = speaks_itself
        cost = claim["cost_usd"]
        self._usage = Usage(claim["input_tokens"], claim["output_tokens"], None if cost is None else float(cost))
        self._step_count: int = claim["step_count"]
        self._model_calls: int = claim["model_calls"]
        self._failures: int = claim["failures"]
        self._resume = claim["resume"]
        self._children: dict[str, ChildResult] = claim["children"]
        self._message_start: int = len(conversation.messages)
        self._fresh: list[Message] = []  # the run's input, until the first commit has it
        self._at_exit: bool = claim["durability"] == Durability.EXIT
        self._gathered: StepCommit | None = None  # what finished steps have left to be stored with the next one
        self._held_bytes = 0  # of its artifacts
        self._line = Line(claim, conversation, journal)

    def begin(self, incoming: Callable[[Message], Message] = lambda message: message) -> None:
        """Tell that the run goes on here, and take its input into the conversation if that is new.

        `incoming` gives each of its messages as the agent takes it; where it raises, none is in the conversation.
        """
        claim, journal = self._claim, self._journal
        tell_claimed(journal, claim, self._worker_id)
        if claim["message_start"] is not None:
            self._message_start = claim["message_start"]
        elif not (self.conversation.checkpoint_gone or self._speaks_itself):
            said = self.conversation.messages
            fresh, start = first_messages(claim, said, self.conversation.branch)
            self._fresh = [incoming(message) if message.role == "user" else message for message in fresh]
            self._message_start = start
            for seq, message in enumerate(self._fresh, start=len(said) + 1):
                journal.tell("message", self._line.message(message, seq))

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
            resume=self._resume,
            children=self._children,
            usage=replace(self._usage),
            kwargs=self._claim["kwargs"] or {},
            durability=self._claim["durability"],
            begun=self._step_count > 0,
            graph_checkpoint_id=None if conversation.branch is None else conversation.branch.graph_checkpoint_id,
            graph_head=text(self._claim["graph_head"]),
        )

    def record(
        self,
        outcome: Outcome,
        started: str,
        duration_ms: float,
        files: Sequence[dict[str, Any]] = (),
        artifacts: Sequence[NewArtifact] = (),
        unfinished: Step | None = None,
    ) -> StepCommit | None:
        """The outcome as rows and events, and as the run's new totals; None where nothing is to be stored yet.

        `files`: the rows of shared files that the step changed, if it finished. `artifacts` are those that it has made,
        however it ended: what it told may name them. `unfinished` is what is left of one that did not finish.
        """
        self._held_bytes += sum(len(artifact.content) for artifact in artifacts)
        match outcome:
            case Finished(step):
                commit = self._finished(step, started, duration_ms)
                commit.files |= {(file["user_id"], file["path"]): file for file in files}
            case Failed(error):
                commit = self._failed(error, started, duration_ms, unfinished)
            case TimedOut():
                commit = self._ended(
                    Status.TIMEOUT, AgentError("The run took too long.", code="run_timeout"), left=unfinished
                )
            case Cancelled(superseded):
                commit = self._ended(Status.CANCELLED, Superseded() if superseded else None, left=unfinished)
            case HandedBack():
                commit = self._handed_back(unfinished)
            case Postponed(delay_s):
                commit = self._put_off(delay_s, unfinished)
        commit.artifacts += artifacts
        if commit.status is None and not self._is_stored_now:
            self._gathered = commit
            self._journal.finish()
            return None
        self._gathered, self._held_bytes = None, 0
        commit.run = {
            "base_seq": self._journal.base_seq,
            "last_seq": self._journal.last_seq,
            "step_count": self._step_count,
            "model_calls": self._model_calls,
            "input_tokens": self._usage.input_tokens,
            "output_tokens": self._usage.output_tokens,
            "cost_usd": self._usage.cost_usd,
            "failures": self._failures,
            "checkpoint_id": self._line.checkpoint_id,
            "message_start": self._message_start if self.conversation.branch is None else None,
        }
        commit.events = self._journal.seal()
        return commit

    def end_cancelled(self, commit: StepCommit, how: Cancelled) -> None:
        """Make of the commit that was to end the run otherwise one that ends it cancelled; what the run did stays."""
        error = clean(error_document(Superseded(), retryable=False)) if how.superseded else None
        commit.status, commit.output, commit.error = Status.CANCELLED, None, error
        # Its last event, which nobody has heard, is the end; the journal holds the same document.
        commit.events[-1]["data"].update(status=Status.CANCELLED, output=None, error=error)

    @property
    def _is_stored_now(self) -> bool:
        """Whether a step is stored though the run goes on here."""
        return not self._at_exit or self._journal.unsealed > MAX_UNSTORED or self._held_bytes > MAX_HELD_BYTES

    def _finished(self, step: Step, started: str, duration_ms: float) -> StepCommit:
        self._failures = 0
        if step.kind == "custom" and step.interrupt is not None and not step.messages:
            # The message whose tokens were told is told anew once somebody has answered.
            self._journal.hold_superseded("interrupt")
        changes = self._changes_of(step)
        stays = not step.done and step.interrupt is None and not step.children
        source: str | None = step.kind if step.interrupt is None else "interrupt"
        if self._speaks_itself and stays and not (step.messages or changes or step.removed):
            source = None
        commit = self._commit_with(step.messages, source, list(step.next), changes, list(step.removed), stays=stays)
        commit.graph.add(step.graph)
        commit.steps.append(
            self._step_row(step.kind, "ok", started, duration_ms, model=step.model, tool_calls=step.tool_calls)
        )
        if self._resume is not None:
            commit.answered, self._resume = True, None
        if self._children:
            commit.took, self._children = True, {}
        for message in step.messages:
            for call in message.tool_calls:
                self._journal.hold("tool_call", {**call.document(), "message_id": message.id})
        if self._speaks_itself:
            for record in step.tool_calls:
                self._journal.hold("tool_result", told(record))
        if step.model is not None:
            self._count(step.model)
        if step.done:
            commit.status = Status.SUCCESS
            commit.output = self._output(step)
            self._hold_end(Status.SUCCESS, commit.output, None)
        if step.interrupt is not None:
            commit.status, commit.interrupt = Status.INTERRUPTED, step.interrupt
            commit.interrupt_timeout_s = self._interrupt_timeout_s
            self._journal.hold("interrupt", step.interrupt)
        if step.children:
            commit.status = Status.PENDING
            commit.children = [child_row(*asked) for asked in step.children.items()]
            for child in commit.children:
                self._journal.hold("custom", {"name": STARTED, "value": announced(child)})
            self._hold_pending(None)
        return commit

    def _changes_of(self, step: Step) -> dict[str, Any]:
        changes = dict(step.changes if self._speaks_itself else clean(step.changes))
        if step.model is not None:
            self._model_calls += 1
            if not self._speaks_itself:
                changes[MODEL_CALLS] = self.conversation.values.get(MODEL_CALLS, 0) + 1
        return changes

    def _failed(self, error: AgentError, started: str, duration_ms: float, left: Step | None) -> StepCommit:
        self._failures += 1
        changes = {}
        of_model = error.record is not None or isinstance(error, ModelError)
        if of_model and not isinstance(error, ModelUnavailable):
            changes[MODEL_CALLS] = self.conversation.values.get(MODEL_CALLS, 0) + 1
        if (record := error.record) is not None and (record.usage.input_tokens or record.usage.output_tokens):
            self._count(record)
        delay = retry_delay_s(self._claim["retry_policy"], error, self._failures)
        if delay is None:
            commit = self._ended(Status.ERROR, error, changes, left)
        else:
            self._journal.hold_superseded("retry")
            document = clean(error_document(error, retryable=True))
            self._journal.hold("error", {**document, "attempt": self._claim["attempt"]})
            self._hold_pending(delay)
            commit = self._commit_left(left, "custom" if changes else None, ["model"], changes)
            commit.status, commit.retry_in_s = Status.PENDING, delay
        kind = "model" if of_model else "custom"
        commit.steps.append(self._step_row(kind, "error", started, duration_ms, model=error.record))
        return commit

    def _handed_back(self, left: Step | None) -> StepCommit:
        commit = self._put_off(None, left)
        # The last of its events: see `runs.worker.claim`.
        self._journal.hold("custom", {"name": TRANSFERRING, "value": {"from_node": self._worker_id}})
        return commit

    def _put_off(self, delay_s: float | None, left: Step | None) -> StepCommit:
        """Back to the queue as if the step in flight had not begun; None: at once."""
        self._journal.hold_superseded("retry")
        self._hold_pending(delay_s)
        commit = self._commit_left(left, None, [], {})
        if commit.graph:
            # What is stored is begun: the run goes on from there.
            commit.steps.append(self._step_row("custom", "ok", self._journal.now(), 0))
        commit.status, commit.retry_in_s = Status.PENDING, delay_s
        return commit

    def _commit_left(
        self, left: Step | None, source: str | None, following: list[str], changes: dict[str, Any]
    ) -> StepCommit:
        """A commit of what there is although the step did not finish."""
        if self._speaks_itself and self.conversation.branch is not None and not (left and left.graph):
            # The graph stands at its latest checkpoint still, and so does the session.
            commit = self._new_commit()
            commit.session = self._line.session_as_claimed
            return commit
        if left is None:
            return self._commit_with([], source, following, changes, [])
        changes = changes | self._changes_of(left)
        commit = self._commit_with(left.messages, source, following, changes, list(left.removed))
        commit.graph.add(left.graph)
        if left.model is not None:
            self._count(left.model)
        return commit

    def _ended(
        self,
        status: Status,
        error: AgentError | None,
        changes: dict[str, Any] | None = None,
        left: Step | None = None,
    ) -> StepCommit:
        document = None if error is None else clean(error_document(error, retryable=False))
        if left is None:
            own = self.conversation.messages[self._message_start :]
            left = Step("custom", messages=answers_for_open_calls(own))
        commit = self._commit_left(left, None, [], changes or {})
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
        *,
        stays: bool = False,
    ) -> StepCommit:
        """The commit's rows for the session: messages, the input's checkpoint before the first step, and the step's.

        `source` None writes no checkpoint of the step's own unless messages or changes call for one. `stays`: the run
        goes on here, so that with durability `exit` what there is to store is gathered, without a checkpoint.
        """
        conversation, line = self.conversation, self._line
        commit = self._gathered or self._new_commit()
        if self._fresh or conversation.branch is not None:
            self._open(commit)
        for offset, message in enumerate(messages):
            message.content = clean(message.content)
            self._journal.hold("message", self._line.message(message, len(conversation.messages) + offset + 1))
        line.append(commit, messages)
        line.change(changes, removed)
        if stays and not self._is_stored_now:
            return commit
        # Whatever changes the state is in a checkpoint: a run is taken out by going back to the one before it.
        if source is not None or line.is_open:
            line.checkpoint(commit, CheckpointSource.END if source is None else _SOURCES[source], following)
        elif commit.branch is not None and not commit.checkpoints:
            # Nothing has happened, but the line moves: there is a checkpoint to go back to the one before.
            line.checkpoint(commit, CheckpointSource.FORK, commit.branch.next if self._claim["input"] is None else [])
        commit.session = line.session_row(commit)
        return commit

    def _new_commit(self) -> StepCommit:
        which = self._run_id, self.conversation.session_id, self._claim["epoch"]
        return StepCommit(*which, run={}, session={}, hosted=self._speaks_itself)

    def _open(self, commit: StepCommit) -> None:
        """Add what the run begins with; where that is an earlier checkpoint the commit moves the session's line."""
        commit.branch, self.conversation.branch = self.conversation.branch, None
        self._line.append(commit, self._fresh)
        if not (self._at_exit or self._speaks_itself):
            went_on = commit.branch if not self._fresh else None
            source = CheckpointSource.INPUT if went_on is None else CheckpointSource.FORK
            self._line.checkpoint(commit, source, ["model"] if went_on is None else went_on.next)
        self._fresh = []

    def _step_row(self, kind: str, status: str, started: str, duration_ms: float, **done: Any) -> dict[str, Any]:
        self._step_count += 1
        return step_row(self._claim, self._step_count, kind, status, started, duration_ms, **done)

    def _output(self, step: Step) -> dict[str, Any]:
        last, seq = self.conversation.last_answer(self._message_start)
        return {
            "text": last.text if last else "",
            "message": last and self._line.message(last, seq),
            "structured": step.structured if self._speaks_itself else clean(step.structured),
            "citations": [],
        }

    def _count(self, record: ModelRecord) -> None:
        self._usage.add(record.usage)
        self._journal.hold("usage", {**record.usage.document(), "model": record.model})

    def _hold_pending(self, delay_s: float | None) -> None:
        next_attempt_at = None if delay_s is None else self._journal.now(after_s=delay_s)
        attempt = self._claim["attempt"]
        data = {"status": Status.PENDING, "attempt": attempt, "next_attempt_at": next_attempt_at}
        self._journal.hold("status", data)

    def _hold_end(self, status: Status, output: dict[str, Any] | None, error: dict[str, Any] | None) -> None:
        self._journal.hold("end", {"status": status, "output": output, "error": error, "usage": self._usage.document()})
