"""One write, two callers: an operation is a generator of SQL, driven by Django's connection or by the async pool.

@operation(atomic=True)
def rename(session_id: UUID, title: str) -> Operation[Row]:
    rows = yield Query("UPDATE sessions SET title = %(t)s WHERE id = %(id)s RETURNING *", {...})
    return rows[0]

rename(id, "x").run()          # DRF, admin, Celery: a thread with Django's connection
await rename(id, "x").arun()   # the hot routes and the runner: an event loop with the async pool

`yield BEGIN` makes one transaction of what follows, for an operation that finds out on its way that it needs one.
`yield After(ring)` has something done once all of it is committed.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Mapping
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, nullcontext
from dataclasses import dataclass, field
from functools import wraps
from typing import Any, Generic, ParamSpec, TypeVar

import orjson
import psycopg
from django.conf import settings
from django.db import connection, transaction
from psycopg import errors
from psycopg.pq import TransactionStatus
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb, set_json_dumps, set_json_loads
from psycopg_pool import AsyncConnectionPool

T = TypeVar("T")
P = ParamSpec("P")
Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Query:
    """One statement with named parameters."""

    sql: str
    params: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class After:
    """No statement: what is done once the transaction is committed, and not where it is rolled back.

    A doorbell: it returns at once and raises nothing.
    """

    do: Callable[[], None]


# Not a statement of its own: who drives the operation knows whether a transaction is open already.
BEGIN = Query("BEGIN")

Operation = Generator[Query | After, list[Row], T]
# How long a pool is waited for, in seconds, and for how long it tries to connect until somebody asks it again: its own
# pauses double, and after a long outage the next try would be a long time away.
POOL_WAIT_S = 4.0
_JSON_TYPES = {114, 3802}


def jsonb(value: Any) -> Jsonb:
    """`value` as a jsonb parameter."""
    return Jsonb(value, dumps=orjson.dumps)


@dataclass(frozen=True, slots=True)
class Bound(Generic[T]):
    """An operation with its arguments, not yet carried out."""

    start: Callable[[], Operation[T]]
    atomic: bool

    def run(self) -> T:
        """Carry it out on Django's connection; inside a transaction of the caller it joins that."""
        if self.atomic:
            with transaction.atomic():
                return _drive(self.start())
        return _drive(self.start())

    async def arun(self) -> T:
        """Carry it out on a connection of the async pool; one that asks nothing takes no connection."""
        steps = self.start()
        try:
            first = next(steps)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]
        after: list[After] = []
        async with pool().connection() as conn, conn.transaction() if self.atomic else nullcontext():
            result = await _adrive(steps, first, conn, after)
        for last in after:
            last.do()
        return result

    async def on(self, conn: psycopg.AsyncConnection[Row], after: list[After]) -> T:
        """Carry it out on this connection, inside the caller's transaction; not inside a pipeline.

        What is to be done once that is committed is added to `after`.
        """
        steps = self.start()
        try:
            first = next(steps)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]
        return await _adrive(steps, first, conn, after)


def operation(*, atomic: bool = False) -> Callable[[Callable[P, Operation[T]]], Callable[P, Bound[T]]]:
    """Make a generator of queries callable from both worlds.

    `atomic`: all its statements in one transaction; without it each statement is one of its own, which for a single
    statement saves two round trips.
    """

    def decorate(function: Callable[P, Operation[T]]) -> Callable[P, Bound[T]]:
        @wraps(function)
        def bind(*args: P.args, **kwargs: P.kwargs) -> Bound[T]:
            return Bound(lambda: function(*args, **kwargs), atomic)

        return bind

    return decorate


