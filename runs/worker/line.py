"""What a run adds to its session's line: messages, changes of the state, and the checkpoints that hold both."""

from typing import Any

from core.db import Row
from core.ids import new_id
from core.text import clean
from runs.worker.conversation import Conversation
from runs.worker.journal import Journal
from runs.worker.step_commit import StepCommit
from runtime.contract import Message
from sessions.documents import message_row


class Line:
    """The conversation of a run while it is carried out, ahead of PostgreSQL by what is on its way there.

    `checkpoint_id` is that of the latest checkpoint, None before there is one. `session_as_claimed` is the session's
    row before the run: where it stays while the run has not begun.
    """

    def __init__(self, claim: Row, conversation: Conversation, journal: Journal):
        self._run_id = str(claim["id"])
        self._conversation = conversation
        self._journal = journal
        self._changes: dict[str, Any] = {}  # of the state, since the last checkpoint
        self._removed: list[str] = []
        self._covered = len(conversation.messages)  # how many messages the last checkpoint has
        self.checkpoint_id: str | None = claim["checkpoint_id"] and str(claim["checkpoint_id"])
        self.session_as_claimed = {
            "message_count": claim["message_count"],
            "step": claim["step"],
            "checkpoint_id": self.checkpoint_id,
            "state": None,
        }

    @property
    def is_open(self) -> bool:
        """Whether there is something that no checkpoint has."""
        return bool(self._changes or self._removed) or len(self._conversation.messages) > self._covered

    def change(self, changes: dict[str, Any], removed: list[str]) -> None:
        """Set and delete keys of the state."""
        conversation = self._conversation
        conversation.values = {k: v for k, v in conversation.values.items() if k not in removed} | changes
        self._changes = {k: v for k, v in self._changes.items() if k not in removed} | changes
        self._removed = [key for key in {*self._removed, *removed} if key not in changes]

    def append(self, commit: StepCommit, messages: list[Message]) -> None:
        """Add the messages to the conversation, and their rows to the commit."""
        conversation = self._conversation
        for message in messages:
            conversation.messages.append(message)
            row = self.message(message, len(conversation.messages))
            commit.messages.append({**row, "step": conversation.step + 1})

    def message(self, message: Message, seq: int) -> dict[str, Any]:
        """A message as its event and its row have it."""
        return {
            **clean(message_row(message)),
            "session_id": self._conversation.session_id,
            "run_id": self._run_id,
            "seq": seq,
            "created_at": self._journal.now(),
        }

    def checkpoint(self, commit: StepCommit, source: str, following: list[str]) -> None:
        """Store the state as it is now, by what changed since the checkpoint before."""
        conversation = self._conversation
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
            "changes": self._changes,
            "removed": self._removed,
            "hosted": commit.hosted,
        }
        commit.checkpoints.append(row)
        self._changes, self._removed, self._covered = {}, [], len(conversation.messages)
        conversation.checkpoint_id = self.checkpoint_id = checkpoint_id
        conversation.step += 1
        told = {name: row[name] for name in ("parent_id", "step", "source")}
        self._journal.hold("checkpoint", {"checkpoint_id": checkpoint_id, **told})

    def session_row(self, commit: StepCommit) -> dict[str, Any]:
        """Where the session stands after the commit."""
        return {
            "message_count": len(self._conversation.messages),
            "step": self._conversation.step,
            "checkpoint_id": self._conversation.checkpoint_id,
            # Where the line stays, what changes is in the checkpoints: a state may be large.
            "state": self._conversation.values if commit.branch else None,
        }
