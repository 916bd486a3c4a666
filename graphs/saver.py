"""LangGraph's checkpointer on the rows of a session (`sessions.models.GraphCheckpoint` and its neighbours).

Its thread is the session. In a worker it writes nothing: rows go to the step in flight, which stores them in its fenced
transaction, and the graph reads them from here until then. Without a worker it writes at once, in one transaction.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Coroutine, Iterator, Mapping, Sequence
from inspect import signature
from typing import Any, Protocol, TypeVar
from uuid import UUID

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import (
    WRITES_IDX_MAP,
    BaseCheckpointSaver,
    ChannelVersions,
    Checkpoint,
    CheckpointMetadata,
    CheckpointTuple,
    DeltaChannelHistory,
    get_checkpoint_id,
    get_serializable_checkpoint_metadata,
)

from core.db import Operation, Query, operation
from core.ids import parse_id
from graphs.growing import GrowingLists
from graphs.overlay import Overlay
from graphs.rendering import TAG, Json, render
from graphs.serde import Serde, dump, load
from graphs.tuples import Tuples, config_of, pending
from graphs.warm import Head
from runtime.graph_rows import GraphRows
from sessions.graph_queries import GraphPage, ValueKey, read_deltas, read_graph
from sessions.graph_rows import copy_graphs, delete_graphs, forget_runs, insert_rows, thin_out_graphs

T = TypeVar("T")
_EMPTY: Json = object()  # what a channel holds that holds nothing


class Sink(Protocol):
    """Who stores what a run's graph leaves."""

    async def put(self, rows: GraphRows) -> None:
        """Take these rows over, to be stored in the order in which they come."""


