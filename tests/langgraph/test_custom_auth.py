"""A deployment's own `langgraph_sdk.Auth` at the door."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from langgraph_sdk import Auth
from langgraph_sdk.client import LangGraphClient
from langgraph_sdk.errors import APIStatusError

from config.asgi import application
from protocols.langgraph import auth as door_auth
from tests.api import Api

TOKENS = {"ann-token": "ann", "bob-token": "bob"}


def with_tokens() -> Auth:
    """Who shows one of the tokens is known; nothing is said of what they may do."""
    auth = Auth()

    @auth.authenticate
    async def known(authorization: str | None, method: str, path: str, headers: dict[bytes, bytes]) -> Any:
        assert headers[b"host"] == b"test"
        if authorization == "Bearer broken":
            raise RuntimeError("it does not work")
        name = TOKENS.get((authorization or "").removeprefix("Bearer "))
        if name is None:
            raise Auth.exceptions.HTTPException(status_code=401, detail="no token", headers={"x-hint": path})
        return {"identity": name, "permissions": [method], "team": "blue"}

    return auth


@pytest.fixture
def auth() -> Iterator[Auth]:
    auth = with_tokens()
    door_auth.install(auth)
    yield auth
    door_auth.install(None)


def speaking(token: str) -> LangGraphClient:
    transport = httpx.ASGITransport(application)
    headers = {"authorization": f"Bearer {token}"} if token else {}
    return LangGraphClient(httpx.AsyncClient(transport=transport, base_url="http://test/langgraph", headers=headers))


async def put(token: str, *namespace: str, key: str = "k") -> None:
    async with speaking(token) as client:
        await client.store.put_item(namespace, key=key, value={"by": token})


async def keys(token: str, *prefix: str) -> list[str]:
    async with speaking(token) as client:
        return [item["key"] for item in (await client.store.search_items(prefix))["items"]]


# -- who asks ----------------------------------------------------------------------------------------------------------


async def test_who_is_not_known_is_told_so_by_the_handler(auth: Auth, tenant: Api, open_door: None) -> None:
    async with speaking("nobody's") as client:
        answer = await client.http.client.post("/store/items/search", json={})
    assert (answer.status_code, answer.json()) == (401, {"detail": "no token"})
    assert answer.headers["x-hint"] == "/store/items/search"


async def test_a_handler_that_fails_lets_nobody_in(auth: Auth, tenant: Api, open_door: None) -> None:
    async with speaking("broken") as client:
        answer = await client.http.client.post("/store/items/search", json={})
    assert answer.status_code == 503
    assert "does not work" not in answer.text


async def test_what_is_open_stays_open(auth: Auth, tenant: Api, open_door: None) -> None:
    async with speaking("") as client:
        assert (await client.http.client.get("/ok")).status_code == 200
        for path in ("/info", "/docs", "/openapi.json"):
            assert (await client.http.client.get(path)).status_code == 401


async def test_a_key_of_this_server_holds_beside_it(auth: Auth, client: LangGraphClient) -> None:
    @auth.on
    async def nobody(ctx: Any, value: Any) -> bool:
        return False

    await client.store.put_item(("a",), key="k", value={})
    assert await client.store.get_item(("a",), key="k") is not None


async def test_its_tokens_open_nothing_but_this_door(auth: Auth, tenant: Api, open_door: None) -> None:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(application), base_url="http://test") as http:
        answer = await http.get("/sessions", headers={"authorization": "Bearer ann-token"})
    assert answer.status_code == 401


async def test_where_nothing_is_said_of_what_they_may_do_each_user_has_what_is_theirs(
    auth: Auth, tenant: Api, open_door: None
) -> None:
    await put("ann-token", "a")
    assert await keys("ann-token") == ["k"]
    assert await keys("bob-token") == []


async def test_an_auth_that_asks_for_what_is_not_given_does_not_start() -> None:
    auth = Auth()
    with pytest.raises(ValueError, match=r"no @auth\.authenticate"):
        door_auth.install(auth)

    @auth.authenticate
    async def known(body: Any) -> str:
        return "ann"

    with pytest.raises(ValueError, match="cannot be given body"):
        door_auth.install(auth)


# -- what they may do --------------------------------------------------------------------------------------------------


async def test_the_most_specific_handler_is_asked_and_no_other(auth: Auth, tenant: Api, open_door: None) -> None:
    asked = []

    @auth.on
    async def everything(ctx: Any, value: Any) -> bool:
        asked.append("everything")
        return False

    @auth.on.store
    async def store(ctx: Any, value: Any) -> bool:
        asked.append("store")
        return True

    @auth.on.store.put
    async def store_put(ctx: Any, value: Any) -> None:
        asked.append(f"put by {ctx.user.identity} of {ctx.user['team']}: {ctx.permissions} {ctx.resource}.{ctx.action}")

    await put("ann-token", "a")
    assert await keys("bob-token") == ["k"]
    assert asked == ["put by ann of blue: ['PUT'] store.put", "store"]


async def test_a_handler_scopes_the_store(auth: Auth, tenant: Api, open_door: None) -> None:
    @auth.on.store
    async def own(ctx: Any, value: Any) -> None:
        value["namespace"] = (ctx.user.identity, *(value.get("namespace") or ()))

    await put("ann-token", "a")
    await put("bob-token", "b")
    assert await keys("ann-token") == ["k"]
    async with speaking("ann-token") as client:
        assert (await client.store.list_namespaces())["namespaces"] == [["ann", "a"]]
        assert await client.store.get_item(("a",), key="k") is not None
        await client.store.delete_item(("a",), key="k")
    assert await keys("ann-token") == []
    assert await keys("bob-token") == ["k"]


@pytest.mark.parametrize("refusal", [False, "no answer", AssertionError("not yours"), "raised"])
async def test_a_handler_refuses(auth: Auth, tenant: Api, open_door: None, refusal: Any) -> None:
    @auth.on.store
    async def refuse(ctx: Any, value: Any) -> Any:
        if refusal == "raised":
            raise Auth.exceptions.HTTPException(status_code=409, detail="taken")
        if isinstance(refusal, Exception):
            raise refusal
        return refusal

    with pytest.raises(APIStatusError) as refused:
        await put("ann-token", "a")
    expected = {"raised": (409, "taken")}.get(str(refusal), (403, "not yours" if str(refusal) == "not yours" else ""))
    assert refused.value.status_code == expected[0]
    assert expected[1] in refused.value.response.json()["detail"]


# -- whose rows are whose ----------------------------------------------------------------------------------------------


@pytest.fixture
def owned(auth: Auth) -> Auth:
    """Everything is its maker's."""

    @auth.on
    async def own(ctx: Any, value: Any) -> Any:
        if ctx.resource == "store":
            return None
        value.setdefault("metadata", {})["owner"] = ctx.user.identity
        return {"owner": ctx.user.identity}

    return auth


