"""What browsers are told with every answer, which names and pages are ours, and who guesses too often."""

import socket
from itertools import count

import httpx
import pytest

from core.counting import WRONG_A_MINUTE
from tests.edge.conftest import PUBLIC_URL
from tests.edge.frames import Socket
from tests.edge.wire import Wire, assert_error, head
from tests.servers import KEY, PASSWORD, Server

pytestmark = pytest.mark.servers

HTML = "Accept: text/html"
ANSWERS = [
    ("GET", "/healthz", 200), ("GET", "/assistants", 200), ("GET", "/nowhere", 404), ("GET", "/%00", 404),
    ("PUT", "/assistants", 405), ("POST", "/assistants", 422), ("GET", "/login", 200), ("GET", "/", 302),
    ("GET", "/static/css/app.css", 200), ("GET", "/docs/", 200), ("GET", "/openapi.json", 200),
    ("GET", "/metrics", 200), ("GET", "/admin/", 302), ("NONSENSE", "/", 400),
]  # fmt: skip


@pytest.fixture(scope="module")
def login(hasty: Server) -> str:
    """The cookies of a person who signed in."""
    with httpx.Client(base_url=hasty.url, timeout=30) as client:
        page = client.get("/login")
        token = page.cookies["csrftoken"]
        form = {"username": "admin", "password": PASSWORD, "csrfmiddlewaretoken": token}
        entered = client.post("/login", data=form, headers={"Cookie": f"csrftoken={token}"})
        assert entered.status_code == 302, entered.text
        return f"Cookie: sessionid={entered.cookies['sessionid']}; csrftoken={entered.cookies['csrftoken']}"


@pytest.fixture
def somebody() -> str:
    """The header by which a proxy says that somebody asks who has not asked before."""
    return f"X-Forwarded-For: 203.0.113.{next(_numbers)}"


_numbers = count(1)


# -- every answer ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("method", "path", "status"), ANSWERS)
def test_every_answer_tells_browsers_what_not_to_do(hasty: Server, method: str, path: str, status: int) -> None:
    body = ("Content-Type: application/json", "Content-Length: 2") if method == "POST" else ()
    with Wire(hasty) as wire:
        answer = wire.say(head(f"{method} {path} HTTP/1.1", *body, key=KEY) + b"{}"[: len(body)]).answer()
    told = answer.headers
    assert answer.status == status
    assert told["x-content-type-options"] == "nosniff"
    assert told["referrer-policy"] == "same-origin"
    assert told["x-frame-options"] == "DENY"
    assert told["cross-origin-opener-policy"] == "same-origin"
    assert "camera=()" in told["permissions-policy"]
    assert "frame-ancestors 'none'" in told["content-security-policy"]
    assert "default-src 'none'" in told["content-security-policy"]
    assert "server" not in told
    # What is no page loads nothing; what is private is kept by nobody.
    assert ("script-src" in told["content-security-policy"]) == ("text/html" in told.get("content-type", ""))
    assert ("no-store" in told["cache-control"]) == ("/static/" not in path)


def test_each_is_told_once(hasty: Server) -> None:
    for path in ("/healthz", "/assistants", "/login"):
        with Wire(hasty) as wire:
            wire.say(head(f"GET {path} HTTP/1.1", "Connection: close", key=KEY))
            lines = b"".join(iter(lambda wire=wire: wire.socket.recv(65_536), b"")).partition(b"\r\n\r\n")[0].lower()
        names = [line.partition(b":")[0] for line in lines.splitlines()[1:]]
        assert len(names) == len({*names} - {b"set-cookie"}) + names.count(b"set-cookie"), names


def test_a_site_over_https_says_so_and_so_do_its_cookies(hasty: Server) -> None:
    answer = httpx.get(f"{hasty.url}/login")
    assert answer.headers["strict-transport-security"] == "max-age=31536000"
    assert "Secure" in answer.headers["set-cookie"]
    assert "SameSite=Lax" in answer.headers["set-cookie"]


# -- which names and pages are ours ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("host", "status"),
    [("agents.example.com", 200), ("agents.example.com:443", 200), ("127.0.0.1", 200), ("localhost:8000", 200),
     ("[::1]:8000", 200), ("evil.example", 400), ("agents.example.com.evil.example", 400)],
)  # fmt: skip
def test_the_site_answers_to_its_name_alone(hasty: Server, host: str, status: int) -> None:
    with Wire(hasty) as wire:
        wire.say(head("GET /workers HTTP/1.1", f"Host: {host}", key=KEY))
        assert wire.answer().status == status


