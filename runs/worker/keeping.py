"""What a run keeps beside its steps (`StepIO.keep`): stored at once, for when the same step is carried out again.

A write is fenced by the run's lease owner and epoch, as steps are, and on disk when `keep` returns. It is never part of
a step's transaction: a step that fails leaves what it kept. Runs that keep nothing cost no statement, and a run's first
execution, which can find nothing, does not look.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType
from typing import Any, TypeVar

import orjson
import psycopg
from psycopg_pool import PoolTimeout

from core.db import Operation, Query, Row, jsonb, operation
from core.redaction import Redactor
from core.text import clean
from runs.worker.committer import RETRY_S, LeaseLost
from runtime.contract import Json
from runtime.errors import AgentError

log = logging.getLogger(__name__)

T = TypeVar("T")

MAX_KEY = 255  # characters
MAX_BYTES = 1_048_576  # of one value, as JSON

# The lock holds back whoever takes the run over until this is written: it reads what is kept after that.
_KEEP = """
WITH ours AS (
    SELECT id FROM runs
    WHERE id = %(run)s AND lease_owner = %(worker)s AND epoch = %(epoch)s AND status = 'running' FOR SHARE
)
INSERT INTO run_results (run_id, key, value) SELECT id, %(key)s, %(value)s FROM ours
ON CONFLICT (run_id, key) DO UPDATE SET value = EXCLUDED.value
RETURNING run_id
"""


@operation()
def _write(parameters: Mapping[str, Any]) -> Operation[bool]:
    return bool((yield Query(_KEEP, parameters)))


@operation()
def _read(run_id: str) -> Operation[dict[str, Json]]:
    rows = yield Query("SELECT key, value FROM run_results WHERE run_id = %(run)s", {"run": run_id})
    return {row["key"]: row["value"] for row in rows}


class Keeper:
    """Keeps for one execution of a run. `on_lost` is told when the run turns out to be another worker's."""

    def __init__(self, claim: Row, worker_id: str, redactor: Redactor, on_lost: Callable[[], None]):
        self._run_id = str(claim["id"])
        self._fence = {"run": self._run_id, "worker": worker_id, "epoch": claim["epoch"]}
        self._redactor = redactor
        self._on_lost = on_lost
        self._kept: dict[str, Json] | None = {} if claim["attempt"] == 1 else None
        self._reading = asyncio.Lock()

    async def keep(self, key: str, value: Json) -> None:
        """Store the value, in the place of an earlier one of that key; it is on disk on return, an outage waited out.

        Raises AgentError where it is not JSON or too large, and LeaseLost.
        """
        document = self._sound(key, value)
        kept = await self._all()
        if not await patiently(_write({**self._fence, "key": key, "value": jsonb(document)}).arun):
            self._on_lost()
            raise LeaseLost
        kept[key] = document

    async def kept(self) -> Mapping[str, Json]:
        """All that the run has kept, in earlier executions too; read once."""
        return MappingProxyType(await self._all())

    async def _all(self) -> dict[str, Json]:
        async with self._reading:
            if self._kept is None:
                self._kept = await patiently(_read(self._run_id).arun)
        return self._kept

    def _sound(self, key: str, value: Json) -> Json:
        """The value as it will be read: without secrets, as JSON gives it back."""
        if not 0 < len(key) <= MAX_KEY or clean(key) != key:
            raise AgentError(f"A key of what is kept has 1 to {MAX_KEY} characters, without NUL: {key[:MAX_KEY]!r}.")
        try:
            document = orjson.dumps(self._redactor.value(clean(value)))
        except TypeError as error:
            raise AgentError(f"What is kept as {key!r} is not JSON: {error}.") from None
        if len(document) > MAX_BYTES:
            raise AgentError(f"What is kept as {key!r} has {len(document)} bytes; {MAX_BYTES} are allowed.")
        return orjson.loads(document)


async def patiently(ask: Callable[[], Awaitable[T]]) -> T:
    """Ask until PostgreSQL answers. What is asked may be asked twice; the step's own time bounds the wait."""
    while True:
        try:
            return await ask()
        except (psycopg.OperationalError, PoolTimeout) as error:
            log.warning("A step waits for PostgreSQL: %s", error)
            await asyncio.sleep(RETRY_S)