class Saver(BaseCheckpointSaver[str]):
    """A checkpointer of one session, or of any (`session_id` None) for whoever may touch them all.

    `sink`: takes what would be written. `create_threads`: sessions that do not exist are made in `workspace_id`.
    `warm`: where the session stands, which is not read then.
    Made on the event loop that its methods are carried out on; those without `a` are for other threads.
    """

    def __init__(
        self,
        session_id: UUID | None = None,
        *,
        sink: Sink | None = None,
        workspace_id: UUID | None = None,
        create_threads: bool = False,
        warm: GraphPage | None = None,
    ) -> None:
        super().__init__(serde=Serde())
        self._session_id, self._sink = session_id, sink
        self._workspace_id = workspace_id if create_threads else None
        self._overlay, self._lists = Overlay(), GrowingLists()
        self._warm, self._head = warm, Head()
        self._loop = asyncio.get_running_loop()

    def with_allowlist(self, extra_allowlist: Any) -> "Saver":
        """Itself: what may be built again is what `graphs.serde.allow` was told."""
        return self

    def stored(self, rows: GraphRows) -> None:
        """These, which the sink was given, have been stored: they need not be remembered any more."""
        self._overlay.drop(rows)

    @property
    def head(self) -> tuple[GraphPage | None, int]:
        """Where the session stands with what this run has handed over, if that is known; and how many bytes it takes,
        about."""
        return self._head.page(), self._lists.size

    def get_next_version(self, current: str | None, channel: None) -> str:
        """A counter, which texts are compared by, and what tells versions of two forks apart."""
        count = int(str(current).partition(".")[0]) + 1 if current is not None else 1
        return f"{count:010}.{random.getrandbits(48):012x}"

    # -- reading -------------------------------------------------------------------------------------------------------

    async def aget_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        """The checkpoint that `config` names, or the latest; with its values and what was written after it."""
        session, namespace, checkpoint_id = self._session(config), _namespace(config), get_checkpoint_id(config)
        warm, self._warm = self._warm, None
        if warm is None or namespace or checkpoint_id:
            warm = await self._read(session, namespace=namespace, checkpoint_id=checkpoint_id, limit=1)
        page = warm
        if not namespace and not checkpoint_id:
            self._head.read(page)
        for key, row in page.checkpoints.items():
            if self._sink is not None:
                versions = row["document"]["channel_versions"]
                self._lists.learn(page, [(namespace, channel, str(version)) for channel, version in versions.items()])
            return Tuples(session, page).of(key)
        return None

    async def alist(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,  # noqa: A002 - as LangGraph calls it
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> AsyncIterator[CheckpointTuple]:
        """The checkpoints of a thread, the latest first. Raises ValueError without one."""
        if config is None:
            raise ValueError("Checkpoints are listed of one thread.")
        session = self._session(config)
        page = await self._read(
            session,
            namespace=config["configurable"].get("checkpoint_ns"),
            checkpoint_id=get_checkpoint_id(config),
            before=get_checkpoint_id(before) if before else None,
            metadata=filter and render(filter),
            limit=limit,
        )
        tuples = Tuples(session, page)
        for key in page.checkpoints:
            yield tuples.of(key)

    async def _read(
        self,
        session: UUID,
        *,
        namespace: str | None,
        checkpoint_id: str | None,
        before: str | None = None,
        metadata: dict[str, Any] | None = None,
        limit: int | None = None,
    ) -> GraphPage:
        held = self._overlay.matching(namespace, checkpoint_id, before, metadata)
        page = await read_graph(
            session,
            namespace=namespace,
            checkpoint_id=checkpoint_id,
            before=before,
            metadata=metadata,
            limit=limit,
            values=self._overlay.missing(held),
            writes=held,
        ).arun()
        if self._sink is not None:
            self._overlay.lay_over(page, held, limit)
        return page

    async def aget_delta_channel_history(
        self, *, config: RunnableConfig, channels: Sequence[str]
    ) -> Mapping[str, DeltaChannelHistory]:
        """What delta channels are made of: from the rows at once, or step by step while some are not stored yet."""
        if not channels or self._overlay.checkpoints:
            return await super().aget_delta_channel_history(config=config, channels=channels)
        asked = self._session(config), _namespace(config), get_checkpoint_id(config), channels
        seeds, written = await read_deltas(*asked).arun()
        histories: dict[str, DeltaChannelHistory] = {channel: {"writes": []} for channel in channels}
        for write in written:
            histories[write["channel"]]["writes"].append(pending(write))
        for channel, seed in seeds.items():
            histories[channel]["seed"] = load(seed)
        return histories

    # -- writing -------------------------------------------------------------------------------------------------------

    async def aput(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        """Store a checkpoint and the values of the channels that are new with it."""
        namespace, parent = _namespace(config), get_checkpoint_id(config)
        held: dict[str, Any] = checkpoint["channel_values"]
        rows = GraphRows(
            checkpoints=[
                {
                    "namespace": namespace,
                    "checkpoint_id": checkpoint["id"],
                    "parent_id": parent,
                    "document": dump({key: item for key, item in checkpoint.items() if key != "channel_values"}),
                    "metadata": render(get_serializable_checkpoint_metadata(config, metadata)),
                }
            ],
            values=[
                self._value((namespace, channel, str(version)), dump(held[channel]) if channel in held else _EMPTY)
                for channel, version in new_versions.items()
            ],
        )
        await self._put(self._session(config), rows)
        return config_of(config["configurable"]["thread_id"], namespace, checkpoint["id"])

    def _value(self, key: ValueKey, stored: Json) -> dict[str, Any]:
        base = None
        if stored is _EMPTY:
            stored = None
        elif stored is None:
            stored = {TAG: "none"}
        elif isinstance(stored, list) and self._sink is not None:
            # Who writes at once has no word in what becomes of the versions that are there.
            stored, base = self._lists.store(key, stored)
        return {"namespace": key[0], "channel": key[1], "version": key[2], "value": stored, "base": base}

    async def aput_writes(
        self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str = ""
    ) -> None:
        """Store what a task wrote after a checkpoint."""
        place = {"namespace": _namespace(config), "checkpoint_id": get_checkpoint_id(config), "task_id": task_id}
        rows = [
            {
                **place,
                "index": WRITES_IDX_MAP.get(channel, index),
                "task_path": task_path,
                "channel": channel,
                "value": dump(value),
            }
            for index, (channel, value) in enumerate(writes)
        ]
        await self._put(self._session(config), GraphRows(writes=rows))

    # LangGraph asks for it at the begin of each run, and making it anew is a percent of that.
    aput_writes.__signature__ = signature(aput_writes)  # type: ignore[attr-defined]

    async def _put(self, session: UUID, rows: GraphRows) -> None:
        if self._sink is None:
            await _write(session, self._workspace_id, rows).arun()
        else:
            self._overlay.add(rows)
            self._head.put(rows)
            await self._sink.put(rows)

    async def adelete_thread(self, thread_id: str) -> None:
        """Delete all checkpoints of a thread; the session stays."""
        await _alone(delete_graphs([self._thread(thread_id)])).arun()

    async def adelete_for_runs(self, run_ids: Sequence[str]) -> None:
        """Delete the checkpoints that these runs have made, and what was written after them."""
        await _alone(forget_runs(run_ids, self._session_id)).arun()

    async def acopy_thread(self, source_thread_id: str, target_thread_id: str) -> None:
        """Give a thread that has no checkpoints all those of another one."""
        target = self._thread(target_thread_id)
        await _copy(self._thread(source_thread_id), target, self._workspace_id).arun()

    async def aprune(self, thread_ids: Sequence[str], *, strategy: str = "keep_latest") -> None:
        """Delete the checkpoints of threads: all of them (`delete`), or all but the latest of each graph in them.

        Raises ValueError for another strategy.
        """
        if strategy not in ("keep_latest", "delete"):
            raise ValueError(f"There is no such strategy: {strategy!r}.")
        threads = [self._thread(thread) for thread in thread_ids]
        await _alone(thin_out_graphs(threads) if strategy == "keep_latest" else delete_graphs(threads)).arun()

    # -- which session -------------------------------------------------------------------------------------------------

    def _session(self, config: RunnableConfig) -> UUID:
        return self._thread(config["configurable"]["thread_id"])

    def _thread(self, thread_id: Any) -> UUID:
        """Raises ValueError for another one than this saver's: a graph cannot reach out for other conversations."""
        session = parse_id(str(thread_id))
        if session is None or self._session_id not in (None, session):
            raise ValueError(f"This checkpointer does not serve the thread {thread_id!r}.")
        if self._sink is not None:
            # Its rows are those of one run.
            self._session_id = session
        return session

    # -- from other threads --------------------------------------------------------------------------------------------

    def _wait(self, work: Coroutine[Any, Any, T]) -> T:
        try:
            on_loop = asyncio.get_running_loop() is self._loop
        except RuntimeError:
            on_loop = False
        if on_loop:
            work.close()
            raise RuntimeError(
                "A synchronous method of the checkpointer was called on the event loop, which it would wait for: "
                "use the asynchronous one there, such as `aget_state` for `get_state`."
            )
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def get_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        return self._wait(self.aget_tuple(config))

    def list(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,  # noqa: A002
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> Iterator[CheckpointTuple]:
        async def collected() -> tuple[CheckpointTuple, ...]:
            return tuple([item async for item in self.alist(config, filter=filter, before=before, limit=limit)])

        yield from self._wait(collected())

    def put(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        return self._wait(self.aput(config, checkpoint, metadata, new_versions))

    def put_writes(
        self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str = ""
    ) -> None:
        self._wait(self.aput_writes(config, writes, task_id, task_path))

    def delete_thread(self, thread_id: str) -> None:
        self._wait(self.adelete_thread(thread_id))

    def delete_for_runs(self, run_ids: Sequence[str]) -> None:
        self._wait(self.adelete_for_runs(run_ids))

    def copy_thread(self, source_thread_id: str, target_thread_id: str) -> None:
        self._wait(self.acopy_thread(source_thread_id, target_thread_id))

    def prune(self, thread_ids: Sequence[str], *, strategy: str = "keep_latest") -> None:
        self._wait(self.aprune(thread_ids, strategy=strategy))

    def get_delta_channel_history(
        self, *, config: RunnableConfig, channels: Sequence[str]
    ) -> Mapping[str, DeltaChannelHistory]:
        return self._wait(self.aget_delta_channel_history(config=config, channels=channels))


def _namespace(config: RunnableConfig) -> str:
    namespace: str = config["configurable"].get("checkpoint_ns", "")
    return namespace


# -- without a worker --------------------------------------------------------------------------------------------------

_MAKE_SESSION = """
INSERT INTO sessions (id, workspace_id, title, metadata, context, state) VALUES (%(id)s, %(workspace)s, '', '{}', '{}',
    '{}') ON CONFLICT (id) DO NOTHING
"""


@operation(atomic=True)
def _write(session_id: UUID, workspace_id: UUID | None, rows: GraphRows) -> Operation[None]:
    yield from _there(session_id, workspace_id)
    yield from insert_rows(session_id, None, rows)


@operation(atomic=True)
def _copy(source: UUID, target: UUID, workspace_id: UUID | None) -> Operation[None]:
    yield from _there(target, workspace_id)
    yield from copy_graphs(source, target)


def _there(session_id: UUID, workspace_id: UUID | None) -> Operation[None]:
    if workspace_id is not None:
        yield Query(_MAKE_SESSION, {"id": session_id, "workspace": workspace_id})


@operation(atomic=True)
def _alone(steps: Operation[None]) -> Operation[None]:
    yield from steps
