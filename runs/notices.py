"""Notices to all workers: look now, rather than at your next round.

The doorbell wakes one worker, whichever; a notice is for the one that carries out a certain session's run, or for all
that are left when one has died. It says where to look; what is so stands in PostgreSQL. Lost or doubled it does no
harm: every worker looks around by itself, several times a second.
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
class Notice:
    """What is asked to stop: runs, or sessions, by their ids; or a process that has ended."""

    stop: frozenset[str] = frozenset()
    died: Process | None = None

    def dump(self) -> bytes:
        return orjson.dumps({"stop": list(self.stop), "died": self.died})

    @classmethod
    def parse(cls, raw: bytes) -> "Notice":
        """Raises ValueError, KeyError or TypeError for what is not a notice."""
        document: dict[str, Any] = orjson.loads(raw)
        died = document["died"]
        return cls(frozenset(document["stop"]), died and Process(**died))


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
    if not ids:
        return
    try:
        client().publish(channel(), Notice(frozenset(map(str, ids))).dump())
    except (redis.RedisError, OSError) as error:
        log.warning("The workers were not told of a cancelling; they will find it by themselves: %s", error)


def stop_after_commit(ids: Collection[UUID]) -> None:
    """The same, once what asks them to stop is committed."""
    transaction.on_commit(lambda: stop_now(ids))


def stops_another(run: Row) -> bool:
    """Whether the run, as it was accepted, asks the one that its session carries out to stop."""
    return run["multitask_strategy"] in {MultitaskStrategy.INTERRUPT, MultitaskStrategy.ROLLBACK}
