"""Pages of other origins, in front of an application that answers 418 to whatever reaches it."""

import httpx
import pytest

from config.asgi import edge
from core.asgi import Receive, Scope, Send, send_document
from core.cors import Cors

ORIGIN = "https://app.example.com"


async def teapot(scope: Scope, receive: Receive, send: Send) -> None:
    await send_document(send, {"method": scope["method"]}, 418)


async def ask(allowed: list[str], method: str = "GET", **headers: str) -> httpx.Response:
    transport = httpx.ASGITransport(app=Cors(teapot, allowed))
    async with httpx.AsyncClient(transport=transport, base_url="http://server") as client:
        return await client.request(method, "/runs", headers=headers)


async def preflight(allowed: list[str], origin: str = ORIGIN) -> httpx.Response:
    return await ask(allowed, "OPTIONS", **{"origin": origin, "access-control-request-method": "POST"})


async def test_a_page_of_an_allowed_origin_may_read_the_answer() -> None:
    answer = await ask([ORIGIN, "https://other.example.com"], origin=ORIGIN)
    assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (418, ORIGIN)
    assert answer.headers["vary"] == "Origin"
    readable = set(answer.headers["access-control-expose-headers"].split(", "))
    assert readable >= {"Location", "Retry-After", "X-Request-Id", "Idempotency-Replayed", "X-RateLimit-Reset"}


@pytest.mark.parametrize("origin", ["https://app.example.com.evil.org", "https://APP.example.com", "null", ""])
async def test_a_page_of_another_one_may_not(origin: str) -> None:
    for answer in (await ask([ORIGIN], origin=origin), await preflight([ORIGIN], origin)):
        assert answer.status_code == 418
        assert "access-control-allow-origin" not in answer.headers
        assert answer.headers["vary"] == "Origin"


@pytest.mark.parametrize("allowed", [[ORIGIN], ["*"]])
async def test_a_preflight_is_answered_without_a_key(allowed: list[str]) -> None:
    answer = await preflight(allowed)
    assert (answer.status_code, answer.content) == (204, b"")
    assert answer.headers["access-control-allow-origin"] == allowed[0]
    sendable = set(answer.headers["access-control-allow-headers"].split(", "))
    assert sendable >= {"Authorization", "X-Api-Key", "Content-Type", "Idempotency-Key", "Last-Event-ID"}
    assert "DELETE" in answer.headers["access-control-allow-methods"]


async def test_an_options_that_is_no_preflight_goes_on() -> None:
    assert (await ask(["*"], "OPTIONS", origin=ORIGIN)).status_code == 418


@pytest.mark.parametrize("allowed", [[ORIGIN], ["*"]])
async def test_no_cookie_is_taken_from_elsewhere(allowed: list[str]) -> None:
    for answer in (await ask(allowed, origin=ORIGIN), await preflight(allowed)):
        assert "access-control-allow-credentials" not in answer.headers


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [("/healthz", {}, 200), ("/assistants", {}, 401), ("/nowhere", {}, 404), ("/runs", {"content-length": "x"}, 400)],
)
async def test_whoever_answers_the_page_may_read_it(path: str, headers: dict[str, str], status: int) -> None:
    transport = httpx.ASGITransport(app=Cors(edge, [ORIGIN]))
    async with httpx.AsyncClient(transport=transport, base_url="http://server") as client:
        answer = await client.get(path, headers={"origin": ORIGIN, **headers})
    assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (status, ORIGIN)