def _drive(steps: Operation[T]) -> T:
    rows: list[Row] | None = None
    with ExitStack() as transactions, connection.cursor() as cursor:
        while True:
            try:
                query = next(steps) if rows is None else steps.send(rows)
            except StopIteration as end:
                return end.value  # type: ignore[no-any-return]
            if query is BEGIN:
                # Inside a caller's transaction it is a savepoint: what fails here leaves nothing in that either.
                transactions.enter_context(transaction.atomic())
                rows = []
                continue
            if isinstance(query, After):
                transaction.on_commit(query.do)
                rows = []
                continue
            cursor.execute(query.sql, query.params)
            columns = cursor.description or []
            names = [column.name for column in columns]
            # Django leaves JSON as text for its own fields to decode.
            json_columns = [i for i, column in enumerate(columns) if column.type_code in _JSON_TYPES]
            rows = []
            for values in cursor.fetchall() if columns else []:
                decoded = list(values)
                for i in json_columns:
                    if isinstance(decoded[i], str):
                        decoded[i] = orjson.loads(decoded[i])
                rows.append(dict(zip(names, decoded, strict=True)))


async def _adrive(
    steps: Operation[T], query: Query | After, conn: psycopg.AsyncConnection[Row], after: list[After]
) -> T:
    async with AsyncExitStack() as transactions:
        while True:
            rows: list[Row] = []
            if isinstance(query, After):
                after.append(query)
            elif query is not BEGIN:
                cursor = await conn.execute(query.sql, query.params)
                # Its `description` would be made anew each time.
                rows = await cursor.fetchall() if cursor.pgresult and cursor.pgresult.nfields else []
            elif conn.info.transaction_status == TransactionStatus.IDLE:
                await transactions.enter_async_context(conn.transaction())
            try:
                query = steps.send(rows)
            except StopIteration as end:
                return end.value  # type: ignore[no-any-return]


class AsyncPool(AsyncConnectionPool[psycopg.AsyncConnection[Row]]):
    """Looks at all that it has when one connection is found broken: after a restart of PostgreSQL each of them is."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, timeout=POOL_WAIT_S, reconnect_timeout=POOL_WAIT_S, **kwargs)
        self._checks: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def connection(self, timeout: float | None = None) -> AsyncIterator[psycopg.AsyncConnection[Row]]:
        async with super().connection(timeout) as conn:
            try:
                yield conn
            except (errors.TransactionTimeout, errors.IdleInTransactionSessionTimeout) as ended:
                # The connection has gone, as in an outage, and what was asked is not at fault.
                raise psycopg.OperationalError(str(ended)) from ended
            finally:
                if conn.broken:
                    check = asyncio.create_task(self.check())
                    self._checks.add(check)
                    check.add_done_callback(self._checks.discard)


Configure = Callable[[psycopg.AsyncConnection[Row]], Awaitable[None]]

_pool: AsyncPool | None = None


async def configure(conn: psycopg.AsyncConnection[Row]) -> None:
    """Fast JSON on a new connection, no code generation for short statements, and an end of transactions that nobody
    goes on with.

    A process that stands still, or whose loop is blocked, in the middle of a transaction would hold its locks for good.
    """
    set_json_dumps(orjson.dumps, conn)
    set_json_loads(orjson.loads, conn)
    # The older setting does not count while a pipeline has not been synchronised.
    name = "transaction_timeout" if conn.info.server_version >= 170_000 else "idle_in_transaction_session_timeout"
    await conn.execute(f"SET {name} = '{settings.TRANSACTION_S * 1_000:.0f}ms'; SET jit = off")


async def configure_for_keys(conn: psycopg.AsyncConnection[Row]) -> None:
    """The same, for who looks things up by their keys alone: a statement is planned once, whatever its parameters.

    For many statements planning is more than carrying them out.
    """
    await configure(conn)
    await conn.execute("SET plan_cache_mode = force_generic_plan")


async def open_pool(*, size: int, configure: Configure = configure) -> AsyncPool:
    """Open this process's pool; `pool()` finds it from then on. It reconnects by itself after an outage.

    `configure` is done with each new connection.
    """
    global _pool
    _pool = AsyncPool(
        settings.DATABASE_URL,
        kwargs={"autocommit": True, "row_factory": dict_row, "prepare_threshold": 2},
        configure=configure,
        min_size=1,
        max_size=size,
        open=False,
    )
    await _pool.open()
    return _pool


async def close_pool() -> None:
    global _pool
    if _pool is not None:
        await _pool.close()
        _pool = None


def pool() -> AsyncPool:
    """The pool of this process's event loop."""
    if _pool is None:
        raise RuntimeError("The async pool is not open: this code runs outside the web and worker loops.")
    return _pool
