"""Real processes for tests: the embedded engines, and a whole `manage.py serve` in a data folder of its own."""

import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

import httpx
import psycopg

from config.serve.data_dir import DataDir
from config.serve.postgres import Postgres
from config.serve.processes import launch
from config.serve.redis import Redis

T = TypeVar("T")
ROOT = Path(__file__).resolve().parent.parent
KEY = "test-key-0123456789abcdef"
PASSWORD = "test-password"
READY = "Agent Server is ready"
# In the processes of a large run: where there is a PostgreSQL's folder, migrated and at rest, to begin with.
TEMPLATE = "AGENT_SERVER_TESTS_TEMPLATE"


def begin_with_template(data: DataDir) -> None:
    """Spare this data folder `initdb` and the migrations, where there is a template."""
    template = os.environ.get(TEMPLATE)
    if template and not (data.path / Postgres.name).exists():
        data.create()
        subprocess.run(["cp", "-a", template, data.path / Postgres.name], check=True)


class QuickPostgres(Postgres):
    """One that waits for no disk: nothing of it is to outlive the machine."""

    def command(self) -> list[str | Path]:
        return [*super().command(), "-c", "fsync=off", "-c", "full_page_writes=off"]


class Engines:
    """PostgreSQL and Redis for this test run, in a temporary folder, gone with it. `quick`: as a test run's own."""

    def __init__(self, *, quick: bool = False) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="agent-server-tests-")
        self.data = DataDir(Path(self._folder.name))
        self.data.create()
        self.postgres = QuickPostgres(self.data) if quick else Postgres(self.data)
        self.redis = Redis(self.data)

    def start(self) -> None:
        begin_with_template(self.data)
        self.postgres.start()
        self.redis.start()

    def stop(self) -> None:
        self.redis.stop()
        self.postgres.stop()
        self._folder.cleanup()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(question: Callable[[], T], timeout_s: float = 10.0) -> T:
    """Ask until the answer is true, and give it back."""
    deadline = time.monotonic() + timeout_s
    while not (answer := question()):
        assert time.monotonic() < deadline, f"still {answer!r} after {timeout_s} s"
        time.sleep(0.02)
    return answer


