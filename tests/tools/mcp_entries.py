"""Assistants' `mcp_servers` entries, and the question whether they answer."""

import sys
from typing import Any

from runtime.configuration import RuntimeSettings, configure
from tests.stubs.mcp_server import McpStub
from tools.mcp import probe_all

PYTHON = sys.executable
# Where an answer is expected, a busy machine may take its time for it.
LONG = 60.0
SHORT = 0.3
HTTP_TRANSPORTS = ["streamable_http", "sse"]


def allow(*commands: str, hosts: tuple[str, ...] = ("127.0.0.1",), secret_hosts: tuple[str, ...] = ()) -> None:
    """The operator's settings; the fixture `mcp_settings` takes them back."""
    configure(RuntimeSettings(url_allowlist=hosts, secret_hosts=secret_hosts, mcp_commands=commands))


def at(url: str, transport: str = "streamable_http", *, token_env: str | None = None) -> dict[str, Any]:
    auth = {"type": "bearer", "token_env": token_env} if token_env else None
    return {"name": "db", "transport": transport, "url": url, "command": None, "args": [], "env": {}, "auth": auth}


def started(*command: str, **env: str) -> dict[str, Any]:
    name, *args = command
    return {"name": "db", "transport": "stdio", "url": None, "command": name, "args": args, "env": env, "auth": None}


def url(stub: McpStub, path: str = "/mcp") -> str:
    return f"http://{stub.address}{path}"


def real(stub: McpStub, transport: str) -> dict[str, Any]:
    if transport == "stdio":
        allow(PYTHON)
        return started(PYTHON, "-m", "tests.stubs.mcp_server")
    return at(url(stub, "/sse" if transport == "sse" else "/mcp"), transport)


def ask(server: dict[str, Any], *, seconds: float = LONG) -> str:
    [found] = probe_all([server], seconds=seconds)
    return found
