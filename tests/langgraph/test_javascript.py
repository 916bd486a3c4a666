"""LangGraph's JavaScript clients against this server: the scripts in `js/`, carried out by Node.

The packages are those of `js/package-lock.json`, checked by their hashes, fetched once and kept with pytest's cache.
`@langchain/langgraph-sdk` 2.0.0 is the newest by its number and knows runs; 1.15.0, which is younger, knows threads as
protocol v2 streams them.
"""

import hashlib
import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import playwright
import pytest

from tests.servers import Server

pytestmark = pytest.mark.servers

SCRIPTS = Path(__file__).parent / "js"
# Playwright brings its own.
NODE = Path(playwright.__file__).parent / "driver" / "node"
WORDS = "The weather in the city that you have asked me about is sunny and warm today with a light breeze."


@pytest.fixture(scope="module")
def packages(request: pytest.FixtureRequest) -> Path:
    """The scripts beside their packages."""
    lock = (SCRIPTS / "package-lock.json").read_bytes()
    cache: Any = request.config.cache
    folder: Path = cache.mkdir(f"langgraph-js-{hashlib.sha256(lock).hexdigest()[:12]}")
    for script in SCRIPTS.iterdir():
        shutil.copy(script, folder)
    if not (folder / "complete").exists():
        _install(folder)
        (folder / "complete").touch()
    return folder


def _install(folder: Path) -> None:
    npm = shutil.which("npm")
    if npm is None:
        pytest.fail("npm is not there to fetch LangGraph's JavaScript clients; install it (apt-get install npm).")
    command = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.fail(f"npm could not fetch LangGraph's JavaScript clients:\n{done.stderr}")


@pytest.fixture
def tell(server: Server, packages: Path) -> Any:
    """What a script has seen."""

    def carry_out(script: str, *arguments: str) -> Any:
        env = {"PATH": os.environ["PATH"], "SERVER_URL": f"{server.url}/langgraph", "SERVER_KEY": server.key}
        command = [str(NODE), str(packages / f"{script}.mjs"), *arguments]
        done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return carry_out


def test_every_mode_is_streamed(tell: Any) -> None:
    told = tell("streaming")
    assert told["modes"] == {
        "values": ["metadata", "values"],
        "updates": ["metadata", "updates"],
        "messages": ["metadata", "messages/metadata", "messages/partial", "messages/complete"],
        "messages-tuple": ["metadata", "messages"],
        "events": ["metadata", "events"],
        "tasks": ["metadata", "tasks"],
        "checkpoints": ["metadata", "checkpoints"],
        "debug": ["metadata", "debug"],
        "custom": ["metadata", "custom"],
    }
    assert told["subgraphs"]
    assert told["error"]["event"] == "error"
    assert told["error"]["data"] == {"error": "ValueError", "message": "boom at 2"}


def test_a_graph_that_asks_goes_on_with_the_answer(tell: Any) -> None:
    assert tell("interrupts") == {
        "asked": [{"question": "q"}],
        "status": "interrupted",
        "pending": [{"question": "q"}],
        "last": {"question": "decided: yes", "decision": "yes"},
        "after": "idle",
    }


def test_a_broken_connection_is_taken_up(tell: Any) -> None:
    assert tell("rejoin") == {
        "ids": True,
        "again": [True, True, True],
        "whole": True,
        "broken": True,
        "taken": ["s1", "s2", "s3", "s4", "s5"],
    }


@pytest.mark.parametrize("transport", ["sse", "websocket"])
def test_a_thread_is_streamed_by_protocol_v2(tell: Any, transport: str) -> None:
    assert tell("v2", transport) == {
        "run": "string",
        "last": WORDS,
        "texts": ["", WORDS],
        "calls": [["weather", {"city": "Berlin"}, "It is sunny in Berlin."]],
        "phases": ["running", "input.requested", "interrupted"],
        "asked": {"question": "q"},
        "decided": {"question": "decided: yes", "decision": "yes"},
    }


def test_a_broken_stream_of_protocol_v2_is_taken_up(tell: Any) -> None:
    assert tell("v2_rejoin") == {
        "broken": True,
        "counts": [0, 1, 2, 3, 4, 5],
        "output": 5,
        "second": ["completed", "completed", "running", "running"],
    }


def test_react_finds_what_it_asks_for(tell: Any) -> None:
    assert tell("use_stream") == {
        "before": [],
        "same": True,
        "missed": ["s2", "s3", "s4", "s5"],
        "history": [5, 4, 3, 2],
        "values": 5,
    }
