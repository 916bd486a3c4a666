"""Tool calls that a person decides about."""

from typing import Any

import pytest
from pydantic import BaseModel

from runtime.contract import Tool
from runtime.interrupts import sound_interrupt
from runtime.messages import to_langchain
from tests.runtime.driver import Conversation, calls, script


class Pay(Tool):
    name = "pay"
    description = "Pays."

    class Args(BaseModel):
        amount: int

    def __init__(self) -> None:
        self.paid: list[int] = []

    async def acall(self, args: Args, context: Any) -> str:
        self.paid.append(args.amount)
        return f"paid {args.amount}"


class Look(Pay):
    name = "look"
    description = "Looks."


def shop(*wanted: tuple[str, dict[str, Any]], **config: Any) -> tuple[Conversation, Pay, Look]:
    pay, look = Pay(), Look()
    config.setdefault("interrupt_on", {"pay": True, "look": False})
    return script(calls(*wanted), {"text": "done"}, tools=(pay, look), **config), pay, look


async def asked_in(chat: Conversation) -> dict[str, Any]:
    chat.state.run_start = len(chat.state.messages)
    assert (await chat.step()).kind == "model"
    step = await chat.step()
    assert step.interrupt is not None
    assert (step.kind, step.messages, step.tool_calls, step.done) == ("tools", [], [], False)
    return sound_interrupt(step.interrupt)


async def answered(chat: Conversation, *decisions: dict[str, Any]) -> list[str]:
    """What the tools step after the answer says, message by message."""
    chat.state.resume = {"decisions": [*decisions]}
    step = await chat.step()
    assert step.interrupt is None
    chat.state.resume = None
    return [message.text for message in step.messages]


async def test_a_reviewed_call_is_asked_about_before_any_is_carried_out() -> None:
    chat, pay, look = shop(("look", {"amount": 1}), ("pay", {"amount": 5}))
    assert await asked_in(chat) == {
        "type": "approval",
        "action_requests": [
            {
                "tool_call_id": "call_0_1",
                "tool_name": "pay",
                "arguments": {"amount": 5},
                "display_text": "pay(amount=5)",
            }
        ],
        "review_configs": {
            "pay": {"allowed_decisions": ["approve", "edit", "reject"], "args_schema": Pay.Args.model_json_schema()}
        },
        "hitl_tool_call_ids": ["call_0_1"],
    }
    assert (pay.paid, look.paid) == ([], [])


async def test_an_approved_call_is_carried_out_with_those_that_nobody_is_asked_about() -> None:
    chat, pay, look = shop(("look", {"amount": 1}), ("pay", {"amount": 5}))
    await asked_in(chat)
    assert await answered(chat, {"type": "approve", "tool_call_id": "call_0_1"}) == ["paid 1", "paid 5"]
    assert (pay.paid, look.paid) == ([5], [1])
    assert [record.decision for record in chat.steps[-1].tool_calls] == [None, "approve"]
    assert (await chat.step()).done


async def test_an_edited_call_is_carried_out_with_the_new_arguments() -> None:
    chat, pay, _ = shop(("pay", {"amount": 5}))
    await asked_in(chat)
    edit = {"type": "edit", "tool_call_id": "call_0_0", "arguments": {"amount": 7}}
    assert await answered(chat, edit) == ["paid 7"]
    assert pay.paid == [7]
    document = chat.steps[-1].tool_calls[0].document()
    assert (document["args"], document["decision"]) == ({"amount": 7}, "edit")


@pytest.mark.parametrize(
    ("extra", "told"), [({"message": "Too much."}, "Too much."), ({}, "A person rejected the call of pay.")]
)
async def test_a_rejected_call_is_not_carried_out_and_the_model_is_told(extra: dict[str, Any], told: str) -> None:
    chat, pay, _ = shop(("pay", {"amount": 5}))
    await asked_in(chat)
    assert await answered(chat, {"type": "reject", "tool_call_id": "call_0_0", **extra}) == [told]
    assert pay.paid == []
    assert [record.status for record in chat.io.results] == [chat.steps[-1].tool_calls[0].status] == ["rejected"]
    assert to_langchain(chat.state.messages)[-1].status == "error"


async def test_a_response_stands_for_the_result() -> None:
    chat, pay, _ = shop(("pay", {"amount": 5}), interrupt_on={"pay": {"allowed_decisions": ["respond"]}})
    asked = await asked_in(chat)
    assert asked["review_configs"]["pay"]["allowed_decisions"] == ["respond"]
    assert await answered(chat, {"type": "respond", "tool_call_id": "call_0_0", "message": "I did."}) == ["I did."]
    assert (pay.paid, chat.steps[-1].tool_calls[0].status) == ([], "ok")


async def test_results_stand_in_the_order_of_the_calls() -> None:
    chat, pay, _ = shop(*[("pay", {"amount": amount}) for amount in (1, 2, 3)])
    await asked_in(chat)
    decisions = [
        {"type": "reject", "tool_call_id": "call_0_0", "message": "no"},
        {"type": "approve", "tool_call_id": "call_0_1"},
        {"type": "edit", "tool_call_id": "call_0_2", "arguments": {"amount": 30}},
    ]
    assert await answered(chat, *decisions) == ["no", "paid 2", "paid 30"]
    assert pay.paid == [2, 30]
    assert [record.decision for record in chat.steps[-1].tool_calls] == ["reject", "approve", "edit"]


@pytest.mark.parametrize("interrupt_on", [{}, {"pay": False}, {"other": True}])
async def test_nobody_is_asked_about_other_tools(interrupt_on: dict[str, Any]) -> None:
    chat, pay, _ = shop(("pay", {"amount": 5}), interrupt_on=interrupt_on)
    assert await chat.say("go") == "done"
    assert pay.paid == [5]


async def test_nobody_is_asked_about_a_tool_that_is_not_there() -> None:
    chat, _, _ = shop(("fly", {}), interrupt_on={"fly": True})
    assert await chat.say("go") == "done"
    assert chat.io.results[0].error == "Tool 'fly' is not available."


async def test_long_arguments_are_cut_where_they_are_displayed() -> None:
    chat, _, _ = shop(("pay", {"amount": "x" * 1000}))
    (request,) = (await asked_in(chat))["action_requests"]
    assert len(request["display_text"]) < 400
    assert len(request["arguments"]["amount"]) == 1000
