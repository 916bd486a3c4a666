import asyncio
import gc
import os
import socket
import subprocess
import warnings
from pathlib import Path
from typing import Any

import pytest

from tests.stubs.mcp_server import McpStub
from tests.tools.mcp_entries import HTTP_TRANSPORTS, LONG, PYTHON, SHORT, allow, ask, at, real, started, url
from tools.mcp import probe_all
from tools.mcp.probe import probe

pytestmark = pytest.mark.usefixtures("mcp_settings")
TOKEN = "the-token-of-the-database"


def test_a_command_that_is_not_allowed(tmp_path: Path) -> None:
    allow("true", "/usr/bin/touch")
    assert ask(started("touch", str(tmp_path / "trace"))) == (
        "The MCP server 'db' cannot be started as 'touch': AGENT_SERVER_MCP_COMMANDS does not allow this command."
    )
    assert not (tmp_path / "trace").exists()


def test_a_command_that_is_not_there() -> None:
    allow("no-such-command")
    assert ask(started("no-such-command")).endswith("there is no such command on this server.")


def test_a_command_is_sent_no_token() -> None:
    allow(PYTHON)
    server = started(PYTHON, "-m", "tests.stubs.mcp_server")
    assert "MCP_TOKEN is for servers at a URL" in ask({**server, "auth": {"type": "bearer", "token_env": "MCP_TOKEN"}})


def test_a_command_that_is_no_server() -> None:
    allow("true", "/dev/null")
    assert ask(started("true")).endswith("cannot be started as 'true': it has ended.")
    assert ask(started("/dev/null")).endswith("there is no such command on this server.")
    assert ask(started("true", "\x00")).endswith("embedded null byte.")


def test_a_command_that_says_other_things_first_is_reachable() -> None:
    allow("sh")
    assert ask(started("sh", "-c", f"echo Welcome; exec {PYTHON} -m tests.stubs.mcp_server")) == ""


async def test_a_command_whose_answer_is_giant() -> None:
    allow("sh")
    told = await probe(started("sh", "-c", "exec cat /dev/zero"), seconds=LONG, max_bytes=10_000)
    assert told.endswith("its answer is too long.")


def test_a_command_sees_its_own_environment_only(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MCP_TOKEN", TOKEN)
    allow("sh")
    ask(started("sh", "-c", f"exec env > {tmp_path / 'seen'}", MODE="fast", PATH="/evil"))
    seen = dict(line.split("=", 1) for line in (tmp_path / "seen").read_text().splitlines())
    # The shell adds some of its own.
    assert {name: value for name, value in seen.items() if name not in {"PWD", "SHLVL", "_", "OLDPWD"}} == {
        "MODE": "fast",
        "PATH": os.environ["PATH"],
    }


def test_a_command_that_hangs() -> None:
    allow("sleep")
    assert ask(started("sleep", "1000"), seconds=SHORT).endswith("there was no answer within 0.3 seconds.")


async def test_a_command_is_killed_with_all_that_it_started(tmp_path: Path) -> None:
    allow("sh")
    fifo = tmp_path / "alive"
    os.mkfifo(fifo)
    script = f"trap '' TERM HUP; exec 3> {fifo}; echo alive >&3; sleep 1000 & sleep 1000"
    asking = asyncio.create_task(probe(started("sh", "-c", script), seconds=LONG))
    with await asyncio.to_thread(open, fifo) as reader:
        assert await asyncio.to_thread(reader.readline) == "alive\n"
        asking.cancel()
        # The end comes when nobody is left who holds the other side.
        assert await asyncio.to_thread(reader.read) == ""
    with pytest.raises(asyncio.CancelledError):
        await asking


# -- what is left behind ---------------------------------------------------------------------------------------------


def all_kinds(stub: McpStub, silent: socket.socket) -> list[dict[str, Any]]:
    allow("sh", "sleep", PYTHON)
    paths = ("/mcp", "/sse", "/hang", "/page", "/nothing", "/redirect")
    over_http = [at(url(stub, path), transport) for transport in HTTP_TRANSPORTS for path in paths]
    no_handshake = at(f"https://127.0.0.1:{silent.getsockname()[1]}/mcp")
    return [*over_http, no_handshake, started("sleep", "1000"), started("sh", "-c", "true"), real(stub, "stdio")]


async def test_no_task_is_left(stub: McpStub) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        await asyncio.gather(*(probe(server, seconds=SHORT) for server in all_kinds(stub, silent)))
        assert asyncio.all_tasks() == {asyncio.current_task()}


def test_no_socket_and_no_process_is_left(stub: McpStub) -> None:
    # What is not closed complains when it is collected.
    with socket.create_server(("127.0.0.1", 0)) as silent, warnings.catch_warnings(record=True) as complaints:
        warnings.simplefilter("always", ResourceWarning)
        probe_all(all_kinds(stub, silent), seconds=SHORT)
        gc.collect()
    assert [str(complaint.message) for complaint in complaints] == []


def test_who_asks_no_server_does_not_load_the_library() -> None:
    program = "import sys, assistants.config, tools.mcp; sys.exit('mcp' in sys.modules)"
    assert subprocess.run([PYTHON, "-c", program], timeout=LONG).returncode == 0
