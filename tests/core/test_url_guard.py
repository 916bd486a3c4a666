import asyncio
import gzip
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import pytest

from core.url_guard import AnswerTooLong, BlockedUrl, UrlGuard

INTERNAL = [
    "http://127.0.0.1/",
    "http://127.1/",
    "http://2130706433/",
    "http://0x7f000001/",
    "http://0x7f.1/",
    "http://017700000001/",
    "http://0177.0.0.1/",
    "http://0/",
    "http://0X7F.0X0.0x0.1/",
    "http://127.0.1/",
    "http://127.65536.1/",
    "http://0b1111111.0.0.1/",
    "http://1.1.1.1.1/",
    "http://4294967297/",
    "http://0x100000000/",
    "http://127.0.0.1../",
    "http://127%2e0%2e0%2e1/",
    "http://127.0.0.1%00.example.com/",
    "http://127｡0｡0｡1/",
    "http://ⓛⓞⓒⓐⓛⓗⓞⓢⓣ/",
    "http://loc\u00adalhost/",
    "hTTp://LocalHost../",
    "http://metadata.google.internal/computeMetadata/v1/",
    "http://metadata.google.internal./",
    "http://host.docker.internal:11434/",
    "http://printer.local/",
    "http://localhost.localdomain/",
    "http://127.0.0.1./",
    "http://127。0。0。1/",
    "http://\uff11\uff12\uff17.0.0.1/",
    "http://①②⑦.0.0.1/",
    "http://localhost/",
    "http://LOCALHOST./",
    "http://db.localhost/",
    "http://10.0.0.8/",
    "http://100.64.0.1/",
    "http://100.100.100.200/latest/meta-data/",
    "http://192.0.0.170/",
    "http://240.0.0.1/",
    "http://239.255.255.250:1900/",
    "http://169.254.169.254/latest/meta-data/",
    "http://168.63.129.16/",
    "http://172.31.255.255/",
    "http://192.168.1.1/",
    "http://198.18.0.1/",
    "http://224.0.0.1/",
    "http://255.255.255.255/",
    "http://[::1]/",
    "http://[::]/",
    "http://[0:0:0:0:0:0:0:1]/",
    "http://[::ffff:127.0.0.1]/",
    "http://[::ffff:7f00:1]/",
    "http://[::127.0.0.1]/",
    "http://[64:ff9b::127.0.0.1]/",
    "http://[64:ff9b::a9fe:a9fe]/",
    "http://[64:ff9b:1::1]/",
    "http://[2002:7f00:1::]/",
    "http://[2002:c0a8:101::1]/",
    "http://[2001:0:7f00:1::]/",
    "http://[::ffff:169.254.169.254]/",
    "http://[0:0:0:0:0:ffff:a9fe:a9fe]/",
    "http://[::ffff:0:127.0.0.1]/",
    "http://[64:ff9b:1::7f00:1]/",
    "http://[2606:4700::5efe:10.0.0.1]/",
    "http://[2606:4700::200:5efe:7f00:1]/",
    "http://[fec0::1]/",
    "http://[5f00::1]/",
    "http://[100::1]/",
    "http://[3fff::1]/",
    "http://[::1%25lo]/",
    "http://[127.0.0.1]/",
    "http://[::1].example.com/",
    "http://[::1/",
    "http://[fe80::1]/",
    "http://[fe80::1%25eth0]/",
    "http://[fe80::1%eth0]/",
    "http://[2606:4700:4700::1111%251]/",
    "http://[fd00:ec2::254]/",
    "http://[ff02::1]/",
    "http://[2001:db8::1]/",
    "http://example.com:80@127.0.0.1/",
    "http://user:secret@example.com/",
    "http://:@example.com/",
    "http://example.com\\@127.0.0.1/",
    "http:\\\\127.0.0.1/",
    "http:/127.0.0.1/",
    "http:127.0.0.1/",
    "http://127.0.0.1\t/",
    "http://exa\tmple.com/",
    "http://example.com\r\nhost: 127.0.0.1/",
    " http://127.0.0.1/",
    "http://127.0.0.1 example.com/",
    "http://127.0.0.1:80:80/",
    "http://example.com:-1/",
    "http://example.com:0x50/",
    "jar:http://127.0.0.1!/",
    "http://127.0.0.1\\@example.com/",
    "http://exa%6dple.com/",
    "http://example.com:0/",
    "http://example.com:99999/",
    "http:///x",
    "//example.com/",
    "ftp://example.com/",
    "file:///etc/passwd",
    "gopher://127.0.0.1:6379/_FLUSHALL",
    "not a url",
    "",
]
PUBLIC = [
    "https://example.com/",
    "http://example.com:8080/a?b=c#d",
    "https://EXAMPLE.com./",
    "https://bücher.example/",
    "https://93.184.216.34/",
    "https://[2606:4700:4700::1111]/",
    "https://[64:ff9b::5db8:d822]/",
    "https://[2606:4700::5efe:93.184.216.34]/",
    "https://example.com:/",
    "https://internal.example/",
    "https://7.example.com/",
    "https://xn--bcher-kva.example/",
    "https://[2002:5db8:d822::1]/",
]

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def served(handle: Handler) -> AsyncIterator[int]:
    """A server on a free loopback port that hands each connection to `handle` after the request's head."""

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            await handle(reader, writer)
            await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


