"""Notices to all workers: look now, rather than at your next round.

The doorbell wakes one worker, whichever; a notice is for the one that carries out a certain session's run, or for all
that are left when one has died. It says where to look; what is so stands in PostgreSQL. Lost or doubled it does no
harm: every worker looks around by itself, several times a second. A message to a middleware alone is nowhere else: who
sends it is not promised that it arrives.
"""

import logging
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import orjson
import redis
from django.db import transaction
from redis.backoff import NoBackoff
from redis.retry import Retry

from core.db import Row
from core.redis import client, key
from runs.models import MultitaskStrategy

log = logging.getLogger(__name__)

_CHANNEL = "notices"


@dataclass(frozen=True, slots=True)
class Process:
    """A process of a worker, as its row names it."""

    host: str
    pid: int


@dataclass(frozen=True, slots=True)
class Said:
    """A message to a middleware of the assistant whose run a session carries out."""

    session_id: str
    middleware_id: str
    message: Any


@dataclass(frozen=True, slots=True)
class Notice:
    """What is asked to stop: runs, or sessions, by their ids; or a process that has ended; or what was said."""

    stop: frozenset[str] = frozenset()
    died: Process | None = None
    said: Said | None = None

    def dump(self) -> bytes:
        return orjson.dumps({"stop": list(self.stop), "died": self.died, "said": self.said})

    @classmethod
    def parse(cls, raw: bytes) -> "Notice":
        """Raises ValueError, KeyError or TypeError for what is not a notice."""
        document: dict[str, Any] = orjson.loads(raw)
        died, said = document["died"], document.get("said")
        return cls(frozenset(document["stop"]), died and Process(**died), said and Said(**said))


def channel() -> str:
    """Where the notices are told; every worker listens, all hear."""
    return key(_CHANNEL)


def tell_of_death(redis_url: str, died: Process) -> None:
    """Have the other workers look after the runs of a process that has ended. Raises redis.RedisError, OSError.

    For who has watched it end; it may have no settings of its own yet.
    """
    once = Retry(NoBackoff(), 0)
    with redis.Redis.from_url(redis_url, socket_connect_timeout=2, socket_timeout=2, retry=once) as told:
        told.publish(channel(), Notice(died=died).dump())


def stop_now(ids: Collection[UUID]) -> None:
    """Have whoever carries out one of these runs, or a run of these sessions, look whether it is to stop.

    Call it after the commit; it blocks for a moment.
    """
    if ids:
        _tell(Notice(frozenset(map(str, ids))), "The workers were not told of a cancelling; they will find it")


def say(session_id: UUID, middleware_id: str, message: Any) -> None:
    """Give a middleware a message, where a run of the session is carried out. It blocks for a moment."""
    _tell(Notice(said=Said(str(session_id), middleware_id, message)), "A message to a middleware is lost")


def _tell(notice: Notice, otherwise: str) -> None:
    try:
        client().publish(channel(), notice.dump())
    except (redis.RedisError, OSError) as error:
        log.warning("%s: %s", otherwise, error)


def stop_after_commit(ids: Collection[UUID]) -> None:
    """The same, once what asks them to stop is committed."""
    transaction.on_commit(lambda: stop_now(ids))


def stops_another(run: Row) -> bool:
    """Whether the run, as it was accepted, asks the one that its session carries out to stop."""
    return run["multitask_strategy"] in {MultitaskStrategy.INTERRUPT, MultitaskStrategy.ROLLBACK}
