"""The tool by which a model asks the user: what it may ask, and what it is told."""

from typing import Any

import pytest

from tests.runtime.driver import Conversation, calls, script

OPTIONS = [{"value": "pg", "label": "PostgreSQL"}, {"value": "sqlite", "label": "SQLite"}]
QUESTION = {"question": "Which database?", "response_type": "single_select", "options": OPTIONS}
FREE = {"question": "What for?", "response_type": "freeform"}


def asking(*questions: dict[str, Any]) -> Conversation:
    wanted = calls(*(("ask_user", question) for question in questions))
    return script(wanted, {"text": "Fine."}, middleware=[{"name": "ask_user"}])


def test_it_tells_the_model_when_to_ask() -> None:
    talk = asking(FREE)
    assert "ask_user" in talk.agent.stack.prompt("Be kind.", None)  # type: ignore[attr-defined]


async def test_the_run_waits_with_the_question() -> None:
    step = await asking(QUESTION).until_it_waits("go")
    assert step.interrupt == {
        "type": "ask_user_question",
        **QUESTION,
        "context": None,
        "allow_other": False,
        "allow_cancel": True,
        "tool_call_id": "call_0_0",
    }


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        ({"selected": ["pg"]}, "User selected: pg"),
        ({"selected": ["pg", "sqlite"]}, "User selected: pg, sqlite"),
        ({"selected": ["pg"], "other_text": "version 17"}, 'User selected: pg\nAdditional input: "version 17"'),
        ({"selected": ["other"], "other_text": "files"}, 'User selected: other\nAdditional input: "files"'),
        ({"selected": [], "other_text": " files "}, 'User responded: "files"'),
        ({"selected": ["pg"], "other_text": " "}, "User selected: pg"),
    ],
)
async def test_the_answer_is_the_tools_result(answer: dict[str, Any], told: str) -> None:
    talk = asking({**QUESTION, "response_type": "multi_select", "allow_other": True})
    await talk.until_it_waits("go")
    step = await talk.answer({"type": "answer", "other_text": None, **answer})
    assert [message.text for message in step.messages] == [told]


async def test_a_question_that_is_cancelled_tells_the_model_to_stop() -> None:
    talk = asking(FREE)
    await talk.until_it_waits("go")
    (record,) = (await talk.answer({"type": "cancel"})).tool_calls
    assert record.result.startswith("The user cancelled this question.")


async def test_two_questions_of_one_turn_are_put_together() -> None:
    talk = asking(QUESTION, FREE)
    step = await talk.until_it_waits("go")
    assert step.interrupt is not None
    assert [asked["question"] for asked in step.interrupt["interrupts"]] == ["Which database?", "What for?"]
    responses = [
        {"tool_call_id": "call_0_0", "type": "cancel"},
        {"tool_call_id": "call_0_1", "type": "answer", "selected": [], "other_text": "fun"},
    ]
    told = [message.text for message in (await talk.answer({"responses": responses})).messages]
    assert told[1:] == ['User responded: "fun"']
    assert "cancelled" in told[0]


@pytest.mark.parametrize(
    "wrong",
    [
        {**QUESTION, "question": " "},
        {**QUESTION, "response_type": "yes_or_no"},
        {**QUESTION, "options": OPTIONS[:1]},
        {**QUESTION, "options": [{"value": str(n), "label": str(n)} for n in range(11)]},
        {**QUESTION, "options": [*OPTIONS, {"value": "pg", "label": "Another"}]},
        {**QUESTION, "options": [*OPTIONS, {"value": "pg2", "label": "PostgreSQL"}]},
        {**QUESTION, "options": [*OPTIONS, {"value": "", "label": "None"}]},
        {**QUESTION, "options": [*OPTIONS, {"value": "none", "label": " "}]},
        {**FREE, "options": OPTIONS},
        {**FREE, "colour": "red"},
    ],
)
async def test_what_is_no_question_is_an_error_of_the_tool(wrong: dict[str, Any]) -> None:
    talk = asking(wrong)
    assert await talk.say("go") == "Fine."
    assert [(record.status, record.call.name) for record in talk.io.results] == [("error", "ask_user")]
