"""A real server on the embedded engines, in a folder of its own, for as long as it is measured."""

import os
import secrets
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

ROOT = Path(__file__).resolve().parent.parent
START_S = 120


@dataclass(frozen=True)
class Server:
    host: str
    port: int
    key: str


@contextmanager
def server(**environment: str) -> Iterator[Server]:
    """`manage.py serve` on a free port with an empty data folder; stopped and removed afterwards."""
    with tempfile.TemporaryDirectory(prefix="agent-bench-") as folder:
        port, key = free_port(), secrets.token_hex(20)
        process = subprocess.Popen(
            [sys.executable, "manage.py", "serve"],
            cwd=ROOT,
            env={
                **{k: v for k, v in os.environ.items() if k not in {"DATABASE_URL", "REDIS_URL"}},
                "DATA_DIR": folder,
                "PORT": str(port),
                "AGENT_SERVER_BOOTSTRAP_KEY": key,
                "AGENT_SERVER_AGENTS": "benchmarks.agents",
                "LOG_LEVEL": "WARNING",
                **environment,
            },
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            _wait_until_ready(process, port)
            yield Server("127.0.0.1", port, key)
        finally:
            process.terminate()
            process.communicate(timeout=60)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_until_ready(process: "subprocess.Popen[str]", port: int) -> None:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(f"The server did not start:\n{process.communicate()[0]}")
        try:
            with urlopen(f"http://127.0.0.1:{port}/readyz", timeout=2):
                return
        except (URLError, OSError):
            time.sleep(0.2)
    raise RuntimeError("The server was not ready in time.")
