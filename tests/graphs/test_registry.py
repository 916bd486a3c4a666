"""langgraph.json is read whole or refused in one line, and its graphs are loaded once."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.store.memory import InMemoryStore

from config.env import BadEnvironment, Environment
from graphs.registry import BrokenGraphError, UnknownGraphError, graph_for, graph_ids, load_all, load_graph
from runtime.configuration import configure, current
from runtime.langgraph_json import BadLangGraphJsonError, LangGraphConfig, read_config
from tests.langgraph.conftest import EXAMPLES
from tests.servers import ROOT

Host = Callable[..., LangGraphConfig]
GRAPH = """
from typing import TypedDict
from langgraph.graph import START, StateGraph
class State(TypedDict, total=False):
    text: str
def shout(state: State) -> State:
    return {"text": state["text"].upper()}
builder = StateGraph(State).add_node(shout).add_edge(START, "shout")
"""


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Write a langgraph.json beside `graph.py`; keys that are given take the usual ones' place."""

    def write(code: str = GRAPH, **keys: Any) -> Path:
        (tmp_path / "graph.py").write_text(code)
        path = tmp_path / "langgraph.json"
        path.write_text(json.dumps({"graphs": {"shout": "./graph.py:builder"}, **keys}))
        return path

    return write


@pytest.fixture
def host(write: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> Iterator[Host]:
    """This process hosts what such a file names."""
    before = current()
    monkeypatch.setattr(sys, "path", sys.path.copy())

    def host(code: str = GRAPH, **keys: Any) -> LangGraphConfig:
        found = read_config(str(write(code, **keys)), "", Path.cwd())
        configure(replace(before, langgraph=found))
        return found

    yield host
    configure(before)


def refusal(path: Path | str, graphs: str = "") -> str:
    with pytest.raises(BadLangGraphJsonError) as refused:
        read_config(str(path), graphs, Path.cwd())
    assert "\n" not in str(refused.value)
    return str(refused.value)


def test_the_examples_are_read() -> None:
    config = read_config(str(EXAMPLES), "", Path.cwd())
    assert list(config.graphs) == ["echo", "steps", "react", "interrupt", "nested"]
    assert config.graphs["interrupt"].source.attribute == "interrupting"
    assert config.paths == (EXAMPLES.parent,)


def test_without_a_file_nothing_is_hosted() -> None:
    assert not read_config("", "", Path.cwd()).graphs


def test_graphs_may_be_listed_without_a_file(write: Callable[..., Path]) -> None:
    path = write()
    listed = json.dumps(
        {"loud": {"path": f"{path.parent}/graph.py:builder", "description": "It shouts."}, "m": "a.b:c"}
    )
    found = read_config("", listed, Path.cwd()).graphs
    assert found["loud"].description == "It shouts."
    assert (found["m"].source.place, found["m"].source.attribute) == ("a.b", "c")
    assert "'loud'" in refusal(write(graphs={"loud": "./graph.py:builder"}), listed)


def test_keys_that_only_build_images_are_passed_over(write: Callable[..., Path]) -> None:
    built = {"python_version": "3.11", "dockerfile_lines": ["RUN x"], "image_distro": "wolfi", "base_image": "y"}
    assert read_config(str(write(**built)), "", Path.cwd()).graphs


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ({"grafs": {}}, "has grafs"),
        ({"webhooks": {"url": {"require_https": True}}}, "AGENT_SERVER_URL_ALLOWLIST"),
        ({"webhooks": {"env_prefix": "MY_"}}, "webhooks.env_prefix"),
        ({"http": {"cors": {}}}, "set CORS_ALLOW_ORIGINS"),
        ({"graphs": {}}, "names no graphs"),
        ({"graphs": {"a": "./agent.ts:graph"}}, "JavaScript"),
        ({"graphs": {"a": "./missing.py:graph"}}, "no file"),
        ({"graphs": {"a": "./graph.py"}}, "./file.py:name"),
        ({"graphs": {"a": {"path": "./graph.py:builder", "color": "red"}}}, "'color'"),
        ({"graphs": {"6ba7b821-9dad-11d1-80b4-00c04fd430c8": "./graph.py:builder"}}, "no UUID"),
        ({"dependencies": ["./nowhere"]}, "no folder"),
        ({"env": "./missing.env"}, "cannot read"),
        ({"store": {"index": {"dims": 3, "embed": "x"}}}, "store.index"),
        ({"checkpointer": {"ttl": {"soon": 1}}}, "checkpointer.ttl.soon"),
        ({"http": {"disable_runs": True}}, "http.disable_runs"),
        ({"http": {"app": "app"}}, "http.app"),
        ({"auth": {"path": "./missing.py:auth"}}, "auth.path"),
    ],
)
def test_what_cannot_be_done_is_refused_in_one_line(
    write: Callable[..., Path], keys: dict[str, Any], told: str
) -> None:
    assert told in refusal(write(**keys))


def test_a_file_that_is_missing_or_no_json_is_refused(tmp_path: Path) -> None:
    assert "cannot read" in refusal(tmp_path / "langgraph.json")
    (tmp_path / "langgraph.json").write_text("{")
    assert "not valid JSON" in refusal(tmp_path / "langgraph.json")


