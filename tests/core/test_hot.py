"""The async routes under the edge, driven through ASGI without a server."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from core.asgi import Message, Receive, Scope, Send, send_document
from core.edge import Edge
from core.errors import Forbidden, Limit, RateLimited, Unauthenticated, Unavailable
from core.hot import HotRequest, HotResponse, HotStream, Router

KEY = {"authorization": "Bearer k"}


class Reader:
    def require(self, scope: str) -> None:
        if not scope.endswith(":read"):
            raise Forbidden


async def authenticate(scope: Scope, headers: dict[str, str]) -> Reader | None:
    if "authorization" not in headers:
        return None
    if headers["authorization"] != "Bearer k":
        raise Unauthenticated
    return Reader()


async def admit(reader: Reader) -> None:
    admitted.append(reader)
    if len(admitted) > 1:
        raise RateLimited(limit=Limit(1, 7))


router = Router(authenticate=authenticate, admit=admit)
admitted: list[Reader] = []
closed: list[str] = []
ended: list[str] = []


@pytest.fixture(autouse=True)
def _nobody_has_asked() -> None:
    for told in (admitted, closed, ended):
        told.clear()


@router.route("GET", "/things/{thing_id}", scope="things:read")
async def show(request: HotRequest) -> HotResponse:
    request.only_query("after")
    return HotResponse({"id": request.id("thing_id"), "query": request.query}, headers={"Location": "/x"})


@router.route("POST", "/things", scope="things:write")
async def create(request: HotRequest) -> HotResponse:
    return HotResponse({})


@router.route("POST", "/echo", scope=None)
async def echo(request: HotRequest) -> HotResponse:
    return HotResponse({"body": request.json(), "request_id": request.request_id}, 201)


@router.route("GET", "/broken", scope=None)
async def broken(request: HotRequest) -> HotResponse:
    raise RuntimeError("a secret")


@router.route("GET", "/away", scope=None)
async def away(request: HotRequest) -> HotResponse:
    raise Unavailable(retry_after=1)


@router.route("GET", "/ticks", scope=None)
async def ticks(request: HotRequest) -> HotStream:
    async def frames() -> AsyncIterator[bytes]:
        try:
            for n in range(int(request.query["count"])):
                yield b"data: %d\n\n" % n
            if "forever" in request.query:
                await asyncio.sleep(60)
        finally:
            closed.append("ticks")

    return HotStream(frames(), ended=lambda: ended.append("ticks"))


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "http" and not await router.handle(scope, receive, send):
        await send_document(send, {"served_by": "django"})


@pytest.fixture
def client() -> httpx.AsyncClient:
    edge: Any = Edge(application, max_body_bytes=1000)
    transport = httpx.ASGITransport(edge, raise_app_exceptions=True)
    return httpx.AsyncClient(transport=transport, base_url="http://test")


async def test_a_route_gets_its_parameters(client: httpx.AsyncClient) -> None:
    thing = "0190a0a0-0000-7000-8000-000000000001"
    answer = await client.get(f"/things/{thing}?after=3", headers=KEY)
    assert answer.json() == {"id": thing, "query": {"after": "3"}}
    assert answer.headers["location"] == "/x"


@pytest.mark.parametrize("thing", ["x", "0190A0A0-0000-7000-8000-000000000001", "%7B0190a0a0%7D"])
async def test_a_malformed_id_is_not_found(client: httpx.AsyncClient, thing: str) -> None:
    answer = await client.get(f"/things/{thing}", headers=KEY)
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


@pytest.mark.parametrize("query", ["before=1", "after=1&after=2", "after=1&x"])
async def test_a_query_key_that_is_unknown_or_double_is_invalid(client: httpx.AsyncClient, query: str) -> None:
    answer = await client.get(f"/things/1?{query}", headers=KEY)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["loc"][0] == "query"


@pytest.mark.parametrize(
    ("method", "headers"),
    [
        ("GET", {}),
        ("PUT", KEY),
        ("GET", {"accept": "text/html"}),
    ],
)
async def test_what_is_not_hot_is_left_to_django(
    client: httpx.AsyncClient, method: str, headers: dict[str, str]
) -> None:
    answer = await client.request(method, "/things/1", headers=headers)
    assert answer.json() == {"served_by": "django"}


async def test_a_wrong_key_and_a_missing_scope(client: httpx.AsyncClient) -> None:
    refused = await client.get("/things/1", headers={"authorization": "Bearer other"})
    assert (refused.status_code, refused.headers["www-authenticate"]) == (401, "Bearer")
    assert (await client.post("/things", headers=KEY)).status_code == 403


async def test_a_caller_is_admitted_once_for_a_request_that_they_may_make(client: httpx.AsyncClient) -> None:
    assert (await client.post("/things", headers=KEY)).status_code == 403
    assert (await client.get("/ticks?count=1")).status_code == 200
    assert admitted == []
    assert (await client.get("/things/1", headers=KEY)).status_code == 404
    refused = await client.get("/things/1", headers=KEY)
    assert (refused.status_code, refused.headers["retry-after"]) == (429, "7")
    assert len(admitted) == 2


async def test_a_stream_whose_client_left_before_it_began_has_ended_too() -> None:
    async def receive() -> Message:
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        raise AssertionError("nobody is there")

    scope = {"type": "http", "method": "GET", "path": "/ticks", "query_string": b"count=1", "headers": []}
    await Edge(application, max_body_bytes=10)(scope, receive, send)
    assert (closed, ended) == ([], ["ticks"])


async def test_an_empty_body_is_none_and_needs_no_content_type(client: httpx.AsyncClient) -> None:
    assert (await client.post("/echo")).json()["body"] is None


async def test_a_body_is_json_and_nothing_else(client: httpx.AsyncClient) -> None:
    good = {"content-type": "Application/JSON; charset=utf-8"}
    assert (await client.post("/echo", content=b'{"a":1}', headers=good)).json()["body"] == {"a": 1}
    assert (await client.post("/echo", content=b'{"a":1}')).status_code == 415
    assert (await client.post("/echo", data={"a": "1"})).status_code == 415
    assert (await client.post("/echo", content=b"{", headers=good)).status_code == 400


async def test_the_request_id_is_taken_or_made(client: httpx.AsyncClient) -> None:
    given = await client.post("/echo", headers={"x-request-id": "abc.1"})
    assert given.headers["x-request-id"] == given.json()["request_id"] == "abc.1"
    made = await client.post("/echo", headers={"x-request-id": "a b" * 100})
    assert len(made.headers["x-request-id"]) == 32


async def test_a_body_is_measured_as_it_arrives(client: httpx.AsyncClient) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(20):
            yield b"x" * 100

    told = await client.post("/echo", content=b"x" * 1001)
    untold = await client.post("/echo", content=chunks())
    understated = await client.post("/echo", content=chunks(), headers={"content-length": "10"})
    assert [answer.status_code for answer in (told, untold, understated)] == [413, 413, 413]
    assert told.json()["code"] == "too_large"


async def test_an_answers_own_headers_stand_and_https_is_asked_for_only_where_it_is_had() -> None:
    async def page(scope: Scope, receive: Receive, send: Send) -> None:
        await send_document(send, {}, headers={"Cache-Control": "max-age=60"})

    for https in (False, True):
        edge: Any = Edge(page, https=https)
        async with httpx.AsyncClient(transport=httpx.ASGITransport(edge), base_url="http://test") as client:
            answer = await client.get("/")
        assert answer.headers.get_list("cache-control") == ["max-age=60"]
        assert answer.headers["x-frame-options"] == "DENY"
        assert ("strict-transport-security" in answer.headers) == https


async def test_a_compressed_body_is_refused(client: httpx.AsyncClient) -> None:
    assert (await client.post("/echo", headers={"content-encoding": "gzip"})).status_code == 415
    assert (await client.post("/echo", headers={"content-encoding": "identity"})).status_code == 201


async def test_nul_in_an_address_is_refused(client: httpx.AsyncClient) -> None:
    assert (await client.get("/things/%00", headers=KEY)).status_code == 404
    assert (await client.get("/things/1?after=%00", headers=KEY)).status_code == 400
    assert (await client.get("/things/1?after=%ff", headers=KEY)).status_code == 400


async def test_a_bug_is_a_500_that_gives_nothing_away(client: httpx.AsyncClient) -> None:
    answer = await client.get("/broken")
    assert answer.status_code == 500
    assert answer.json() == {
        "detail": "The server failed; the request id finds the reason in its log.",
        "code": "internal",
        "request_id": answer.headers["x-request-id"],
        "errors": [],
    }


async def test_a_database_that_is_away_is_a_503_worth_a_retry(client: httpx.AsyncClient) -> None:
    answer = await client.get("/away")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")


async def test_a_stream_is_sent_frame_by_frame(client: httpx.AsyncClient) -> None:
    answer = await client.get("/ticks?count=3")
    assert answer.text == "data: 0\n\ndata: 1\n\ndata: 2\n\n"
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.headers["cache-control"] == "no-store"


async def test_a_stream_is_closed_when_its_client_leaves() -> None:
    left = asyncio.Event()
    sent: list[Message] = []

    async def receive() -> Message:
        await left.wait()
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        sent.append(message)
        if len(sent) == 2:
            left.set()

    scope = {
        "type": "http", "method": "GET", "path": "/ticks", "query_string": b"count=1&forever=", "headers": []
    }  # fmt: skip
    async with asyncio.timeout(2):
        await Edge(application, max_body_bytes=10)(scope, receive, send)
    assert closed == ended == ["ticks"]
    assert sent[1]["body"] == b"data: 0\n\n"