async def refused(asked: Any) -> int:
    with pytest.raises(APIStatusError) as refusal:
        await asked
    return refusal.value.status_code


async def test_another_users_thread_is_not_there(owned: Auth, tenant: Api, open_door: None) -> None:
    async with speaking("ann-token") as ann, speaking("bob-token") as bob:
        made = await ann.threads.create(metadata={"q": 1})
        assert made["metadata"] == {"q": 1, "owner": "ann"}
        thread = made["thread_id"]
        run = await ann.runs.create(thread, "echo", input={})
        for asked in (
            bob.threads.get(thread),
            bob.threads.update(thread, metadata={"a": 1}),
            bob.threads.get_state(thread),
            bob.threads.get_history(thread),
            bob.threads.update_state(thread, {"messages": []}),
            bob.runs.list(thread),
            bob.runs.get(thread, run["run_id"]),
            bob.runs.create(thread, "echo", input={}),
            bob.runs.cancel(thread, run["run_id"]),
            bob.runs.delete(thread, run["run_id"]),
            bob.threads.delete(thread),
        ):
            assert await refused(asked) == 404, asked
        assert await refused(bob.threads.copy(thread)) == 409
        assert await refused(bob.threads.create(thread_id=thread)) == 409
        assert await bob.threads.search() == []
        assert await bob.threads.count() == 0
        assert [found["thread_id"] for found in await ann.threads.search()] == [thread]
        assert (await ann.runs.get(thread, run["run_id"]))["status"] == "pending"


async def test_another_users_assistant_is_not_there_and_the_graphs_own_are_everybodys(
    owned: Auth, tenant: Api, open_door: None
) -> None:
    async with speaking("ann-token") as ann, speaking("bob-token") as bob:
        made = await ann.assistants.create("echo", metadata={"q": 1})
        assert made["metadata"] == {"q": 1, "owner": "ann"}
        assistant = made["assistant_id"]
        for asked in (
            bob.assistants.get(assistant),
            bob.assistants.update(assistant, name="mine"),
            bob.assistants.delete(assistant),
            bob.runs.create(None, assistant, input={}),
            bob.crons.create(assistant, schedule="0 3 * * *"),
        ):
            assert await refused(asked) == 404, asked
        assert await bob.assistants.search() == []
        assert [found["assistant_id"] for found in await ann.assistants.search()] == [assistant]
        assert (await bob.runs.create(None, "echo", input={}))["status"] == "pending"
        assert (await ann.runs.create(None, assistant, input={}))["status"] == "pending"


async def test_another_users_cron_is_not_there(owned: Auth, tenant: Api, open_door: None) -> None:
    async with speaking("ann-token") as ann, speaking("bob-token") as bob:
        made: Any = await ann.crons.create("echo", schedule="0 3 * * *")
        assert (made["metadata"], made["user_id"]) == ({"owner": "ann"}, "ann")
        assert await bob.crons.search() == []
        assert await bob.crons.count() == 0
        assert await refused(bob.crons.update(made["cron_id"], enabled=False)) == 404
        assert await refused(bob.crons.delete(made["cron_id"])) == 404
        assert await ann.crons.count() == 1


async def test_runs_know_who_started_them(owned: Auth, tenant: Api, open_door: None) -> None:
    async with speaking("ann-token") as ann:
        thread = (await ann.threads.create())["thread_id"]
        run: Any = await ann.runs.create(thread, "echo", input={}, config={"configurable": {"x": 1}})
    said = run["kwargs"]["config"]["configurable"]
    assert (said["x"], said["langgraph_auth_user_id"], said["langgraph_auth_permissions"]) == (1, "ann", ["POST"])
    assert said["langgraph_auth_user"]["team"] == "blue"
