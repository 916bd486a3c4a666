"""`/store`, as the official SDK's StoreClient uses it."""

from dataclasses import replace
from typing import Any

import httpx
import pytest
from langgraph_sdk.client import LangGraphClient
from langgraph_sdk.errors import PermissionDeniedError

from core.db import pool
from runtime.configuration import configure, current
from tests.api import Api
from tests.langgraph.conftest import client_of


async def names(client: LangGraphClient, *prefix: str, **search: Any) -> list[str]:
    found = await client.store.search_items(prefix, **search)
    return [item["key"] for item in found["items"]]


async def test_what_is_put_is_got(client: LangGraphClient) -> None:
    await client.store.put_item(("users", "u1"), key="food", value={"likes": "rice"}, index=False)
    item = await client.store.get_item(("users", "u1"), key="food")
    assert set(item) == {"namespace", "key", "value", "created_at", "updated_at"}
    assert (item["namespace"], item["key"], item["value"]) == (["users", "u1"], "food", {"likes": "rice"})


async def test_what_is_not_there_is_null_and_deleting_it_does_nothing(client: LangGraphClient) -> None:
    await client.store.delete_item(("a",), key="k")
    assert await client.store.get_item(("a",), key="k") is None
    assert await client.store.list_namespaces() == {"namespaces": []}


async def test_what_is_deleted_is_gone(client: LangGraphClient) -> None:
    await client.store.put_item(("a",), key="k", value={})
    await client.store.delete_item(("a",), key="k")
    assert await client.store.get_item(("a",), key="k") is None


async def test_searching(client: LangGraphClient) -> None:
    for number in range(3):
        await client.store.put_item(("docs", f"d{number}"), key=str(number), value={"n": number, "odd": number % 2})
    assert await names(client, "docs") == ["2", "1", "0"]
    assert await names(client, "docs", limit=1, offset=1) == ["1"]
    assert await names(client, "docs", filter={"n": {"$gte": 1}, "odd": 0}) == ["2"]
    assert await names(client, "docs", "d1", query="whatever it means") == ["1"]
    found = await client.store.search_items(("docs", "d1"))
    assert found["items"][0]["score"] is None


async def test_everything_is_found_without_a_prefix(client: LangGraphClient, http: httpx.AsyncClient) -> None:
    await client.store.put_item(("a",), key="k", value={})
    bodies: list[dict[str, Any]] = [{}, {"namespace_prefix": None}, {"namespace_prefix": []}]
    for body in bodies:
        answer = await http.post("/store/items/search", json=body)
        assert [item["key"] for item in answer.json()["items"]] == ["k"]


async def test_namespaces(client: LangGraphClient) -> None:
    for namespace in (("users", "u1", "food"), ("users", "u2", "food"), ("docs",)):
        await client.store.put_item(namespace, key="k", value={})
    assert (await client.store.list_namespaces(max_depth=1))["namespaces"] == [["docs"], ["users"]]
    found = await client.store.list_namespaces(prefix=["users", "*"], suffix=["food"], limit=1, offset=1)
    assert found["namespaces"] == [["users", "u2", "food"]]


REFUSED: list[tuple[str, str, dict[str, Any], int, str]] = [
    ("PUT", "", {"namespace": [], "key": "k", "value": {}}, 400, "Namespace cannot be empty."),
    ("PUT", "", {"namespace": ["a.b"], "key": "k", "value": {}}, 422, "'a.b' must be a non-empty string"),
    ("PUT", "", {"namespace": ["langgraph"], "key": "k", "value": {}}, 400, 'cannot be "langgraph"'),
    ("PUT", "", {"namespace": ["a"], "value": {}}, 422, "key"),
    ("PUT", "", {"namespace": ["a"], "key": "k", "value": 5}, 422, "value"),
    ("PUT", "", {"namespace": ["a"], "key": "k", "value": {}, "index": ["x"]}, 422, "no index"),
    ("PUT", "", {"namespace": ["a"], "key": "k", "value": {}, "ttl": -1}, 422, "ttl"),
    ("DELETE", "", {"namespace": ["a", ""], "key": "k"}, 422, "'' must be a non-empty string"),
    ("POST", "/search", {"namespace_prefix": ["a.b"]}, 422, "'a.b' must be"),
    ("POST", "/search", {"filter": {"n": {"$foo": 1}}}, 400, "Unsupported operator: $foo"),
    ("POST", "/search", {"limit": 0}, 422, "limit"),
]


