"""A deployment's own `langgraph_sdk.Auth` says whose threads are whose."""

from typing import Any

import pytest
from langgraph_sdk import Auth
from langgraph_sdk.errors import ConflictError, NotFoundError

from tests.api import Api
from tests.langgraph.test_custom_auth import auth, speaking  # noqa: F401  (fixture)


@pytest.fixture
def owned(auth: Auth) -> Auth:  # noqa: F811
    @auth.on.threads
    async def own(ctx: Any, value: Any) -> dict[str, Any]:
        return {"owner": ctx.user.identity}

    @auth.on.threads.create
    async def mark(ctx: Any, value: Any) -> dict[str, Any]:
        value.setdefault("metadata", {})["owner"] = ctx.user.identity
        return {"owner": ctx.user.identity}

    return auth


async def test_what_a_handler_notes_is_there_and_what_it_filters_is_not(
    owned: Auth, tenant: Api, open_door: None
) -> None:
    async with speaking("ann-token") as ann, speaking("bob-token") as bob:
        thread = await ann.threads.create(metadata={"a": 1})
        assert thread["metadata"] == {"a": 1, "owner": "ann"}
        name = thread["thread_id"]
        assert [found["thread_id"] for found in await ann.threads.search()] == [name]
        assert (await bob.threads.search(), await bob.threads.count()) == ([], 0)
        for refused in (
            bob.threads.get(name),
            bob.threads.update(name, metadata={}),
            bob.threads.delete(name),
            bob.threads.get_state(name),
            bob.threads.get_history(name),
            bob.threads.update_state(name, {"messages": []}),
        ):
            with pytest.raises(NotFoundError):
                await refused
        for taken in (bob.threads.copy(name), bob.threads.create(thread_id=name, if_exists="do_nothing")):
            with pytest.raises(ConflictError):
                await taken
        assert await bob.threads.prune([name]) == {"pruned_count": 0}
        assert (await ann.threads.get(name))["thread_id"] == name


async def test_a_copy_is_theirs_who_made_it(owned: Auth, tenant: Api, open_door: None) -> None:
    async with speaking("ann-token") as ann:
        name = (await ann.threads.create())["thread_id"]
        copy: Any = await ann.threads.copy(name)
    assert copy["metadata"]["owner"] == "ann"


async def test_a_handler_that_refuses_is_heard(owned: Auth, tenant: Api, open_door: None) -> None:
    @owned.on.threads.delete
    async def never(ctx: Any, value: Any) -> bool:
        return False

    async with speaking("ann-token") as ann:
        name = (await ann.threads.create())["thread_id"]
        answer = await ann.http.client.delete(f"/threads/{name}")
        assert answer.status_code == 403
        assert (await ann.http.client.get(f"/threads/{name}/storage")).status_code == 200