def answering(body: bytes, head: str = "HTTP/1.1 200 OK") -> Handler:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(f"{head}\r\ncontent-length: {len(body)}\r\nconnection: close\r\n\r\n".encode() + body)

    return handle


def resolving_to(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> list[str]:
    """Let every name resolve to `addresses`; returns the names that were asked for."""
    asked: list[str] = []

    async def getaddrinfo(host: str, port: int, **options: Any) -> list[Any]:
        asked.append(host)
        return [(0, 0, 0, "", (address, port)) for address in addresses]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", getaddrinfo)
    return asked


# A client reads these as plain ones.
STRANGE = ["http://@example.com/", "http://example.com:\u0668\u0660/", "http://example.com: 80/"]


@pytest.mark.parametrize("url", [*INTERNAL, *STRANGE])
def test_what_the_text_shows_is_refused(url: str) -> None:
    with pytest.raises(BlockedUrl):
        UrlGuard().check(url)


@pytest.mark.parametrize("url", INTERNAL)
async def test_and_no_connection_is_made(url: str) -> None:
    with pytest.raises((BlockedUrl, httpx2.InvalidURL, httpx2.UnsupportedProtocol)):
        async with UrlGuard().client(timeout_s=2) as client:
            await client.get(url)


@pytest.mark.parametrize("url", PUBLIC)
def test_public_addresses_pass(url: str) -> None:
    UrlGuard().check(url)


@pytest.mark.parametrize("entry", ["127.0.0.1", "127.0.0.1:8080", " 127.0.0.1 "])
def test_the_allow_list_opens_a_host_as_written(entry: str) -> None:
    UrlGuard([entry]).check("http://127.0.0.1:8080/")


@pytest.mark.parametrize(
    "url",
    [
        "http://localhost:8080/",
        "http://0x7f.1:8080/",
        "http://127.1:8080/",
        "http://127.0.0.1:8081/",
        "http://127.0.0.1/",
        "http://127.0.0.1.:8080/",
        "http://[::ffff:127.0.0.1]:8080/",
        "http://127。0。0。1:8080/",
        "http://user@127.0.0.1:8080/",
    ],
)
def test_the_allow_list_opens_nothing_else(url: str) -> None:
    with pytest.raises(BlockedUrl):
        UrlGuard(["127.0.0.1:8080"]).check(url)


def test_the_allow_list_takes_ipv6_in_brackets() -> None:
    UrlGuard(["[::1]:8080"]).check("http://[::1]:8080/")


@pytest.mark.parametrize("address", ["127.0.0.1", "10.1.2.3", "::1", "::ffff:10.0.0.1", "fe80::1%2"])
async def test_a_name_for_an_internal_address_is_refused(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    resolving_to(monkeypatch, address)
    with pytest.raises(BlockedUrl, match="internal address"):
        await UrlGuard().fetch("GET", "http://harmless.example/")


async def test_one_internal_address_among_public_ones_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    resolving_to(monkeypatch, "93.184.216.34", "127.0.0.1")
    with pytest.raises(BlockedUrl):
        await UrlGuard().fetch("GET", "http://harmless.example/")


async def test_the_address_looked_at_is_the_one_connected_to(monkeypatch: pytest.MonkeyPatch) -> None:
    async with served(answering(b"pinned")) as port:
        asked = resolving_to(monkeypatch, "127.0.0.1")
        guard = UrlGuard(["harmless.example"])
        assert (await guard.fetch("GET", f"http://harmless.example:{port}/")).body == b"pinned"
        assert asked == ["harmless.example"]


async def test_a_name_is_looked_at_again_for_each_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    guard = UrlGuard()
    resolving_to(monkeypatch, "93.184.216.34")
    assert await guard.addresses("rebinding.example", 80) == ["93.184.216.34"]
    resolving_to(monkeypatch, "127.0.0.1")
    with pytest.raises(BlockedUrl):
        await guard.addresses("rebinding.example", 80)


async def test_a_redirect_to_an_internal_address_is_refused_to_who_follows_it() -> None:
    # A library may ask for it, whatever the client is set to.
    async with served(answering(b"caught")) as trap:
        head = f"HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:{trap}/"
        async with served(answering(b"", head)) as port, UrlGuard([f"127.0.0.1:{port}"]).client() as client:
            with pytest.raises(BlockedUrl):
                await client.get(f"http://127.0.0.1:{port}/", follow_redirects=True)


async def test_redirects_are_answers() -> None:
    head = "HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/"
    async with served(answering(b"", head)) as port:
        answer = await UrlGuard(["127.0.0.1"]).fetch("GET", f"http://127.0.0.1:{port}/")
    assert (answer.status, answer.headers["location"]) == (302, "http://127.0.0.1:1/")


async def test_proxies_of_the_environment_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")
    async with served(answering(b"direct")) as port:
        assert (await UrlGuard(["127.0.0.1"]).fetch("GET", f"http://127.0.0.1:{port}/")).body == b"direct"


@pytest.mark.parametrize(("size", "fits"), [(1000, True), (1001, False)])
async def test_an_answer_is_read_up_to_its_bound(size: int, fits: bool) -> None:
    async with served(answering(b"x" * size)) as port:
        fetched = UrlGuard(["127.0.0.1"]).fetch("GET", f"http://127.0.0.1:{port}/", max_bytes=1000)
        if fits:
            assert len((await fetched).body) == size
        else:
            with pytest.raises(AnswerTooLong):
                await fetched


@pytest.mark.parametrize("encoding", ["gzip", "GZIP", "identity, gzip", "deflate", "br", "zstd"])
async def test_a_compressed_answer_is_not_unpacked(encoding: str) -> None:
    head = f"HTTP/1.1 200 OK\r\ncontent-encoding: {encoding}"
    async with served(answering(gzip.compress(b"x" * 10_000_000), head)) as port:
        with pytest.raises(BlockedUrl, match="compressed"):
            await UrlGuard(["127.0.0.1"]).fetch("GET", f"http://127.0.0.1:{port}/")
        async with UrlGuard(["127.0.0.1"]).client() as client:
            with pytest.raises(BlockedUrl, match="compressed"):
                await client.get(f"http://127.0.0.1:{port}/")


async def test_no_client_asks_for_a_compressed_answer() -> None:
    heads: list[bytes] = []

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 204 No Content\r\ncontent-encoding: identity\r\nconnection: close\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    async with server, UrlGuard(["127.0.0.1"]).client() as client:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        await client.get(url, headers={"accept-encoding": "gzip, br"})
    assert heads[0].lower().count(b"accept-encoding: identity\r\n") == heads[0].lower().count(b"accept-encoding") == 1


@pytest.mark.parametrize(
    "endless",
    [
        b"HTTP/1.1 200 OK\r\nx: " + b"x" * 4096,
        b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 1000,
        b"HTTP/1.1 200 " + b"x" * 4096,
        b"x" * 4096,
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1;" + b"x" * 4096,
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n" + b"x: y\r\n" * 1000,
    ],
    ids=["header", "headers", "status", "nonsense", "chunk", "trailers"],
)
async def test_an_endless_head_is_given_up(endless: bytes) -> None:
    async def flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(endless)
        while True:
            writer.write(endless.rpartition(b"\r\n")[2] or b"x: y\r\n" * 1000)
            await writer.drain()

    async with served(flood) as port:
        with pytest.raises(httpx2.RemoteProtocolError):
            await UrlGuard(["127.0.0.1"]).fetch("GET", f"http://127.0.0.1:{port}/", timeout_s=30)


async def test_endless_announcements_of_an_answer_end_in_time() -> None:
    async def announce(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            writer.write(b"HTTP/1.1 103 Early Hints\r\n\r\n")
            await writer.drain()
            await asyncio.sleep(0.01)

    async with served(announce) as port:
        with pytest.raises(httpx2.TimeoutException):
            await UrlGuard(["127.0.0.1"]).fetch("GET", f"http://127.0.0.1:{port}/", timeout_s=0.4)


@pytest.mark.parametrize("head", [b"", b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n"])
async def test_a_dripping_answer_ends_in_time(head: bytes) -> None:
    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(head or b"HTTP/1.1 200 OK\r\nx: ")
        for _ in range(100):
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.05)

    async with served(drip) as port:
        begun = asyncio.get_running_loop().time()
        with pytest.raises(httpx2.TimeoutException):
            await UrlGuard(["127.0.0.1"]).fetch("GET", f"http://127.0.0.1:{port}/", timeout_s=0.4)
        assert asyncio.get_running_loop().time() - begun < 4


async def test_a_handshake_that_is_given_up_leaves_no_connection() -> None:
    left = asyncio.Event()

    async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()
        left.set()

    async with await asyncio.start_server(say_nothing, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(httpx2.TimeoutException):
            await UrlGuard(["127.0.0.1"]).fetch("GET", f"https://127.0.0.1:{port}/", timeout_s=0.2)
        await asyncio.wait_for(left.wait(), 20)


async def test_an_unknown_name_is_a_connection_error() -> None:
    with pytest.raises(httpx2.ConnectError):
        await UrlGuard().fetch("GET", "http://nobody.invalid/", timeout_s=10)