async def test_refusals(http: httpx.AsyncClient) -> None:
    for method, path, asked, status, said in REFUSED:
        answer = await http.request(method, f"/store/items{path}", json=asked)
        assert (answer.status_code, asked) == (status, asked)
        assert said in answer.json()["detail"]


async def test_reading_asks_for_a_key_and_labels(http: httpx.AsyncClient) -> None:
    answer = await http.get("/store/items", params={"namespace": "a"})
    assert (answer.status_code, answer.json()) == (400, {"error": "Key is required"})
    for namespace in ("", "a..b"):
        assert (await http.get("/store/items", params={"namespace": namespace, "key": "k"})).status_code == 422


async def test_what_is_no_json_is_said_to_be(http: httpx.AsyncClient) -> None:
    answer = await http.put("/store/items", content=b"", headers={"content-type": "application/json"})
    assert (answer.status_code, answer.json()) == (422, {"detail": "Invalid JSON in request body"})


@pytest.fixture
def reader(tenant: Api) -> Api:
    return Api(tenant.workspace, scopes=("memory:read",))


async def test_a_bound_key_and_a_stranger_see_nothing_of_it(
    ann: Api, reader: Api, neighbour: Api, client: LangGraphClient
) -> None:
    await client.store.put_item(("a",), key="k", value={"whose": "everybody's"})
    for other in (ann, neighbour):
        async with client_of(other) as theirs:
            assert await theirs.store.get_item(("a",), key="k") is None
            assert await names(theirs) == []
    async with client_of(reader) as looking:
        assert await names(looking) == ["k"]
        with pytest.raises(PermissionDeniedError, match="memory:write"):
            await looking.store.put_item(("a",), key="k", value={})


async def expiring(key: str) -> Any:
    """When the document goes, and for how many minutes it was put."""
    async with pool().connection() as conn:
        found = await conn.execute("SELECT expires_at, ttl_minutes FROM store_items WHERE key = %s", [key])
        row = await found.fetchone()
    assert row is not None
    return row["expires_at"], row["ttl_minutes"]


async def test_times_to_live_are_minutes_and_langgraph_json_has_the_default(
    client: LangGraphClient, http: httpx.AsyncClient
) -> None:
    config = replace(current().langgraph, store={"ttl": {"default_ttl": 30, "refresh_on_read": False}})
    configure(replace(current(), langgraph=config))
    await client.store.put_item(("a",), key="default", value={})
    await client.store.put_item(("a",), key="own", value={}, ttl=5)
    await http.put("/store/items", json={"namespace": ["a"], "key": "for good", "value": {}, "ttl": None})
    assert [(await expiring(key))[1] for key in ("default", "own", "for good")] == [30, 5, None]
    before, _ = await expiring("own")
    await client.store.get_item(("a",), key="own")
    assert (await expiring("own"))[0] == before
    await client.store.get_item(("a",), key="own", refresh_ttl=True)
    assert (await expiring("own"))[0] > before


async def test_a_search_costs_as_many_statements_for_any_number(client: LangGraphClient, asked: list[str]) -> None:
    await client.store.put_item(("a",), key="first", value={}, ttl=5)
    await names(client)
    asked.clear()
    await names(client)
    few = len(asked)
    for number in range(3):
        await client.store.put_item(("a",), key=str(number), value={}, ttl=5)
    asked.clear()
    assert len(await names(client)) == 4
    assert len(asked) == few
