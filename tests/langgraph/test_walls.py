"""Who comes through LangGraph's door: nobody without a credential or the scope, and nobody to others' rows."""

import re
from typing import Any

import httpx
import pytest
from langgraph_sdk.client import LangGraphClient

from protocols.langgraph import door
from tests.api import UNKNOWN, Api
from tests.langgraph.conftest import client_of

OPEN = {"", "/", "/ok"}
ROUTES = sorted({(method, path) for method, path, *_ in door.router.table()})
CLOSED = [(method, path) for method, path in ROUTES if path not in OPEN]


def plain(path: str, **ids: str) -> str:
    """The address of a route, with these ids, or with those of nothing."""
    return re.sub(r"\{(\w+)\}", lambda found: ids.get(found[1], UNKNOWN), path)


async def ask(client: LangGraphClient, method: str, path: str) -> httpx.Response:
    body: Any = None if method in {"GET", "DELETE"} else {}
    return await client.http.client.request(method, path, json=body)


@pytest.fixture
def reader(tenant: Api) -> Api:
    """A key that is for nothing here."""
    return Api(tenant.workspace, scopes=("webhooks:read",))


async def let_in(api: Api, status: int) -> list[tuple[str, str, int]]:
    """The routes that do not refuse this caller so."""
    async with client_of(api) as client:
        answers = [(method, path, await ask(client, method, plain(path))) for method, path in CLOSED]
    return [(m, p, a.status_code) for m, p, a in answers if (a.status_code, list(a.json())) != (status, ["detail"])]


async def test_nobody_comes_in_without_a_credential(open_door: None, tenant: Api) -> None:
    tenant.key = "sk_000000000000_0000000000000000000000000000000000000000"
    assert await let_in(tenant, 401) == []


async def test_nobody_does_what_their_key_is_not_for(open_door: None, reader: Api) -> None:
    assert await let_in(reader, 403) == []


async def test_what_is_others_is_not_there(open_door: None, tenant: Api, neighbour: Api) -> None:
    async with client_of(tenant) as client:
        own = await client.assistants.create("echo")
        thread = (await client.threads.create())["thread_id"]
        run = await client.runs.create(thread, own["assistant_id"], input={})
        cron = await client.crons.create("echo", schedule="0 0 1 1 *", input={})
    ids = {
        "thread_id": thread,
        "run_id": run["run_id"],
        "assistant_id": own["assistant_id"],
        "cron_id": cron["cron_id"],  # type: ignore[typeddict-item]
    }
    differs = []
    async with client_of(neighbour) as client:
        for method, path in CLOSED:
            if plain(path, **ids) != plain(path):
                answers = [await ask(client, method, plain(path, **each)) for each in (ids, {})]
                # What is answered of nothing; to join a run that is not there is 200, and says so inside.
                told = [(answer.status_code, re.sub(r"[0-9a-f-]{36}", "", answer.text)) for answer in answers]
                if told[0] != told[1] or (told[0][0] < 400 and "404" not in told[0][1]):
                    differs.append((method, path, told))
    assert differs == []
