import examples.approval  # noqa: F401
from runtime.contract import AgentSpec
from runtime.interrupts import sound_interrupt
from runtime.registry import agent_class
from tests.runtime.driver import Conversation


def approval() -> Conversation:
    return Conversation(agent_class("Approval")(AgentSpec("Approval", {})))


async def asked(chat: Conversation, content: str = "News") -> str:
    step = await chat.until_it_waits(content)
    return draft_in(step.interrupt)


def draft_in(interrupt: dict | None) -> str:
    assert interrupt is not None
    return str(sound_interrupt(interrupt)["action_requests"][0]["arguments"]["text"])


async def decided(chat: Conversation, **decision: object) -> str:
    """What the person is asked then, or what was said in the end."""
    step = await chat.answer({"decisions": [{"tool_call_id": "publish", **decision}]})
    while not (step.done or step.interrupt):
        step = await chat.step()
    return chat.state.messages[-1].text if step.done else draft_in(step.interrupt)


async def test_what_is_approved_is_published() -> None:
    chat = approval()
    assert await asked(chat) == "News"
    assert await decided(chat, type="approve") == "Published: News"
    assert chat.state.values == {}


async def test_what_is_rejected_is_drafted_again_until_it_is_good() -> None:
    chat = approval()
    await asked(chat)
    assert await decided(chat, type="reject", message="longer") == "News (longer)"
    assert await decided(chat, type="reject", message="kinder") == "News (longer) (kinder)"
    assert await decided(chat, type="edit", arguments={"text": "Good news"}) == "Published: Good news"


async def test_a_draft_that_nobody_decided_about_is_not_the_next_runs() -> None:
    chat = approval()
    await asked(chat)
    chat.io.run_id = "another"
    assert await asked(chat, "Other news") == "Other news"
