"""The servers that we are compared with, as they start by their own instructions, on the graphs of `examples/graphs`.

Each is installed into a folder of its own under `.venv/peers/` the first time, by the first Python here that its newest
release takes. Neither is a part of this product or of its environment.
"""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.request import urlopen

from benchmarks.protocol import Place
from benchmarks.server import ROOT, free_port, server
from config.serve.data_dir import DataDir
from config.serve.postgres import Postgres
from config.serve.redis import Redis

KEPT = ROOT / ".venv" / "peers"
GRAPHS = ROOT / "examples" / "graphs"
START_S = 90


@dataclass(frozen=True)
class Peer:
    """What is installed: the name of its folder, its packages, and the Python that they want at least."""

    folder: str
    packages: tuple[str, ...]
    python: tuple[int, int] = (3, 11)


LANGGRAPH_DEV = Peer("langgraph-dev", ("langgraph-cli[inmem]==0.4.40", "langgraph-api==0.16.7", "langgraph==1.2.22"))
AEGRA = Peer("aegra", ("aegra-api==0.11.0", "aegra-cli==0.11.0", "langgraph==1.2.22"), (3, 12))


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
    tools = _installed(LANGGRAPH_DEV)
    with _folder("langgraph.json") as folder:
        port = free_port()
        command = [str(tools / "langgraph"), "dev", "--no-browser", "--no-reload", "--n-jobs-per-worker", "10"]
        environment = {"LANGSMITH_TRACING": "false"}
        with _running([*command, "--port", str(port)], folder, environment, f"http://127.0.0.1:{port}/ok"):
            yield Place("langgraph dev", "127.0.0.1", port, "none")


@contextmanager
def aegra() -> Iterator[Place]:
    """Aegra as its `aegra up` deploys it: runs go to its workers through Redis."""
    with _aegra("Aegra", redis=True) as at:
        yield at


@contextmanager
def aegra_alone() -> Iterator[Place]:
    """`aegra serve` by its own defaults: without Redis, each run a task of the web process."""
    with _aegra("Aegra, no Redis", redis=False) as at:
        yield at


PEERS: tuple[Callable[[], AbstractContextManager[Place]], ...] = (langgraph_dev, aegra, aegra_alone)


@contextmanager
def _aegra(name: str, redis: bool) -> Iterator[Place]:
    """Aegra on the engines that ours embeds."""
    tools = _installed(AEGRA)
    with ExitStack() as stack:
        folder = stack.enter_context(_folder("aegra.json"))
        data = DataDir(Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="agent-bench-"))))
        data.create()
        settings = {"AUTH_TYPE": "noop", "LOG_LEVEL": "WARNING", "REDIS_BROKER_ENABLED": str(redis).lower()}
        settings["DATABASE_URL"] = _started(stack, Postgres(data))
        if redis:
            settings["REDIS_URL"] = _started(stack, Redis(data))
        port = free_port()
        command = [str(tools / "aegra"), "serve", "--host", "127.0.0.1", "--port", str(port)]
        stack.enter_context(_running(command, folder, settings, f"http://127.0.0.1:{port}/health"))
        yield Place(name, "127.0.0.1", port, "none")


def _started(stack: ExitStack, engine: Postgres | Redis) -> str:
    """The address of the engine, which stops with the stack."""
    engine.start()
    stack.callback(engine.stop)
    return engine.url


def _installed(peer: Peer) -> Path:
    """The folder with the peer's commands. Raises NotInstalled."""
    folder = KEPT / peer.folder
    done = folder / "-".join(["complete", *(package.rpartition("=")[2] for package in peer.packages)])
    if not done.exists():
        print(f"Installing {peer.folder} for the comparison ...", flush=True)
        shutil.rmtree(folder, ignore_errors=True)
        try:
            subprocess.run([_python(peer), "-m", "venv", folder], check=True, capture_output=True)
            subprocess.run(
                [folder / "bin/pip", "install", "-q", *peer.packages], check=True, capture_output=True, text=True
            )
        except subprocess.CalledProcessError as failure:
            raise NotInstalled(f"{peer.folder}: {str(failure.stderr).strip().splitlines()[-1:]}") from None
        done.touch()
    return folder / "bin"


def _python(peer: Peer) -> Path:
    """This Python if the peer takes it, else one on the PATH or of pyenv's that it does. Raises NotInstalled."""
    if sys.version_info[:2] >= peer.python:
        return Path(sys.executable)
    names = [f"python3.{minor}" for minor in range(peer.python[1], peer.python[1] + 3)]
    kept = sorted(Path.home().glob(".pyenv/versions/*/bin"))
    folders = [Path(folder) for folder in os.get_exec_path()] + kept
    for found in (folder / name for folder in folders for name in names):
        # A shim of pyenv's is there for every version, and answers only for the chosen ones.
        if found.exists() and subprocess.run([found, "-c", ""], capture_output=True).returncode == 0:
            return found
    raise NotInstalled(f"{peer.folder} wants Python {peer.python[0]}.{peer.python[1]} or newer, and none is here.")


@contextmanager
def _folder(config: str) -> Iterator[Path]:
    """A copy of the graphs with a configuration of this name."""
    with tempfile.TemporaryDirectory(prefix="agent-bench-") as name:
        folder = Path(name)
        shutil.copy(GRAPHS / "graphs.py", folder)
        shutil.copy(GRAPHS / "langgraph.json", folder / config)
        yield folder


@contextmanager
def _running(command: list[str], folder: Path, settings: dict[str, str], ready: str) -> Iterator[None]:
    """The process, from when it answers at `ready`; stopped afterwards, with those that it started."""
    own = {"DATABASE_URL", "REDIS_URL", "DJANGO_SETTINGS_MODULE", "PYTHONPATH"}
    environment = {name: value for name, value in os.environ.items() if name not in own} | settings
    with open(folder / "log", "wb") as log:
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log, start_new_session=True)
        try:
            deadline = time.monotonic() + START_S
            while not _answers(ready):
                if process.poll() is not None or time.monotonic() > deadline:
                    raise NotInstalled(f"{command[0]} did not start: {(folder / 'log').read_text()[-500:]}")
                time.sleep(0.2)
            yield
        finally:
            _stop(process)


def _stop(process: "subprocess.Popen[bytes]") -> None:
    """Stops all of the process's group: Aegra's command is not the server, but starts it."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            process.wait(timeout=20)
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _answers(url: str) -> bool:
    try:
        with urlopen(url, timeout=2):
            return True
    except HTTPError:
        return True
    except (URLError, OSError):
        return False
