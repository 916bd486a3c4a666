"""A session's history in a worker: loaded once, kept warm between its steps and runs."""

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from core.db import Row, pool
from runtime.contract import Message
from sessions.documents import message_from_row

MAX_WARM = 256


@dataclass(slots=True)
class Conversation:
    """The messages and values of a session as of a checkpoint. `step` is that checkpoint's number."""

    session_id: str
    checkpoint_id: str | None
    step: int
    messages: list[Message]
    values: dict[str, Any]


class Conversations:
    """The warm conversations of a worker, least recently used first. One session has one run, so no two share one."""

    def __init__(self) -> None:
        self._warm: OrderedDict[str, Conversation] = OrderedDict()

    async def load(self, claims: Sequence[Row]) -> dict[UUID, Conversation]:
        """The conversation of each claimed run, by run id, with one query for all that are not warm."""
        out: dict[UUID, Conversation] = {}
        cold: list[Row] = []
        for claim in claims:
            warm = self._warm.pop(str(claim["session_id"]), None)
            if warm is not None and warm.checkpoint_id == _text(claim["checkpoint_id"]):
                # The values of a failed attempt are newer than the checkpoint.
                warm.values = claim["state"]
                out[claim["id"]] = warm
            else:
                cold.append(claim)
        messages = await _messages(claim["session_id"] for claim in cold if claim["message_count"])
        for claim in cold:
            out[claim["id"]] = Conversation(
                session_id=str(claim["session_id"]),
                checkpoint_id=_text(claim["checkpoint_id"]),
                step=claim["step"],
                messages=messages.get(claim["session_id"], []),
                values=claim["state"],
            )
        return out

    def keep(self, conversation: Conversation) -> None:
        """Keep it warm: its run has ended in order and every change of it is committed."""
        self._warm[conversation.session_id] = conversation
        while len(self._warm) > MAX_WARM:
            self._warm.popitem(last=False)


def _text(value: UUID | None) -> str | None:
    return None if value is None else str(value)


async def _messages(sessions: Iterable[UUID]) -> dict[UUID, list[Message]]:
    wanted = list(sessions)
    out: dict[UUID, list[Message]] = {session: [] for session in wanted}
    if wanted:
        async with pool().connection() as conn:
            cursor = await conn.execute(
                "SELECT * FROM messages WHERE session_id = ANY(%(sessions)s) ORDER BY session_id, seq",
                {"sessions": wanted},
            )
            async for row in cursor:
                out[row["session_id"]].append(message_from_row(row))
    return out
