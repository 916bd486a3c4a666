"""LangGraph's store on the rows of ours (`memory.services`): what graphs remember across conversations.

A graph's store is the one that clients see at /store: that of the run's workspace, and of its user where it has one.
There is no index: `query` of a search and `index` of a document have no effect, as in any store without embeddings.
"""

import asyncio
from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Any
from uuid import UUID

from langgraph.store.base import (
    BaseStore,
    GetOp,
    InvalidNamespaceError,
    Item,
    ListNamespacesOp,
    Op,
    PutOp,
    Result,
    SearchItem,
    SearchOp,
    TTLConfig,
)

from core.db import Row
from core.errors import BadRequest, Invalid
from graphs.registry import config
from graphs.rendering import render
from memory.items import Listing, Put, Search
from memory.services import Owner, delete_items, get_items, list_namespaces, put_items, search_items


class Store(BaseStore):
    """The store of a workspace, or of one of its users.

    `ttl`: how long documents are kept of which nothing else is said, and whether reading one begins that anew; without
    it langgraph.json's `store.ttl` holds. Made on the event loop that its methods are carried out on; those without `a`
    are for other threads.
    """

    supports_ttl = True
    __slots__ = ("_loop", "_owner", "ttl_config")

    def __init__(self, workspace_id: UUID | str, user_id: str | None = None, *, ttl: TTLConfig | None = None) -> None:
        self._owner = Owner(UUID(str(workspace_id)), user_id or "")
        self._loop = asyncio.get_running_loop()
        self.ttl_config: TTLConfig | None = config().store.get("ttl") if ttl is None else ttl

    async def abatch(self, ops: Iterable[Op]) -> list[Result]:
        """Carry these out in their order, those of one kind that follow each other at once.

        Raises InvalidNamespaceError for a name that no document has, ValueError for what else is refused.
        """
        results: list[Result] = []
        try:
            for kind, several in groupby(ops, key=type):
                results += await _KINDS[kind](self._owner, list(several))
        except BadRequest as refused:
            raise InvalidNamespaceError(refused.detail) from None
        except Invalid as refused:
            raise ValueError(refused.detail) from None
        return results

    def batch(self, ops: Iterable[Op]) -> list[Result]:
        """The same, from another thread than the event loop's: that of a node that is not asynchronous."""
        try:
            on_loop = asyncio.get_running_loop() is self._loop
        except RuntimeError:
            on_loop = False
        if on_loop:
            raise RuntimeError(
                "A synchronous method of the store was called on the event loop, which it would wait for: "
                "use the asynchronous one there, such as `aget` for `get`."
            )
        return asyncio.run_coroutine_threadsafe(self.abatch(ops), self._loop).result()


async def _get(owner: Owner, ops: Sequence[GetOp]) -> list[Result]:
    found: dict[tuple[tuple[str, ...], str], Row] = {}
    for refresh in {op.refresh_ttl for op in ops}:
        names = [(op.namespace, op.key) for op in ops if op.refresh_ttl is refresh]
        found |= await get_items(owner, names, refresh_ttl=refresh).arun()
    rows = [found.get((op.namespace, op.key)) for op in ops]
    return [None if row is None else Item(**_fields(row)) for row in rows]


async def _search(owner: Owner, ops: Sequence[SearchOp]) -> list[Result]:
    results: list[Result] = []
    for op in ops:
        search = Search(op.namespace_prefix, op.filter or {}, op.limit, op.offset, op.refresh_ttl)
        rows = await search_items(owner, search).arun()
        results.append([SearchItem(**_fields(row)) for row in rows])
    return results


async def _put(owner: Owner, ops: Sequence[PutOp]) -> list[Result]:
    # The last one under a name counts, whether it writes or deletes.
    last = {(op.namespace, op.key): op for op in ops}
    puts = [Put(op.namespace, op.key, render(op.value), op.ttl) for op in last.values() if op.value is not None]
    gone = [name for name, op in last.items() if op.value is None]
    await put_items(owner, puts).arun()
    await delete_items(owner, gone).arun()
    return [None] * len(ops)


async def _list(owner: Owner, ops: Sequence[ListNamespacesOp]) -> list[Result]:
    results: list[Result] = []
    for op in ops:
        ends = {str(condition.match_type): tuple(condition.path) for condition in op.match_conditions or ()}
        listing = Listing(ends.get("prefix", ()), ends.get("suffix", ()), op.max_depth, op.limit, op.offset)
        results.append([tuple(namespace) for namespace in await list_namespaces(owner, listing).arun()])
    return results


_KINDS: dict[type, Any] = {GetOp: _get, SearchOp: _search, PutOp: _put, ListNamespacesOp: _list}


def _fields(row: Row) -> dict[str, Any]:
    return {
        "namespace": tuple(row["namespace"]),
        "key": row["key"],
        "value": row["value"],
        "created_at": row["created_at"],
        "updated_at": row["updated_at"],
    }
