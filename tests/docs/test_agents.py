"""The Python examples of docs/agents.md register the types that they name."""

import pytest

from runtime import registry
from tests.docs.test_examples import ROOT, blocks


@pytest.mark.parametrize(
    ("block", "names"),
    list(enumerate([{"Essay"}, {"Forecast", "Plain"}, {"Echo"}])),
    ids=["functions", "runnables", "class"],
)
def test_an_example_registers_its_types(block: int, names: set[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_registered", {})
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
    exec(blocks(ROOT / "docs" / "agents.md", "python")[block], {"__name__": "docs"})
    assert registry._registered.keys() == names
