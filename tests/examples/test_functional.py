import examples.functional  # noqa: F401
from runtime.contract import AgentSpec, Step
from runtime.registry import agent_class
from tests.runtime.driver import Conversation


async def begin(chat: Conversation, topic: str) -> Step:
    chat.io.run_id = topic
    chat.io.results_kept.clear()
    chat.state.input = {"message": topic}
    return await chat.until_it_waits(topic)


async def test_an_essay_gets_its_title_from_a_person_and_the_session_remembers_it() -> None:
    chat = Conversation(agent_class("Essay")(AgentSpec("Essay", {})))
    await begin(chat, "tea")
    assert (await chat.answer({"value": "On tea"})).done
    assert chat.state.messages[-1].text.startswith("On tea\n\n# What tea is\n")
    step = await begin(chat, "ink")
    assert step.interrupt == {"type": "custom", "value": {"question": "What shall it be called?", "not": ["On tea"]}}


async def test_its_three_tasks_are_kept_when_it_asks() -> None:
    chat = Conversation(agent_class("Essay")(AgentSpec("Essay", {})))
    await begin(chat, "tea")
    assert [kept["name"] for kept in chat.io.results_kept.values()] == ["outline", "write", "write"]
