"""Runs that begin at an earlier checkpoint of their session.

Such a run moves the session's line with its first commit (`runs.worker.commit`), and not before: one that is cancelled
while it waits changes nothing. Once that is written the run is as any other. A hosted graph begins where it stood at
that checkpoint, and the line moves with the first rows that it leaves, so that both are at the same place.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from core.db import Row, pool
from core.documents import text
from core.ids import derived_id, new_id
from runs.inputs import input_messages
from runtime.contract import Message
from runtime.errors import AgentError
from runtime.history import answers_for_open_calls
from sessions.documents import message_from_row
from sessions.graph_rows import STOOD_AT
from sessions.queries import messages_at, values_at


class CheckpointGone(AgentError):
    """The run was to begin at a checkpoint that a rollback has taken out since."""

    code = "checkpoint_gone"

    def __init__(self) -> None:
        super().__init__("The checkpoint at which the run was to begin was taken out by a rollback.")


@dataclass(slots=True, frozen=True)
class Branch:
    """A checkpoint at which a run begins.

    `next` names what was to follow there; `turn_start` is how many messages there were before those of the run that
    left it. `copies` has new ids for the messages that it sees and the current line does not have any more, by their
    own ids. `graph_checkpoint_id` is where a hosted graph stood, None where there was none or nobody knows.
    """

    checkpoint_id: str
    next: list[str]
    turn_start: int
    copies: dict[str, str]
    graph_checkpoint_id: str | None = None


@dataclass(slots=True, frozen=True)
class Beginning:
    """What the run finds there: the messages, those that are copied by their new ids, and the state's values."""

    branch: Branch
    messages: list[Message]
    values: dict[str, Any]


def begins_earlier(claim: Row) -> bool:
    """Whether the claimed run has yet to begin, at another place than where its session stands."""
    return claim["from_checkpoint_id"] is not None and claim["message_start"] is None


_CHECKPOINT = f"""
SELECT c.id, c.next, coalesce(r.message_start, c.message_count) AS turn_start, {STOOD_AT} AS graph_checkpoint_id
FROM checkpoints c LEFT JOIN runs r ON r.id = c.run_id
WHERE c.id = %(checkpoint)s AND c.session_id = %(session)s
"""  # noqa: S608 - a constant


async def read_beginning(claim: Row) -> Beginning | None:
    """What a run that `begins_earlier` begins with; None where its checkpoint is gone.

    It heads its session: nobody moves the line between this and its first commit.
    """
    scope = {"checkpoint": claim["from_checkpoint_id"], "session": claim["session_id"]}
    async with pool().connection() as conn:
        checkpoint = await (await conn.execute(_CHECKPOINT, scope)).fetchone()
    if checkpoint is None:
        return None
    rows = await messages_at(checkpoint["id"]).arun()
    copies = {str(row["id"]): str(new_id()) for row in rows if row["dropped_at_step"] is not None}
    messages = [message_from_row(row) for row in rows]
    for message in messages:
        message.id = copies.get(message.id, message.id)
    stood_at = text(checkpoint["graph_checkpoint_id"])
    branch = Branch(str(checkpoint["id"]), checkpoint["next"], checkpoint["turn_start"], copies, stood_at)
    return Beginning(branch, messages, await values_at(checkpoint["id"]).arun())


def first_messages(claim: Row, said: Sequence[Message], branch: Branch | None) -> tuple[list[Message], int]:
    """What a run adds to what was `said` before it makes its first step, and how many messages came before its own.

    A run without an input adds nothing and goes on with the turn that was under way at its checkpoint. With one, the
    tool calls that were open there are answered first, so that a model takes the history.
    """
    own = input_messages(claim["input"], claim["id"])
    if branch is None:
        return own, len(said)
    if claim["input"] is None:
        return [], branch.turn_start
    answers = answers_for_open_calls(said)
    for index, answer in enumerate(answers, start=len(own)):
        answer.id = str(derived_id(claim["id"], index))
    return [*answers, *own], len(said) + len(answers)
