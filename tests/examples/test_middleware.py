import pytest

import examples.middleware
from runtime import middleware
from runtime.values import Values
from tests.runtime.driver import Conversation, echo


@pytest.fixture
def talk(monkeypatch: pytest.MonkeyPatch) -> Conversation:
    """Its model answers with the system prompt."""
    monkeypatch.setattr(middleware, "_registered", {"user_context": examples.middleware.UserContext})
    talk = echo(middleware=[{"name": "user_context"}], system_prompt="Help.")
    talk.agent.spec.config["llm"]["model"] = "prompt"
    return talk


def tell(talk: Conversation, **message: str) -> None:
    values = Values(talk.state.values)
    talk.agent.notify("user_context", message, values)
    talk.state.values = dict(values)


async def test_the_next_prompt_has_what_it_was_told(talk: Conversation) -> None:
    talk.io.metadata = {"user": {"name": "Ann", "page": "/"}}
    assert await talk.say("Hi") == "Help.\n\nWhat is known of the user:\n- name: Ann\n- page: /"
    tell(talk, page="/invoices/7")
    assert await talk.say("Hi") == "Help.\n\nWhat is known of the user:\n- name: Ann\n- page: /invoices/7"


async def test_without_anything_to_say_it_adds_nothing(talk: Conversation) -> None:
    assert await talk.say("Hi") == "Help."