@pytest.mark.parametrize(
    ("host", "origin", "code"),
    [
        ("agents.example.com", "https://agents.example.com", None),
        ("inside:8000", "https://agents.example.com", None),  # a proxy that does not pass the name on
        ("127.0.0.1:8000", "http://127.0.0.1:8000", None),
        ("LOCALHOST:8000", "http://localhost:8000", None),
        ("agents.example.com", "http://agents.example.com", 4401),
        ("agents.example.com", "https://agents.example.com:8443", 4401),
        ("127.0.0.1:8000", "http://127.0.0.1:9000", 4401),
        ("agents.example.com", "https://evil.example", 4401),
        ("agents.example.com", "https://agents.example.com.evil.example", 4401),
        ("agents.example.com", "https://evil.example@agents.example.com", 4401),
        ("agents.example.com", "null", 4401),
        ("agents.example.com", "", 4401),
        ("", "null", 4401),
    ],
)
def test_a_login_opens_a_websocket_from_pages_of_this_site_only(
    hasty: Server, session: str, login: str, host: str, origin: str, code: int | None
) -> None:
    with Socket(hasty) as wire:
        assert wire.open(f"/ws/sessions/{session}", f"Host: {host}", f"Origin: {origin}", login).status == 101
        if code is not None:
            assert wire.closed_with() == code
            return
        wire.socket.settimeout(0.3)
        with pytest.raises(socket.timeout):
            wire.closed_with()


def test_a_form_from_the_public_address_is_ours_whatever_the_proxy_tells(hasty: Server, login: str) -> None:
    token = login.rpartition("=")[2]
    form = f"csrfmiddlewaretoken={token}".encode()
    sent = ("Content-Type: application/x-www-form-urlencoded", f"Content-Length: {len(form)}")
    for origin, status in ((PUBLIC_URL, 401), ("https://evil.example", 403), ("null", 403)):
        with Wire(hasty) as wire:
            wire.say(head("POST /login HTTP/1.1", f"Origin: {origin}", login, *sent) + form)
            assert wire.answer().status == status


# -- who guesses -----------------------------------------------------------------------------------------------------


def test_after_many_wrong_keys_an_address_hears_429_but_a_right_key_passes(
    hasty: Server, session: str, somebody: str
) -> None:
    address = somebody
    # Nearly all on an async route: they must be through within the minute, on a slow machine too.
    targets = [*["/runs/01a1b2c3-d4e5-7f60-8abc-0123456789ab"] * (WRONG_A_MINUTE + 1), "/assistants"]
    with Wire(hasty) as wire:
        statuses = []
        for i, target in enumerate(targets):
            wire.say(head(f"GET {target} HTTP/1.1", address, key=f"sk_wrong_0123456789abcdef{i}"))
            answer = wire.answer()
            statuses.append(answer.status)
        assert statuses == [401] * WRONG_A_MINUTE + [429] * 2
        assert answer.document["code"] == "rate_limited"
        assert 1 <= int(answer.headers["retry-after"]) <= 60
        assert wire.say(head("GET /assistants HTTP/1.1", address, key=KEY)).answer().status == 200
        # Without a key nothing was guessed.
        assert wire.say(head("GET /assistants HTTP/1.1", address)).answer().status == 401
        # The neighbour is not concerned.
        wrong = "sk_wrong_0123456789abcdef"
        assert (
            wire.say(head("GET /assistants HTTP/1.1", "X-Forwarded-For: 198.51.100.1", key=wrong)).answer().status
            == 401
        )
    with Socket(hasty) as socket:
        socket.open(f"/ws/sessions/{session}?ticket=wrong", address)
        assert socket.closed_with() == 4429


def test_the_address_of_a_login_is_the_one_that_a_believed_proxy_tells(hasty: Server, somebody: str) -> None:
    def tries(address: str) -> list[int]:
        with httpx.Client(base_url=hasty.url, headers=dict([address.split(": ")]), timeout=30) as client:
            token = client.get("/login").cookies["csrftoken"]
            form = {"username": "ada", "password": "no", "csrfmiddlewaretoken": token}
            cookie = {"Cookie": f"csrftoken={token}"}
            return [client.post("/login", data=form, headers=cookie).status_code for _ in range(6)]

    assert tries(somebody) == [401] * 5 + [429]
    assert tries("X-Forwarded-For: 198.51.100.2") == [401] * 5 + [429]


def test_a_login_writes_nothing_without_its_token_on_an_async_route_either(
    hasty: Server, session: str, login: str
) -> None:
    body = b'{"input": {"message": "Hello"}}'
    sent = ("Content-Type: application/json", f"Content-Length: {len(body)}", "Accept: application/json")
    with Wire(hasty) as wire:
        wire.say(head(f"POST /sessions/{session}/runs HTTP/1.1", login, *sent) + body)
        assert_error(wire.answer(), 403, "forbidden")
