"""The one way out: where the server may connect on somebody else's wish, and how much it reads there.

A URL from a configuration, a model or a client may name an internal service in many spellings, or a public
name that resolves to an internal address a moment later. So a URL is looked at twice:

1. `UrlGuard.check` refuses what its text alone shows: the scheme, user names, `localhost`, literal addresses.
2. The transport resolves the name once for each connection, refuses it if any of its addresses is internal,
   and connects to the address that it has looked at; nothing resolves the name a second time.

Redirects are not followed and proxies of the environment are not used, because both would lead past the
guard.
"""

import asyncio
import codecs
import functools
import ipaddress
import re
import socket
import ssl
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import anyio
import httpcore2
import httpx2

from core.addresses import is_public, literal_address

_HOST_NAME = re.compile(r"[a-z0-9_.-]{1,253}\Z")
# Where a host ends in a number, browsers and resolvers take it for an address, each in a way of its own.
_NUMERIC = re.compile(r"(.*\.)?(0x[0-9a-f]*|[0-9]+)\.*\Z")
_AUTHORITY = re.compile(r"(\[[^\]]*\]|[^:\[\]]*)(:[0-9]*)?\Z")
# Names that are never those of the open internet: RFC 6761 and 6762, ICANN's `internal`, and common practice.
_LOCAL_NAMES = ("localhost", "localdomain", "local", "internal")
_ENTRY = re.compile(r"([a-z0-9]([a-z0-9_.-]{0,251}[a-z0-9])?|\[(?P<v6>[0-9a-f:.]+)\])(:(?P<port>[0-9]{1,5}))?")
_DEFAULT_PORTS = {"http": 80, "https": 443}

MAX_BYTES = 64 * 1024 * 1024
MAX_SECONDS = 3600.0


class BlockedUrl(Exception):
    """The server does not connect there. The message may be shown to whoever gave the URL."""

    def __init__(self, message: str):
        super().__init__(message)
        self.message = message


