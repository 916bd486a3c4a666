"""`serve --reload`: what is written is what runs, as soon as it can be imported."""

import tempfile
from dataclasses import replace
from pathlib import Path

import pytest

from config.env import ENV, BadEnvironment
from config.management.commands import serve
from config.serve.reload import Code
from runtime.langgraph_json import read_config
from tests.api import ECHO
from tests.servers import ROOT, Server, wait_for

PATIENT = """
import asyncio
from runtime.contract import BaseAgent, Message, Step
from runtime.registry import register_agent

@register_agent("Patient")
class Patient(BaseAgent):
    async def step(self, state, io):
        if not state.values:
            return Step(kind="custom", changes={"begun": True})
        await asyncio.sleep(%d)
        return Step(kind="custom", messages=[Message(id=io.new_id(), role="assistant", content="%s")], done=True)
"""


@pytest.mark.servers
def test_a_changed_agent_is_taken_when_it_can_be_imported_and_its_runs_go_on_with_it() -> None:
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as data:
        module = Path(folder, "patient.py")
        module.write_text(PATIENT % (600, "one"))
        settings = {"AGENT_SERVER_AGENTS": "patient", "PYTHONPATH": folder, "BG_JOB_SHUTDOWN_GRACE_PERIOD_SECS": "0"}
        with Server(Path(data), "--reload", **settings) as server:
            made = server.client.post("/assistants", json={"name": "Patient", "type": "Patient", "llm": ECHO}).json()
            body = {"assistant_id": made["id"], "input": {"message": "Hello"}}
            run = server.client.post("/runs", json=body).json()["id"]
            wait_for(lambda: server.client.get(f"/runs/{run}").json()["steps"], 30)
            before = server.pids("worker")
            module.write_text("from nowhere import nothing")
            wait_for(lambda: "No module named 'nowhere'" in server.output, 30)
            assert server.pids("worker") == before
            module.write_text(PATIENT % (0, "two"))
            wait_for(lambda: server.pids("worker") not in ([], before), 30)
            wait_for(lambda: server.sql("SELECT status FROM runs WHERE id = %s", run) == [("success",)], 30)
            ended = server.client.get(f"/runs/{run}").json()
            assert (ended["output"]["text"], ended["attempt"], len(ended["steps"])) == ("two", 2, 2)
            assert f"Changed: {module}; starting web, 1 worker and beat again" in server.output
            assert "starting it again" not in server.output  # nobody is thought to have died


def test_the_projects_packages_and_those_of_the_agents_are_watched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "house").mkdir()
    (tmp_path / "house" / "__init__.py").touch()
    (tmp_path / "house" / "butler.py").touch()
    (tmp_path / "alone.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    code = Code(["house.butler", "alone", "not_there"])
    assert code.trees >= {ROOT / "runtime", ROOT / "tools", tmp_path / "house"}
    assert ROOT / "tests" not in code.trees
    assert code.folders == {tmp_path}
    names = [code.module(ROOT / "tools" / "registry.py"), code.module(tmp_path / "house" / "__init__.py")]
    names += [code.module(tmp_path / "house" / "butler.py"), code.module(tmp_path / "alone.py")]
    assert names == ["tools.registry", "house", "house.butler", "alone"]
    assert code.module(tmp_path / "house" / "gone.py") is None


def test_what_hosted_graphs_are_made_of_is_watched_and_is_no_module(tmp_path: Path) -> None:
    (tmp_path / "lib").mkdir()
    (tmp_path / "graph.py").touch()
    (tmp_path / ".env").touch()
    path = tmp_path / "langgraph.json"
    path.write_text('{"graphs": {"a": "./graph.py:graph"}, "env": ".env", "dependencies": ["./lib"]}')
    code = Code([], read_config(str(path), "", Path.cwd()))
    assert tmp_path / "lib" in code.trees
    assert tmp_path in code.folders
    assert code.files == (path, tmp_path / ".env")
    assert code.is_hosted(tmp_path / "lib" / "words.py")
    assert code.is_hosted(path)
    assert not code.is_hosted(ROOT / "tools" / "registry.py")
    assert code.module(tmp_path / "graph.py") is None
    assert code.module(ROOT / "tools" / "registry.py") == "tools.registry"


def test_it_is_for_development(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serve, "ENV", replace(ENV, production=True))
    with pytest.raises(BadEnvironment, match="--reload is for development"):
        serve.Command().handle(reload=True)
