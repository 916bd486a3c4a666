import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import BaseModel

from runtime.contract import BaseAgent, State, Step, StepIO
from runtime.registry import (
    _BUILT_IN_TYPES,
    agent_class,
    agent_names,
    agent_type,
    agent_types,
    load_installed_agents,
    register_agent,
)


@register_agent("test-parrot")
class Parrot(BaseAgent):
    """Says nothing new.

    More about it.
    """

    class Config(BaseModel):
        system_prompt: str

    async def step(self, state: State, io: StepIO) -> Step:
        return Step("custom", done=True)


def test_the_built_in_type_is_there_unasked() -> None:
    assert "ReactAgent" in agent_names()
    assert agent_class("ReactAgent").__name__ == "ReactAgent"


def test_a_registered_class_is_found_and_described() -> None:
    assert agent_class("test-parrot") is Parrot
    described = {kind.name: kind.description for kind in agent_types()}
    assert described["test-parrot"] == "Says nothing new."


def test_a_registered_class_says_what_it_demands() -> None:
    kind = agent_type("test-parrot")
    assert (kind.config, kind.read_only_tools) == (Parrot.Config, False)


@pytest.mark.parametrize("name", _BUILT_IN_TYPES)
def test_what_is_told_of_a_built_in_type_without_importing_it_is_true(name: str) -> None:
    kind, cls = agent_type(name), agent_class(name)
    assert (kind.name, kind.config, kind.read_only_tools) == (cls.__name__, cls.Config, cls.read_only_tools)


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An installed package with a class and a function; its entry points are written by the test."""
    tmp_path.joinpath("talkers.py").write_text(
        "from runtime.contract import BaseAgent\n"
        "class Talker(BaseAgent):\n"
        "    'Talks.'\n"
        "    async def step(self, state, io): ...\n"
        "def no_class(): ...\n"
    )
    info = tmp_path / "talkers-1.0.dist-info"
    info.mkdir()
    info.joinpath("METADATA").write_text("Metadata-Version: 2.1\nName: talkers\nVersion: 1.0\n")
    monkeypatch.syspath_prepend(tmp_path)
    return info / "entry_points.txt"


def test_an_installed_packages_type_is_found(package: Path) -> None:
    package.write_text("[agent_server.agents]\ntest-talker = talkers:Talker\n")
    load_installed_agents()
    assert agent_type("test-talker").description == "Talks."
    load_installed_agents()


@pytest.mark.parametrize(
    ("entry", "message"),
    [("test-odd = talkers:no_class", "no subclass"), ("ReactAgent = talkers:Talker", "registered already")],
)
def test_an_entry_point_that_cannot_be_used_is_an_error(package: Path, entry: str, message: str) -> None:
    package.write_text(f"[agent_server.agents]\n{entry}\n")
    with pytest.raises(ValueError, match=message):
        load_installed_agents()


def test_an_unknown_type_is_a_lookup_error() -> None:
    with pytest.raises(LookupError, match="no agent type 'Nobody'"):
        agent_class("Nobody")


def test_a_taken_name_is_refused() -> None:
    class Impostor(Parrot):
        pass

    with pytest.raises(ValueError, match="registered already"):
        register_agent("ReactAgent")(Impostor)
    with pytest.raises(ValueError, match="registered already"):
        register_agent("test-parrot")(Impostor)


def test_names_are_known_without_importing_langchain() -> None:
    code = (
        "import sys, runtime.registry, runtime.providers, runtime.middleware; runtime.registry.agent_names();"
        "runtime.middleware.middleware_types();"
        "runtime.providers.check_llm({'provider': 'fake', 'model': 'echo'});"
        "sys.exit('langchain_core' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