class AnswerTooLong(Exception):
    """The answer has more bytes than may be read."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back. Header names are in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes
    encoding: str

    @property
    def text(self) -> str:
        return self.body.decode(self.encoding, errors="replace")


class Allowlist:
    """Hosts by their written form: an entry is `host` (any port) or `host:port`; IPv6 addresses are in
    brackets."""

    def __init__(self, entries: Iterable[str]):
        self.entries = frozenset(entry.strip().lower() for entry in entries)

    def opens(self, host: str, port: int) -> bool:
        written = f"[{host}]" if ":" in host else host
        return written in self.entries or f"{written}:{port}" in self.entries


def allowed_host(entry: str) -> str | None:
    """`entry` as `Allowlist` takes it, in lower case; None where it is no `host` or `host:port`."""
    written = entry.strip().lower()
    found = _ENTRY.fullmatch(written)
    if found is None or (found["port"] and not 0 < int(found["port"]) < 65536):
        return None
    if found["v6"] and literal_address(found["v6"]) is None:
        return None
    return written


class UrlGuard:
    """Decides where outgoing calls may go. `allowlist` opens hosts that are refused otherwise."""

    def __init__(self, allowlist: Iterable[str] = ()):
        self.allowlist = Allowlist(allowlist)

    def check(self, url: str) -> None:
        """Raise `BlockedUrl` for what the text of `url` alone shows; a name is resolved only when it is
        called."""
        parsed = _parse(url)
        host, port = host_and_port(parsed)
        authority = _authority(url)
        if parsed.userinfo or "@" in authority:
            raise BlockedUrl("The URL must not hold a user name or a password.")
        if not _written_plainly(authority, host):
            raise BlockedUrl("The URL's host is not a valid name.")
        if self.allowlist.opens(host, port):
            return
        address = literal_address(host)
        if address is None and (not _HOST_NAME.match(host) or _NUMERIC.match(host)):
            raise BlockedUrl("The URL's host is not a valid name.")
        if host.rstrip(".").rpartition(".")[2] in _LOCAL_NAMES:
            raise BlockedUrl(f"The server does not connect to {host}.")
        if address is not None and not is_public(address):
            raise BlockedUrl(f"The server does not connect to the internal address {host}.")

    def client(
        self, *, timeout_s: float = 30, max_seconds: float = MAX_SECONDS, max_bytes: int = MAX_BYTES
    ) -> httpx2.AsyncClient:
        """A client whose every connection passes the guard.

        `timeout_s` bounds each wait for the other side, `max_seconds` a whole exchange, however it drips;
        `max_bytes` bounds an answer's body as it arrives.
        """
        transport = GuardedTransport(self, max_seconds=max_seconds, max_bytes=max_bytes)
        return httpx2.AsyncClient(transport=transport, timeout=timeout_s, follow_redirects=False, trust_env=False)

    async def fetch(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        timeout_s: float = 30,
        max_bytes: int = 1024 * 1024,
    ) -> Answer:
        """One exchange of at most `timeout_s` seconds and `max_bytes` bytes of answer; redirects are answers.

        Raises `BlockedUrl`, `AnswerTooLong`, or httpx2's errors.
        """
        self.check(url)
        async with (
            self.client(timeout_s=timeout_s, max_seconds=timeout_s, max_bytes=max_bytes) as client,
            client.stream(method, url, headers=headers, content=body) as response,
        ):
            content = b"".join([chunk async for chunk in response.aiter_raw()])
        return Answer(response.status_code, dict(response.headers), content, _codec(response.charset_encoding))

    async def addresses(self, host: str, port: int) -> list[str]:
        """The addresses of `host`, all of them looked at; raises `BlockedUrl`, or `OSError` if it has
        none."""
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        addresses = [str(entry[4][0]) for entry in found]
        if not self.allowlist.opens(host, port):
            for address in addresses:
                if not is_public(ipaddress.ip_address(address)):
                    raise BlockedUrl(f"The server does not connect to {host}: it is an internal address.")
        return addresses


class GuardedTransport(httpx2.AsyncHTTPTransport):
    """httpx2's transport over a connection pool that asks the guard before every connection."""

    def __init__(self, guard: UrlGuard, *, max_seconds: float, max_bytes: int):
        super().__init__(verify=_tls())
        # The pool is not public: should it be renamed, this fails instead of leaving the guard out.
        assert isinstance(self._pool, httpcore2.AsyncConnectionPool)
        self._pool = httpcore2.AsyncConnectionPool(
            ssl_context=_tls(),
            max_connections=1000,
            max_keepalive_connections=20,
            keepalive_expiry=30,
            network_backend=_GuardedBackend(guard),
        )
        self._guard = guard
        self._max_seconds = max_seconds
        self._max_bytes = max_bytes

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        self._guard.check(str(request.url))
        # A compressed answer could be small on the wire and huge in memory.
        request.headers["accept-encoding"] = "identity"
        deadline = asyncio.get_running_loop().time() + self._max_seconds
        try:
            async with asyncio.timeout_at(deadline):
                response = await super().handle_async_request(request)
        except TimeoutError:
            raise httpx2.ReadTimeout("The answer took too long.", request=request) from None
        assert isinstance(response.stream, httpx2.AsyncByteStream)
        if response.headers.get("content-encoding", "identity").strip().lower() not in {"", "identity"}:
            await response.aclose()
            raise BlockedUrl("The answer is compressed although this was not asked for.")
        response.stream = _BoundedStream(response.stream, deadline, self._max_bytes)
        return response


