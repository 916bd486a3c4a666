"""Pages of other origins that speak LangGraph's protocol: React's `useStream`, Agent Chat UI."""

from collections.abc import AsyncIterator

import httpx
import pytest

from config.asgi import application
from core.cors import Cors
from tests.api import Api

ORIGIN = "https://chat.example.com"


@pytest.fixture
async def page(tenant: Api, open_door: None) -> AsyncIterator[httpx.AsyncClient]:
    """What a page of an allowed origin (`CORS_ALLOW_ORIGINS`) asks."""
    transport = httpx.ASGITransport(Cors(application, [ORIGIN]))
    headers = {"origin": ORIGIN, "x-api-key": tenant.key}
    async with httpx.AsyncClient(transport=transport, base_url="http://test/langgraph", headers=headers) as page:
        yield page


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/info"),
        ("POST", "/threads"),
        ("POST", "/threads/x/runs/stream"),
        ("GET", "/threads/x/runs/y/stream"),
        ("POST", "/threads/x/stream/events"),
        ("POST", "/threads/x/commands"),
        ("PATCH", "/threads/x"),
        ("PUT", "/store/items"),
        ("DELETE", "/threads/x"),
    ],
)
async def test_a_page_may_ask(page: httpx.AsyncClient, method: str, path: str) -> None:
    asked = "content-type, last-event-id, x-api-key"
    headers = {"access-control-request-method": method, "access-control-request-headers": asked}
    answer = await page.options(path, headers=headers)
    assert answer.headers["access-control-allow-origin"] == ORIGIN
    assert method in answer.headers["access-control-allow-methods"].split(", ")
    allowed = answer.headers["access-control-allow-headers"].lower().split(", ")
    assert set(asked.split(", ")) <= set(allowed)


async def test_a_page_reads_where_its_run_is(page: httpx.AsyncClient) -> None:
    thread = (await page.post("/threads", json={})).json()["thread_id"]
    answer = await page.post(f"/threads/{thread}/runs", json={"assistant_id": "echo", "input": {"messages": []}})
    assert answer.headers["content-location"].startswith(f"/threads/{thread}/runs/")
    exposed = answer.headers["access-control-expose-headers"].lower().split(", ")
    assert {"content-location", "location", "x-pagination-total", "x-pagination-next"} <= set(exposed)


async def test_agent_chat_asks_first_who_answers(page: httpx.AsyncClient) -> None:
    answer = await page.get("/info")
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == ORIGIN


async def test_a_page_reads_why_it_was_refused(page: httpx.AsyncClient) -> None:
    answer = await page.get("/threads/xyz", headers={"x-api-key": "wrong"})
    assert answer.status_code == 401
    assert answer.headers["access-control-allow-origin"] == ORIGIN


async def test_pages_of_other_origins_read_nothing(page: httpx.AsyncClient) -> None:
    answer = await page.get("/info", headers={"origin": "https://other.example.com"})
    assert "access-control-allow-origin" not in answer.headers