class Server:
    """A `manage.py serve` with these options: its address, a client with its key, and the means to hurt it.

    `settings` are environment variables on top of this process's own, from which the addresses of the test run's
    engines have been taken out. `fresh`: it makes its database itself, as at a person's first start.
    """

    def __init__(
        self, data_dir: Path, *options: str, uid: int | None = None, fresh: bool = False, **settings: str
    ) -> None:
        self.data_dir = data_dir
        self.port = int(settings.get("PORT") or free_port())
        self.url = f"http://127.0.0.1:{self.port}"
        self.key = KEY
        self.lines: list[str] = []
        self._options, self._uid, self._fresh = options, uid, fresh
        own = {"DATABASE_URL", "DATABASE_DIRECT_URL", "REDIS_URL", "SECRET_KEY", "DJANGO_SETTINGS_MODULE"}
        self._env = {name: value for name, value in os.environ.items() if name not in own} | {
            "DATA_DIR": str(data_dir),
            "PORT": str(self.port),
            "AGENT_SERVER_BOOTSTRAP_KEY": KEY,
            "AGENT_SERVER_ADMIN_PASSWORD": PASSWORD,
            "AGENT_SERVER_WORKERS": "1",
            "AGENT_SERVER_URL_ALLOWLIST": "127.0.0.1",
            **settings,
        }
        self.process: subprocess.Popen[bytes] | None = None
        self.client = httpx.Client(base_url=self.url, headers={"Authorization": f"Bearer {KEY}"}, timeout=30)

    def start(self, *, timeout_s: float = 120.0) -> "Server":
        """Start it and wait until it has printed its addresses."""
        self.spawn()
        self.wait_until_ready(timeout_s)
        return self

    def spawn(self) -> None:
        self.lines = []
        if not self._fresh:
            begin_with_template(DataDir(self.data_dir))
        command = [sys.executable, str(ROOT / "manage.py"), "serve", *self._options]
        self.process = launch(
            command, output=subprocess.PIPE, env=self._env, uid=self._uid, death_signal=signal.SIGTERM
        )
        threading.Thread(target=self._read, args=[self.process], daemon=True).start()

    def _read(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout
        with process.stdout:
            for line in process.stdout:
                self.lines.append(line.decode(errors="replace").rstrip("\n"))

    def wait_until_ready(self, timeout_s: float = 120.0) -> None:
        deadline = time.monotonic() + timeout_s
        while not any(READY in line for line in self.lines):
            assert self.running, f"serve ended with {self.exit_code}:\n{self.output}"
            assert time.monotonic() < deadline, f"serve is not ready after {timeout_s} s:\n{self.output}"
            time.sleep(0.05)

    @property
    def output(self) -> str:
        return "\n".join(self.lines)

    @property
    def running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    @property
    def exit_code(self) -> int | None:
        return self.process.poll() if self.process else None

    @property
    def pid(self) -> int:
        assert self.process
        return self.process.pid

    def send(self, signum: signal.Signals) -> None:
        os.kill(self.pid, signum)

    def wait(self, timeout_s: float = 30.0) -> int:
        """Wait for its end; gives its exit code."""
        assert self.process
        return self.process.wait(timeout_s)

    def stop(self, signum: signal.Signals = signal.SIGTERM, timeout_s: float = 30.0) -> int | None:
        """End it as a person would; gives its exit code. Harmless on one that has ended."""
        if self.running:
            self.send(signum)
            self.wait(timeout_s)
        return self.exit_code

    def end(self) -> None:
        """Stop it at once, as a second Ctrl-C does: nothing of what it was doing is waited for."""
        if self.running:
            self.send(signal.SIGTERM)
            with suppress(ProcessLookupError):
                self.send(signal.SIGINT)
            self.wait()

    def kill(self) -> None:
        """kill -9 of the supervisor alone."""
        self.send(signal.SIGKILL)
        self.wait()

    def pids(self, role: str) -> list[int]:
        """The processes of `web`, `worker`, `beat`, `postgres` or `redis`."""
        words = {"postgres": r"/bin/postgres -D", "redis": r"^valkey-server"}
        pattern = re.compile(words.get(role, rf"manage\.py {role}\b"))
        return [pid for pid, command in descendants(self.pid) if pattern.search(command)]

    def sql(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        """What the server's own database says."""
        with psycopg.connect((self.data_dir / "postgres.url").read_text().strip()) as connection:
            return connection.execute(query, values).fetchall()

    @contextmanager
    def beside(self, *command: str, **settings: str) -> Iterator[subprocess.Popen[bytes]]:
        """Another role with these options, which finds the engines by the data folder; ended as a person would.

        `settings` are environment variables on top of the server's.
        """
        env = self._env | settings
        with (self.data_dir / "logs" / f"beside-{command[0]}.log").open("ab") as log:
            process = launch([sys.executable, str(ROOT / "manage.py"), *command], output=log, env=env)
        try:
            yield process
        finally:
            process.terminate()
            process.wait(30)

    def kill_worker(self) -> int:
        """kill -9 of one worker; gives its former pid."""
        pid = self.pids("worker")[0]
        os.kill(pid, signal.SIGKILL)
        return pid

    def __enter__(self) -> "Server":
        return self.start()

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.client.close()
        self.end()


def processes() -> list[tuple[int, int, str]]:
    """(pid, parent's pid, command line) of every process; those that have ended but were not reaped are left out."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parent = int(entry.joinpath("stat").read_text().rpartition(")")[2].split()[1])
                command = entry.joinpath("cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
            except OSError:
                continue
            if command:
                found.append((int(entry.name), parent, command))
    return found


def descendants(pid: int) -> list[tuple[int, str]]:
    """(pid, command line) of the direct children of `pid`."""
    return [(child, command) for child, parent, command in processes() if parent == pid]


def using(folder: Path) -> list[str]:
    """The command lines of the processes that name `folder` or have it as their DATA_DIR."""
    mark = str(folder)
    found = []
    for pid, _, command in processes():
        try:
            environment = Path(f"/proc/{pid}/environ").read_bytes().decode(errors="replace")
        except OSError:
            environment = ""
        if pid != os.getpid() and (mark in command or f"DATA_DIR={mark}\0" in environment):
            found.append(command)
    return found