class _BoundedStream(httpx2.AsyncByteStream):
    """The body of an answer, up to so many bytes and until `deadline` (the loop's clock)."""

    def __init__(self, stream: httpx2.AsyncByteStream, deadline: float, max_bytes: int):
        self._stream = stream
        self._deadline = deadline
        self._max_bytes = max_bytes

    async def __aiter__(self) -> AsyncIterator[bytes]:
        chunks = self._stream.__aiter__()
        read = 0
        while True:
            try:
                async with asyncio.timeout_at(self._deadline):
                    chunk = await anext(chunks)
            except StopAsyncIteration:
                return
            except TimeoutError:
                raise httpx2.ReadTimeout("The answer took too long.") from None
            read += len(chunk)
            if read > self._max_bytes:
                raise AnswerTooLong(f"The answer is longer than {self._max_bytes} bytes.")
            yield chunk

    async def aclose(self) -> None:
        await self._stream.aclose()


class _GuardedBackend(httpcore2.AsyncNetworkBackend):
    """Resolves a name once and connects to what it resolved to. TLS still names and verifies the host."""

    def __init__(self, guard: UrlGuard):
        self._guard = guard
        self._inner = httpcore2.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        try:
            async with asyncio.timeout(timeout):
                return await self._connect(host, port, local_address, socket_options)
        except TimeoutError:
            raise httpcore2.ConnectTimeout(f"{host} did not answer in time.") from None

    async def _connect(
        self, host: str, port: int, local_address: str | None, socket_options: Iterable[Any] | None
    ) -> httpcore2.AsyncNetworkStream:
        try:
            addresses = await self._guard.addresses(host, port)
        except (OSError, UnicodeError) as error:
            raise httpcore2.ConnectError(f"{host} cannot be resolved: {error}") from None
        failure: httpcore2.ConnectError | None = None
        for address in addresses:
            try:
                return _Stream(await self._inner.connect_tcp(address, port, None, local_address, socket_options))
            except httpcore2.ConnectError as error:
                failure = error
        raise failure or httpcore2.ConnectError(f"{host} has no address.")

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class _Stream(httpcore2.AsyncNetworkStream):
    """A connection that a handshake which is given up does not leave behind: the library closes it after errors
    only, and the event loop would keep it open."""

    def __init__(self, inner: httpcore2.AsyncNetworkStream):
        self._inner = inner

    async def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore2.AsyncNetworkStream:
        try:
            return await self._inner.start_tls(ssl_context, server_hostname, timeout)
        except asyncio.CancelledError:
            with anyio.CancelScope(shield=True):
                await self._inner.aclose()
            raise

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return await self._inner.read(max_bytes, timeout)

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        await self._inner.write(buffer, timeout)

    async def aclose(self) -> None:
        await self._inner.aclose()

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)


def host_and_port(url: httpx2.URL) -> tuple[str, int]:
    """The host in its ASCII form and lower case, without brackets, and the port or the scheme's own."""
    return url.raw_host.decode("ascii").lower(), url.port or _DEFAULT_PORTS[url.scheme]


def _parse(url: str) -> httpx2.URL:
    try:
        parsed = httpx2.URL(url)
    except httpx2.InvalidURL as error:
        raise BlockedUrl(f"The URL is not valid: {error}") from None
    if parsed.scheme not in _DEFAULT_PORTS:
        raise BlockedUrl("The URL must begin with http:// or https://.")
    if not parsed.raw_host:
        raise BlockedUrl("The URL has no host.")
    if parsed.port is not None and not 0 < parsed.port < 65536:
        raise BlockedUrl("The URL's port is not valid.")
    return parsed


def _authority(url: str) -> str:
    try:
        return urlsplit(url).netloc
    except ValueError:
        raise BlockedUrl("The URL's host is not a valid name.") from None


def _written_plainly(authority: str, host: str) -> bool:
    # A full-width digit or dot becomes a plain one when the name is encoded, and so could spell an address
    # that the allow-list opens in another writing; and Python reads other digits, and blanks, as a port.
    written = _AUTHORITY.match(authority)
    return written is not None and (written[1].isascii() or "xn--" in host)


@functools.cache
def _tls() -> ssl.SSLContext:
    # Loading the trusted authorities takes tens of milliseconds.
    return httpx2.create_ssl_context()


def _codec(name: str | None) -> str:
    try:
        return codecs.lookup(name or "utf-8").name
    except LookupError:
        return "utf-8"
