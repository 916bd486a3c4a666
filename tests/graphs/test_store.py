"""The store as graphs have it: LangGraph's interface, and the rows that clients see at /store."""

import asyncio
from datetime import timedelta
from typing import Any, TypedDict
from uuid import UUID

import pytest
from django.db.models.functions import Now
from langgraph.graph import START, StateGraph
from langgraph.runtime import Runtime
from langgraph.store.base import GetOp, InvalidNamespaceError, PutOp

from graphs.store import Store
from memory.models import StoreItem
from tests.api import Api
from tests.runs.worker import in_thread


@pytest.fixture
async def store(api: Api, async_pool: None) -> Store:
    return Store(api.workspace.id)


async def test_what_is_put_is_got_searched_listed_and_deleted(store: Store) -> None:
    await store.aput(("users", "ann"), "food", {"likes": "soup", "n": 3})
    await store.aput(("users", "bob"), "food", {"likes": "bread", "n": 1})
    found = await store.aget(("users", "ann"), "food")
    assert found is not None
    assert (found.namespace, found.key, found.value) == (("users", "ann"), "food", {"likes": "soup", "n": 3})
    assert found.created_at == found.updated_at
    many = await store.asearch(("users",), filter={"n": {"$gt": 2}}, query="what does ann like")
    assert [(item.namespace, item.score) for item in many] == [(("users", "ann"), None)]
    assert await store.alist_namespaces(prefix=["users"], suffix=["*"]) == [("users", "ann"), ("users", "bob")]
    assert await store.alist_namespaces(max_depth=1) == [("users",)]
    await store.adelete(("users", "ann"), "food")
    assert await store.aget(("users", "ann"), "food") is None


async def test_a_batch_is_carried_out_in_its_order(store: Store) -> None:
    name = (("a",), "k")
    put, gone = PutOp(*name, {"n": 1}), PutOp(*name, None)
    results = await store.abatch([GetOp(*name), put, PutOp(*name, {"n": 2}), GetOp(*name), put, gone, GetOp(*name)])
    assert [result and result.value for result in results] == [None, None, None, {"n": 2}, None, None, None]


async def test_a_user_s_store_is_their_own(api: Api, store: Store) -> None:
    await Store(api.workspace.id, "ann").aput(("a",), "k", {"mine": True})
    assert await store.aget(("a",), "k") is None
    assert await Store(api.workspace.id, "bob").asearch(()) == []
    assert (await Store(str(api.workspace.id), "ann").aget(("a",), "k")) is not None


async def test_how_long_a_document_is_kept(api: Api, async_pool: None) -> None:
    store = Store(api.workspace.id, ttl={"default_ttl": 5, "refresh_on_read": False})
    await store.aput(("a",), "told", {}, ttl=90)
    await store.aput(("a",), "untold", {})
    await store.aput(("a",), "for good", {}, ttl=None)
    kept = await in_thread(lambda: dict(StoreItem.objects.values_list("key", "ttl_minutes")))
    assert kept == {"told": 90, "untold": 5, "for good": None}


async def test_a_read_that_is_not_to_keep_a_document_does_not(api: Api, store: Store) -> None:
    for key in ("kept", "looked at"):
        await store.aput(("a",), key, {}, ttl=60)
    await in_thread(lambda: StoreItem.objects.update(expires_at=Now() + timedelta(minutes=1)))
    await store.abatch([GetOp(("a",), "kept", True), GetOp(("a",), "looked at", False)])
    soon = await in_thread(lambda: list(StoreItem.objects.filter(expires_at__lt=Now() + timedelta(minutes=30))))
    assert [item.key for item in soon] == ["looked at"]


async def test_what_no_document_may_be_called_is_refused(store: Store) -> None:
    for namespace in ((), ("langgraph", "x"), ("a.b",)):
        with pytest.raises(InvalidNamespaceError):
            await store.aput(namespace, "k", {})
    with pytest.raises(ValueError, match="ttl"):
        await store.aput(("a",), "k", {}, ttl=-1)


class State(TypedDict):
    seen: Any


def counts(state: State, runtime: Runtime[None]) -> State:
    """Not asynchronous: LangGraph has a thread carry it out."""
    assert runtime.store is not None
    before = runtime.store.get(("counts",), "n")
    number = 1 if before is None else before.value["n"] + 1
    runtime.store.put(("counts",), "n", {"n": number, "of": UUID(int=number)})
    return {"seen": number}


async def test_a_node_on_a_thread_of_its_own_remembers(store: Store) -> None:
    graph = StateGraph(State).add_node(counts).add_edge(START, "counts").compile(store=store)
    assert [(await graph.ainvoke({"seen": None}))["seen"] for _ in range(2)] == [1, 2]
    (item,) = await store.asearch(("counts",))
    assert item.value == {"n": 2, "of": str(UUID(int=2))}


async def test_a_synchronous_method_on_the_loop_itself_is_refused(store: Store) -> None:
    with pytest.raises(RuntimeError, match="on the event loop"):
        store.get(("a",), "k")
    assert await asyncio.to_thread(store.get, ("a",), "k") is None
