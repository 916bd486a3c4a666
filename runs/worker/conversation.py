"""A session's history in a worker: kept warm between its runs, so that only what is new is read."""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import psycopg

from core.db import Row, pool
from core.documents import text
from runs.worker.branching import Branch, begins_earlier, read_beginning
from runtime.contract import Message
from sessions.documents import message_from_row

MAX_WARM = 256
# By what their messages take up in memory. The one that was carried out last stays warm whatever its size.
MAX_WARM_BYTES = 33_554_432
_MESSAGE_BYTES = 600  # of a message's objects, on top of its text


@dataclass(slots=True)
class Conversation:
    """The messages and values of a session as of a checkpoint. `step` is that of the session's latest one.

    `branch` is there while the session's line does not come from that checkpoint yet: the run's first commit moves it.
    `checkpoint_gone` says that there is no such checkpoint any more, and that this is where the session stands instead.
    `size` is what the first `measured` messages take up, in bytes.
    """

    session_id: str
    checkpoint_id: str | None
    step: int
    messages: list[Message]
    values: dict[str, Any]
    branch: Branch | None = None
    checkpoint_gone: bool = False
    size: int = 0
    measured: int = 0

    def last_answer(self, start: int) -> tuple[Message | None, int]:
        """The assistant's last message from the index `start` on, and its number in the session; None where it said
        nothing."""
        for position in range(len(self.messages) - 1, start - 1, -1):
            if self.messages[position].role == "assistant":
                return self.messages[position], position + 1
        return None, 0

    def measure(self) -> int:
        """What its messages take up, about; only those that are new are looked at."""
        self.size += sum(_size_of(message) for message in self.messages[self.measured :])
        self.measured = len(self.messages)
        return self.size


def _size_of(message: Message) -> int:
    parts = [message.content] if isinstance(message.content, str) else [p for m in message.content for p in m.values()]
    given = [call.args for call in message.tool_calls]
    return _MESSAGE_BYTES + sum(len(part if isinstance(part, str) else str(part)) for part in (*parts, *given))


class Conversations:
    """The warm conversations of a worker, least recently used first. One session has one run, so no two share one."""

    def __init__(self) -> None:
        self._warm: OrderedDict[str, Conversation] = OrderedDict()
        self._bytes = 0

    async def load(self, claims: Sequence[Row]) -> dict[UUID, Conversation]:
        """The conversation of each claimed run, by run id, with one query for all that are not up to date."""
        out: dict[UUID, Conversation] = {}
        behind: list[tuple[UUID, list[Message]]] = []
        for claim in claims:
            warm = self._let_go(str(claim["session_id"]))
            if begins_earlier(claim) and (earlier := await _earlier(claim)) is not None:
                out[claim["id"]] = earlier
                continue
            checkpoint_id = text(claim["checkpoint_id"])
            # What this worker knows may be the beginning: other workers carried out runs since.
            known = warm if warm and len(warm.messages) <= claim["message_count"] else None
            messages = known.messages if known else []
            if claim["message_count"] and not (warm and warm.checkpoint_id == checkpoint_id):
                behind.append((claim["session_id"], messages))
            out[claim["id"]] = Conversation(
                session_id=str(claim["session_id"]),
                checkpoint_id=checkpoint_id,
                step=claim["step"],
                messages=messages,
                values=claim["state"],
                checkpoint_gone=begins_earlier(claim),
                size=known.size if known else 0,
                measured=known.measured if known else 0,
            )
        if behind:
            await _catch_up(behind)
        return out

    def keep(self, conversation: Conversation) -> None:
        """Keep it warm: its run has ended in order and every change of it is committed."""
        self._let_go(conversation.session_id)
        self._bytes += conversation.measure()
        self._warm[conversation.session_id] = conversation
        while len(self._warm) > MAX_WARM or (self._bytes > MAX_WARM_BYTES and len(self._warm) > 1):
            self._let_go(next(iter(self._warm)))

    def _let_go(self, session_id: str) -> Conversation | None:
        warm = self._warm.pop(session_id, None)
        if warm is not None:
            self._bytes -= warm.size
        return warm


async def _earlier(claim: Row) -> Conversation | None:
    """The conversation as of the checkpoint at which the run begins; None where that is gone."""
    beginning = await read_beginning(claim)
    if beginning is None:
        return None
    return Conversation(
        session_id=str(claim["session_id"]),
        checkpoint_id=beginning.branch.checkpoint_id,
        step=claim["step"],
        messages=beginning.messages,
        values=beginning.values,
        branch=beginning.branch,
    )


async def _catch_up(known: Sequence[tuple[UUID, list[Message]]]) -> None:
    """Add what is new to each list. The last known message is read again: where it is another, all of them are.

    Where it is the same, so are those before it, although a session's line may have moved: what a move drops is always
    the end of the line.
    """
    async with pool().connection() as conn:
        new = await _messages_from(conn, [(session, max(1, len(messages))) for session, messages in known])
        changed = []
        for session, messages in known:
            rows = new[session]
            if messages and not (rows and str(rows[0]["id"]) == messages[-1].id):
                changed.append((session, messages))
            else:
                messages += map(message_from_row, rows[1:] if messages else rows)
        again = await _messages_from(conn, [(session, 1) for session, _ in changed])
        for session, messages in changed:
            messages[:] = map(message_from_row, again[session])


async def _messages_from(
    conn: psycopg.AsyncConnection[Row], wanted: Sequence[tuple[UUID, int]]
) -> dict[UUID, list[Row]]:
    out: dict[UUID, list[Row]] = {session: [] for session, _ in wanted}
    if wanted:
        sessions, firsts = zip(*wanted, strict=True)
        # Session by session, by the index: a join of the two is planned as a scan of all messages while they are few
        # thousands, and that is paid for by each run whose session another worker has served.
        cursor = await conn.execute(
            "SELECT m.* FROM unnest(%(sessions)s::uuid[], %(firsts)s::int[]) AS w (session_id, seq) "
            "CROSS JOIN LATERAL (SELECT * FROM messages WHERE session_id = w.session_id AND seq >= w.seq "
            "AND dropped_at_step IS NULL ORDER BY seq) AS m ORDER BY m.session_id, m.seq",
            {"sessions": list(sessions), "firsts": list(firsts)},
        )
        async for row in cursor:
            out[row["session_id"]].append(row)
    return out
