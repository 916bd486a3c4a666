from collections.abc import Iterator

import pytest

import examples.multi_modal  # noqa: F401
from runtime.configuration import RuntimeSettings, configure, current
from runtime.contract import AgentSpec
from runtime.providers.connection import close_connections
from runtime.registry import agent_class
from tests.runtime.driver import Conversation
from tests.stubs.openai import openai_stub
from tests.stubs.server import ModelStub, Reply

IMAGE = {"type": "image", "base64": "iVBORw0KGgo=", "mime_type": "image/png"}


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModelStub]:
    before = current()
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
    configure(RuntimeSettings(url_allowlist=("127.0.0.1",)))
    with openai_stub(Reply("A cat.")) as running:
        monkeypatch.setenv("OPENAI_BASE_URL", f"http://{running.address}/v1")
        yield running
    configure(before)


async def test_the_image_reaches_the_model_and_the_output_says_what_came(model: ModelStub) -> None:
    config = {"llm": {"provider": "openai", "model": "gpt-4o"}}
    chat = Conversation(agent_class("MultiModal")(AgentSpec("MultiModal", config)))
    assert (await chat.say([{"type": "text", "text": "What is this?"}, IMAGE])).strip() == "A cat."
    assert chat.steps[-1].structured == {"parts": {"text": 1, "image": 1}}
    told, asked = model.asked[-1].body["messages"]
    assert told["content"] == "Parts of the message: 1 text, 1 image."
    assert asked["content"][1]["image_url"]["url"] == "data:image/png;base64,iVBORw0KGgo="
    await close_connections()
