"""The servers that we are compared with, as they start by their own instructions, on the graphs of `examples/graphs`.

Each is installed into a folder of its own under `.venv/peers/` the first time. Neither is a part of this product or of
its environment.
"""

import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.request import urlopen

import psycopg

from benchmarks.protocol import Place
from benchmarks.server import ROOT, free_port, server
from config.serve.data_dir import DataDir
from config.serve.postgres import Postgres

KEPT = ROOT / ".venv" / "peers"
GRAPHS = ROOT / "examples" / "graphs"
START_S = 90

LANGGRAPH_DEV = ("langgraph-cli[inmem]==0.4.40", "langgraph-api==0.16.7", "langgraph==1.2.22")
# greenlet: what its own packages forget to ask for.
AEGRA = ("aegra-api==0.6.0", "aegra-cli==0.6.0", "langgraph==1.2.22", "greenlet")


class NotInstalled(Exception):
    """A peer that cannot be had here: it is said, and not measured."""


@contextmanager
def ours() -> Iterator[Place]:
    """Agent Server's door for LangGraph's clients."""
    with server(AGENT_SERVER_LANGGRAPH=str(GRAPHS / "langgraph.json")) as at:
        yield Place("Agent Server", at.host, at.port, at.key, "/langgraph")


@contextmanager
def langgraph_dev() -> Iterator[Place]:
    """`langgraph dev`, in memory, with as many jobs at once as ours has."""
    tools = _installed("langgraph-dev", LANGGRAPH_DEV)
    with _folder("langgraph.json") as folder:
        port = free_port()
        command = [tools / "langgraph", "dev", "--no-browser", "--no-reload", "--n-jobs-per-worker", "10"]
        environment = {"LANGSMITH_TRACING": "false"}
        with _running([*command, "--port", str(port)], folder, environment, f"http://127.0.0.1:{port}/ok"):
            yield Place("langgraph dev", "127.0.0.1", port, "none")


@contextmanager
def aegra() -> Iterator[Place]:
    """`aegra serve`, with its rows in the PostgreSQL that ours embeds."""
    tools = _installed("aegra", AEGRA)
    with _folder("aegra.json") as folder, tempfile.TemporaryDirectory(prefix="agent-bench-") as data:
        database = Postgres(DataDir(Path(data)))
        database.data.create()
        database.start()
        try:
            port = free_port()
            environment = {"DATABASE_URL": _database_of_aegra(database), "AUTH_TYPE": "noop", "LOG_LEVEL": "WARNING"}
            command = [tools / "aegra", "serve", "--host", "127.0.0.1", "--port", str(port)]
            with _running(command, folder, environment, f"http://127.0.0.1:{port}/health"):
                yield Place("Aegra", "127.0.0.1", port, "none")
        finally:
            database.stop()


PEERS: tuple[Callable[[], AbstractContextManager[Place]], ...] = (langgraph_dev, aegra)


def _installed(name: str, packages: tuple[str, ...]) -> Path:
    """The folder with the peer's commands. Raises NotInstalled."""
    folder = KEPT / name
    done = folder / "-".join(["complete", *(package.rpartition("=")[2] for package in packages)])
    if not done.exists():
        print(f"Installing {name} for the comparison ...", flush=True)
        shutil.rmtree(folder, ignore_errors=True)
        try:
            subprocess.run([sys.executable, "-m", "venv", folder], check=True, capture_output=True)
            subprocess.run([folder / "bin/pip", "install", "-q", *packages], check=True, capture_output=True, text=True)
        except subprocess.CalledProcessError as failure:
            raise NotInstalled(f"{name}: {str(failure.stderr).strip().splitlines()[-1:]}") from None
        done.touch()
    return folder / "bin"


@contextmanager
def _folder(config: str) -> Iterator[Path]:
    """A copy of the graphs with a configuration of this name."""
    with tempfile.TemporaryDirectory(prefix="agent-bench-") as name:
        folder = Path(name)
        shutil.copy(GRAPHS / "graphs.py", folder)
        shutil.copy(GRAPHS / "langgraph.json", folder / config)
        yield folder


@contextmanager
def _running(command: list[str | Path], folder: Path, settings: dict[str, str], ready: str) -> Iterator[None]:
    """The process, from when it answers at `ready`; stopped afterwards."""
    own = {"DATABASE_URL", "REDIS_URL", "DJANGO_SETTINGS_MODULE", "PYTHONPATH"}
    environment = {name: value for name, value in os.environ.items() if name not in own} | settings
    with open(folder / "log", "wb") as log:
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log)
        try:
            deadline = time.monotonic() + START_S
            while not _answers(ready):
                if process.poll() is not None or time.monotonic() > deadline:
                    raise NotInstalled(f"{command[0]} did not start: {(folder / 'log').read_text()[-500:]}")
                time.sleep(0.2)
            yield
        finally:
            process.terminate()
            try:
                process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _answers(url: str) -> bool:
    try:
        with urlopen(url, timeout=2):
            return True
    except HTTPError:
        return True
    except (URLError, OSError):
        return False


def _database_of_aegra(database: Postgres) -> str:
    """A database of its own. It asks for an extension that the embedded PostgreSQL lacks, for one function alone."""
    name = f"aegra_{secrets.token_hex(4)}"
    with psycopg.connect(database.url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
        folder = connection.execute("SHOW unix_socket_directories").fetchone()
    assert folder is not None
    url = f"postgresql://postgres@/{name}?host={folder[0]}"
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("SET allow_system_table_mods = on")
        connection.execute(
            "INSERT INTO pg_extension (oid, extname, extowner, extnamespace, extrelocatable, extversion) "
            "VALUES (99999, 'uuid-ossp', 10, 2200, true, '1.1')"
        )
        connection.execute("CREATE FUNCTION uuid_generate_v4() RETURNS uuid LANGUAGE sql AS 'SELECT gen_random_uuid()'")
    return url
