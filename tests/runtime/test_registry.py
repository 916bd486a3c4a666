import subprocess
import sys

import pytest

from runtime.contract import BaseAgent, State, Step, StepIO
from runtime.registry import agent_class, agent_names, agent_types, register_agent


@register_agent("test-parrot")
class Parrot(BaseAgent):
    """Says nothing new.

    More about it.
    """

    async def step(self, state: State, io: StepIO) -> Step:
        return Step("custom", done=True)


def test_the_built_in_type_is_there_unasked() -> None:
    assert "ReactAgent" in agent_names()
    assert agent_class("ReactAgent").__name__ == "ReactAgent"


def test_a_registered_class_is_found_and_described() -> None:
    assert agent_class("test-parrot") is Parrot
    described = {kind.name: kind.description for kind in agent_types()}
    assert described["test-parrot"] == "Says nothing new."


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
        "import sys, runtime.registry, runtime.providers; runtime.registry.agent_names();"
        "runtime.providers.check_llm({'provider': 'fake', 'model': 'echo'});"
        "sys.exit('langchain_core' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