def test_an_env_file_is_read_with_quotes_and_comments(write: Callable[..., Path]) -> None:
    path = write(env=".env")
    lines = ["# ours", "", "export A=1", "B = two words # why", "C='#3'", 'D="four\\nlines"', "E="]
    (path.parent / ".env").write_text("\n".join(lines))
    config = read_config(str(path), "", Path.cwd())
    assert config.env == {"A": "1", "B": "two words", "C": "#3", "D": "four\nlines", "E": ""}
    assert config.files == (path, path.parent / ".env")
    (path.parent / ".env").write_text("A=1\nnonsense\n")
    assert "line 2" in refusal(path)


def test_variables_of_the_file_itself_become_texts(write: Callable[..., Path]) -> None:
    assert read_config(str(write(env={"A": "1", "B": 2})), "", Path.cwd()).env == {"A": "1", "B": "2"}


async def test_a_graph_is_loaded_once_and_runs(host: Host) -> None:
    host()
    assert graph_ids() == ["shout"]
    assert load_graph("shout") is load_graph("shout")
    async with graph_for("shout", {}, store=None, checkpointer=None) as graph:
        assert await graph.ainvoke({"text": "hey"}) == {"text": "HEY"}


async def test_what_a_graph_keeps_things_in_is_the_servers(host: Host, caplog: pytest.LogCaptureFixture) -> None:
    code = (
        GRAPH
        + "from langgraph.checkpoint.memory import InMemorySaver\ng = builder.compile(checkpointer=InMemorySaver())\n"
    )
    host(code, graphs={"own": "./graph.py:g"})
    saver, store = InMemorySaver(), InMemoryStore()
    for _ in range(2):
        async with graph_for("own", {}, store=store, checkpointer=saver) as graph:
            assert (graph.checkpointer, graph.store) == (saver, store)
    assert caplog.text.count("'own'") == 1


async def test_a_graph_imports_from_the_folders_beside_it(host: Host, tmp_path: Path) -> None:
    (tmp_path / "lib" / "src").mkdir(parents=True)
    (tmp_path / "lib" / "src" / "words_of_ours.py").write_text("WORD = 'hey'\n")
    host(GRAPH + "from words_of_ours import WORD\n", dependencies=["./lib", "langchain"])
    assert load_all() == {}


@pytest.mark.parametrize("package", ["agents_of_ours", "tools"])
def test_a_graph_may_be_in_a_package_of_any_name(host: Host, tmp_path: Path, package: str) -> None:
    (tmp_path / package).mkdir()
    (tmp_path / package / "__init__.py").touch()
    (tmp_path / package / "graph.py").write_text(GRAPH)
    host(dependencies=["."], graphs={package: f"./{package}/graph.py:builder"})
    assert load_all() == {}


def test_a_graph_in_a_package_imports_from_beside_it(host: Host, tmp_path: Path) -> None:
    (tmp_path / "others_of_ours").mkdir()
    (tmp_path / "others_of_ours" / "__init__.py").touch()
    (tmp_path / "others_of_ours" / "words.py").write_text("WORD = 'hey'")
    (tmp_path / "others_of_ours" / "graph.py").write_text("from .words import WORD\n" + GRAPH)
    host(dependencies=["."], graphs={"it": "./others_of_ours/graph.py:builder"})
    assert load_all() == {}
    assert sys.modules["others_of_ours.words"].WORD == "hey"


async def test_a_graph_that_is_gone_is_named() -> None:
    with pytest.raises(UnknownGraphError, match="'gone'"):
        async with graph_for("gone", {}, store=None, checkpointer=None):
            pass


def test_a_graph_that_cannot_be_loaded_is_named_and_the_others_are(host: Host) -> None:
    code = GRAPH + "number = 3\n"
    host(code, graphs={"a": "./graph.py:missing", "b": "./graph.py:number", "c": "./graph.py:builder"})
    broken = load_all()
    assert list(broken) == ["a", "b"]
    assert "'missing'" in broken["a"]
    assert "is a int, and no graph" in broken["b"]
    with pytest.raises(BrokenGraphError, match="'a'"):
        load_graph("a")


def test_the_environment_names_the_file_and_more_graphs(
    write: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AGENT_SERVER_LANGGRAPH", str(write()))
    monkeypatch.setenv("AGENT_SERVER_GRAPHS", '{"other": "a.b:c"}')
    assert list(Environment().langgraph.graphs) == ["shout", "other"]


def test_a_bad_file_ends_the_start_with_one_line(write: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AGENT_SERVER_LANGGRAPH", str(write(grafs={})))
    with pytest.raises(BadEnvironment) as ended:
        Environment()
    assert str(ended.value).startswith("AGENT_SERVER_LANGGRAPH: langgraph.json has grafs, which this server")
    assert "\n" not in str(ended.value)


def test_no_process_imports_langgraph_before_a_graph_is_needed() -> None:
    code = """
import sys
import django
django.setup()
import config.asgi
print([name for name in sys.modules if name == "langgraph" or name.startswith(("langgraph.pregel", "langgraph.graph"))])
"""
    env = {**os.environ, "AGENT_SERVER_LANGGRAPH": str(EXAMPLES)}
    done = subprocess.run([sys.executable, "-c", code], env=env, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert (done.stdout.strip(), done.returncode) == ("[]", 0), done.stderr
