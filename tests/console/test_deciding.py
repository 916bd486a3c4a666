"""What is asked, answered in a real browser at a real server."""

import json
from ast import literal_eval
from typing import Any
from uuid import uuid4

import pytest
from playwright.sync_api import expect

from tests.console.conftest import Tab

pytestmark = [pytest.mark.browser, pytest.mark.servers]

QUESTION = {
    "type": "ask_user_question",
    "question": "Which one?",
    "response_type": "single_select",
    "options": [{"value": "a", "label": "The first"}, {"value": "b", "label": "The second"}],
    "allow_other": True,
}


def careful(tab: Tab, *calls: dict[str, Any]) -> str:
    """An assistant that wants to make these calls of the calculator; a person decides."""
    wanted = [{"name": "calculator", "args": args} for args in calls]
    turns = [{"tool_calls": wanted}, {"text": "Done."}]
    return tab.assistant(*turns, tools=[{"name": "calculator"}], interrupt_on={"calculator": True})


def test_one_press_approves_a_call_and_the_reply_goes_on(tab: Tab) -> None:
    tab.begin(careful(tab, {"expression": "6*7"}), "What is 6*7?")
    tab.wait(".asked")
    expect(tab.page.locator(".call .badge")).to_have_text("waiting")
    expect(tab.page.locator("#instead")).to_be_visible()
    expect(tab.page.locator("#message")).to_be_focused()
    tab.reload()
    tab.page.click("[data-decide=approve]")
    tab.wait(".turn footer")
    expect(tab.page.locator(".call .badge")).to_have_text("ok")
    expect(tab.page.locator("#asked")).to_be_empty()
    expect(tab.page.locator("#instead")).to_be_hidden()


def test_several_calls_are_decided_one_by_one_and_sent_together(tab: Tab) -> None:
    tab.begin(careful(tab, {"expression": "1+1"}, {"expression": "2+2"}), "Add")
    tab.wait(".asked")
    first, second = (tab.page.locator(".asked-call").nth(nth) for nth in (0, 1))
    first.locator("[data-decide=edit]").click()
    first.locator("[data-name] textarea").fill("9" * 2_000)
    tab.page.click(".asked [type=submit]")
    expect(second.locator(".wrong")).to_have_text("Decide about this call first.")
    second.locator("[data-decide=reject]").click()
    second.locator("[data-message]:visible").fill("Not that one.")
    tab.page.click(".asked [type=submit]")
    # The tool's own schema says so, and the server did.
    expect(first.locator(".field .wrong")).to_contain_text("999")
    first.locator("[data-name] textarea").fill("20+20")
    tab.page.click(".asked [type=submit]")
    tab.wait(".turn footer")
    for reloaded in (False, True):
        if reloaded:
            tab.reload()
        expect(tab.page.locator(".call .badge")).to_have_text(["edited", "rejected"])
        expect(tab.page.locator(".call .args")).to_have_text(['expression: "20+20"', 'expression: "2+2"'])
    tab.page.locator(".call summary").last.click()
    expect(tab.page.locator(".payload").last).to_contain_text("Not that one.")


def curious(tab: Tab) -> str:
    body = {
        "name": f"Curious {uuid4()}",
        "type": "Curious",
        "llm": {"provider": "fake", "model": "echo"},
    }
    return str(tab.server.client.post("/assistants", json=body).json()["id"])


def test_a_graphs_tool_calls_are_decided_in_its_own_form(tab: Tab) -> None:
    calls = [{"name": "weather", "args": {"city": city}} for city in ("Berlin", "Rome")]
    reviews = [{"action_name": "weather", "allowed_decisions": ["approve", "edit", "reject"]}]
    value = {"action_requests": calls, "review_configs": reviews}
    # What the run of a hosted graph asks, asked by an agent that says what it is answered.
    interrupts = [{"id": "0" * 32, "value": value, "task_id": "t", "ns": []}]
    tab.begin(curious(tab), f"ask {json.dumps({'type': 'custom', 'value': {'interrupts': interrupts, 'next': []}})}")
    tab.wait(".asked")
    first, second = (tab.page.locator(".asked-call").nth(nth) for nth in (0, 1))
    first.locator("[data-decide=edit]").click()
    first.locator("textarea:visible").fill('{"city": "Oslo"}')
    second.locator("[data-decide=reject]").click()
    second.locator("textarea:visible").fill("Not there.")
    tab.page.click(".asked [type=submit]")
    tab.wait(".turn footer")
    edited = {"type": "edit", "edited_action": {"name": "weather", "args": {"city": "Oslo"}}}
    answer = {"decisions": [edited, {"type": "reject", "message": "Not there."}]}
    assert literal_eval(tab.page.inner_text(".assistant")) == answer


def test_a_question_is_answered_or_was_by_somebody_else(tab: Tab) -> None:
    tab.begin(curious(tab), f"ask {json.dumps(QUESTION)}")
    tab.wait(".asked")
    tab.page.click(".asked [type=submit]")
    expect(tab.page.locator(".asked .wrong")).to_have_text("Choose an answer first.")
    tab.page.fill("[data-other]", "The third")
    tab.page.click(".asked [type=submit]")
    expect(tab.page.locator(".assistant")).to_contain_text('"other_text": "The third"')
    tab.say(f"ask {json.dumps(QUESTION)}")
    tab.wait(".asked")
    run = tab.page.get_attribute(".asked", "data-run")
    tab.server.client.post(f"/runs/{run}/resume", json={"type": "cancel"})
    expect(tab.page.locator(".settled")).to_contain_text("answered this")
    expect(tab.page.locator(".assistant").last).to_contain_text('"cancel"')


def test_a_sub_agents_question_is_answered_where_the_person_is(tab: Tab) -> None:
    wanted = {"name": "calculator", "args": {"expression": "6*7"}}
    turns = [{"tool_calls": [wanted]}, {"text": "It is 42."}]
    writer = {
        "name": "writer",
        "description": "Writes.",
        "system_prompt": "Write.",
        "llm": {"provider": "fake", "model": "script", "settings": {"turns": turns}},
        "interrupt_on": {"calculator": True},
    }
    todos = [{"id": "1", "content": "Have it written", "status": "in_progress"}]
    task = {"name": "task", "args": {"subagent_type": "writer", "instructions": "Write."}}
    supervisor = tab.assistant(
        {"tool_calls": [{"name": "write_todos", "args": {"todos": todos}}, task]},
        {"text": "It is written."},
        tools=[{"name": "calculator"}],
        middleware=[{"name": "todo_list"}, {"name": "subagents", "settings": {"subagents": [writer]}}],
    )
    tab.begin(supervisor, "Have something written")
    expect(tab.page.locator("#todos")).to_contain_text("0 of 1 done", timeout=20_000)
    expect(tab.page.locator(".asked .whose")).to_have_text("A sub-agent asks: writer", timeout=20_000)
    tab.page.click("[data-decide=approve]")
    expect(tab.page.locator(".assistant")).to_have_text("It is written.", timeout=20_000)
    tab.page.click(".call .child")
    expect(tab.page.locator(".assistant")).to_have_text("It is 42.")
    expect(tab.page.locator(".closed")).to_contain_text("A sub-agent works here")
