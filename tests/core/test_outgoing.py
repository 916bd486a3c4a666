"""Every way out passes the guard: the code is read for others."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ROOMS = (
    "accounts",
    "assistants",
    "config",
    "console",
    "core",
    "runs",
    "runtime",
    "scheduling",
    "sessions",
    "tools",
    "webhooks",
)
# Modules that open connections by themselves, and who may use them for what is not on somebody's wish.
OPENERS = {
    "aiohttp": [],
    "ftplib": [],
    "grpc": [],
    "http.client": ["config/serve/supervisor.py"],  # its own web process
    "httpcore": [],
    "httpcore2": ["core/url_guard.py"],
    "httpx": [],
    "requests": [],
    "smtplib": ["config/doctor/service.py", "webhooks/mail.py"],  # the operator's mail server
    "telnetlib": [],
    "urllib.request": [],
    "urllib3": [],
    "websockets": ["config/protocols.py"],  # its server's side
}
# What of httpx2 sends or connects; the rest reads URLs and names errors.
SENDERS = {"Client", "get", "post", "put", "patch", "delete", "head", "options", "request", "stream"}
TRANSPORTS = {"AsyncHTTPTransport", "HTTPTransport"}
CONNECTORS = {"create_connection", "open_connection", "open_unix_connection", "connect_tcp", "create_datagram_endpoint"}
# The guard itself, and whether a port is free or an engine answers.
CONNECTING = {"core/url_guard.py", "config/serve/probes.py", "config/serve/redis.py"}

Found = tuple[str, ast.AST]


def nodes() -> Iterator[Found]:
    for room in ROOMS:
        for path in sorted((ROOT / room).rglob("*.py")):
            name = str(path.relative_to(ROOT))
            for node in ast.walk(ast.parse(path.read_text())):
                yield name, node


def imported(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom) and node.module:
        return [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return []


def called(node: ast.AST) -> tuple[str, str]:
    """`httpx2`, `get` of `httpx2.get(...)`."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        return ast.unparse(node.func.value), node.func.attr
    return "", ""


def test_nothing_else_opens_connections() -> None:
    strange = [
        f"{name}:{getattr(node, 'lineno', 0)} imports {module}"
        for name, node in nodes()
        for module in imported(node)
        for opener, users in OPENERS.items()
        if (module == opener or module.startswith(f"{opener}.")) and name not in users
    ]
    assert strange == []


def test_every_client_has_a_transport_that_is_guarded() -> None:
    clients = []
    for name, node in nodes():
        what, method = called(node)
        assert not (what == "httpx2" and method in SENDERS), f"{name} calls httpx2.{method}"
        assert name == "core/url_guard.py" or not (what == "httpx2" and method in TRANSPORTS), f"{name}: {method}"
        if (what, method) == ("httpx2", "AsyncClient"):
            assert isinstance(node, ast.Call)
            given = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
            assert "transport" in given, f"{name} makes a client without a transport"
            assert (given["follow_redirects"], given["trust_env"]) == ("False", "False"), name
            clients.append(name)
    assert sorted(clients) == ["core/url_guard.py", "runtime/providers/connection.py", "tools/mcp/http.py"]


def test_nothing_connects_a_socket_by_itself() -> None:
    strange = {
        f"{name}:{getattr(node, 'lineno', 0)}: {what}.{method}"
        for name, node in nodes()
        for what, method in [called(node)]
        if (method in CONNECTORS or (what, method) == ("socket", "socket")) and name not in CONNECTING
    }
    assert strange == set()


@pytest.mark.parametrize("name", ["SENDERS", "CONNECTORS"])
def test_the_search_would_find_one(name: str) -> None:
    source = {"SENDERS": "httpx2.get('http://x')", "CONNECTORS": "asyncio.open_connection('x', 1)"}[name]
    found = [called(node)[1] for node in ast.walk(ast.parse(source))]
    assert set(found) & globals()[name]
