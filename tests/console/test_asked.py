"""What the page shows of what is asked, and of what has to be done: drawn from the rows."""

from typing import Any
from uuid import UUID

import pytest
from pytest_django import DjangoAssertNumQueries

from accounts.models import Role, Workspace
from core.ids import new_id
from runs.models import Run, RunStep
from sessions.models import Message, Session
from tests.console.conftest import Person
from tests.console.test_pages import finish, session_of, text

HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>"
PAY = {"tool_call_id": "c1", "tool_name": "pay", "arguments": {"amount": 5, "to": "Ada"}, "display_text": "Pay Ada"}
SCHEMA = {"type": "object", "properties": {"amount": {"type": "number"}, "to": {"type": "string"}}}
REVIEW = {"allowed_decisions": ["approve", "edit", "reject"], "args_schema": SCHEMA}
APPROVAL = {"type": "approval", "action_requests": [PAY], "review_configs": {"pay": REVIEW}}
QUESTION: dict[str, Any] = {
    "type": "ask_user_question",
    "question": "Which one?",
    "response_type": "single_select",
    "options": [{"value": "a", "label": "The first"}, {"value": "b", "label": "The second"}],
    "allow_other": False,
    "allow_cancel": False,
    "context": None,
    "tool_call_id": "q1",
}
SUBAGENT = {"type": "subagent", "run_id": str(new_id()), "interrupt": APPROVAL, "tool_call_id": "s1"}
CUSTOM = {"type": "custom", "value": {"draft": "Dear Sir"}}
# What hosted graphs ask: LangChain's middleware for several calls, the same for one, and Agent Inbox's form.
WEATHER = {
    "name": "weather",
    "args": {"city": "Berlin"},
    "description": "Tool execution requires approval\n\nTool: weather\nArgs: {'city': 'Berlin'}",
}
BATCHED: dict[str, Any] = {
    "action_requests": [WEATHER],
    "review_configs": [{"action_name": "weather", "allowed_decisions": ["approve", "reject"]}],
}
SINGLE = {"type": "tool_approval", "tool_call_id": "c1", **WEATHER}
INBOX: dict[str, Any] = {
    "action_request": {"action": "Send a mail", "args": {"to": "Ada"}},
    "config": {"allow_accept": True, "allow_edit": True, "allow_respond": True, "allow_ignore": True},
    "description": "Line one\nLine two",
}


@pytest.fixture
def address(ada: Person, echo: UUID) -> str:
    """A conversation of Ada's whose run has begun."""
    address = ada.conversation(echo)
    run = session_of(address).runs.get()
    finish(run, ("user", "Hello"))
    Run.objects.filter(id=run.id).update(status="running", finished_at=None, lease_owner=new_id())
    Session.objects.filter(id=run.session_id).update(head_run_id=run.id)
    return address


def ask(address: str, interrupt: dict[str, Any]) -> UUID:
    """Have the conversation's run ask this; gives its id."""
    run: Run = session_of(address).runs.get()
    Run.objects.filter(id=run.id).update(
        status="interrupted", interrupt=interrupt, interrupted_at=run.created_at, lease_owner=None
    )
    Session.objects.filter(id=run.session_id).update(activity="interrupted")
    return UUID(str(run.id))


def asked(ada: Person, address: str, interrupt: dict[str, Any]) -> str:
    ask(address, interrupt)
    return text(ada.get(f"{address}/asked"))


def graph(*values: Any, **more: Any) -> dict[str, Any]:
    """What a hosted graph's run asks when these are given to `interrupt()`."""
    interrupts = [
        {"id": f"{n:032x}", "value": value, "task_id": "t", "ns": [], **more} for n, value in enumerate(values)
    ]
    return {"type": "custom", "value": {"interrupts": interrupts, "next": ["model"]}}


def offered(card: str) -> list[str]:
    return [name for name in ("approve", "edit", "reject", "respond") if f'data-decide="{name}"' in card]


# -- the card ----------------------------------------------------------------------------------------------------------


def test_the_page_holds_the_card_that_a_live_page_fetches(ada: Person, address: str) -> None:
    card = asked(ada, address, APPROVAL)
    assert card.strip() in text(ada.get(address))


def test_a_tool_call_offers_what_may_be_decided_and_nothing_else(ada: Person, address: str) -> None:
    card = asked(ada, address, APPROVAL)
    assert offered(card) == ["approve", "edit", "reject"]
    for shown in ("Allow the call of pay?", "Pay Ada", "<dt>amount</dt><dd >5</dd>", "<dt>to</dt><dd >Ada</dd>"):
        assert shown in card
    assert 'data-name="amount" data-kind="number"' in card
    respond = {**APPROVAL, "review_configs": {"pay": {"allowed_decisions": ["respond"], "args_schema": None}}}
    assert 'data-decide="approve"' not in asked(ada, address, respond)


def test_arguments_without_a_schema_are_edited_as_json(ada: Person, address: str) -> None:
    unknown = {**APPROVAL, "review_configs": {"pay": {**REVIEW, "args_schema": None}}}
    card = asked(ada, address, unknown)
    assert "Arguments, as JSON" in card
    assert "data-name" not in card


def test_a_graphs_tool_call_is_a_card_like_any_other(ada: Person, address: str) -> None:
    card = asked(ada, address, graph(BATCHED))
    assert offered(card) == ["approve", "reject"]
    assert "Allow the call of weather?" in card
    assert "<dt>city</dt><dd >Berlin</dd>" in card
    assert "Tool execution requires approval" not in card
    assert "data-reply" not in card


def test_several_calls_of_a_graph_are_sent_together(ada: Person, address: str) -> None:
    older = {"name": "weather", "arguments": {"city": "Rome"}, "description": "The eternal city"}
    card = asked(ada, address, graph({**BATCHED, "action_requests": [WEATHER, older]}))
    assert card.index("Berlin</dd>") < card.index("The eternal city") < card.index("Rome</dd>")
    assert 'data-whole="calls"' in card


def test_calls_that_a_graph_asks_about_one_by_one_are_one_card(ada: Person, address: str) -> None:
    # As pydantic writes what may be decided; the arguments' schema is that of the tool.
    city = {"type": "object", "properties": {"city": {"type": "string"}}}
    action = {"type": "object", "properties": {"args": {"$ref": "#/$defs/weather"}}}
    edit = {"properties": {"type": {"const": "edit"}, "edited_action": action}}
    schema = {"$defs": {"weather": city, "Edit": edit}, "oneOf": [{"$ref": "#/$defs/Edit"}]}
    card = asked(ada, address, graph(SINGLE, {**SINGLE, "tool_call_id": "c2"}, response_schema=schema))
    assert (card.count("<fieldset"), offered(card)) == (2, ["edit"])
    assert 'data-name="city" data-kind="text"' in card


@pytest.mark.parametrize("value", [INBOX, [INBOX]], ids=["alone", "listed"])
def test_agent_inboxs_form_is_a_card_too(ada: Person, address: str, value: Any) -> None:
    card = asked(ada, address, graph(value))
    assert offered(card) == ["approve", "edit", "reject", "respond"]
    for shown in ("A request for you", "Send a mail", "Line one\nLine two", ">Ignore</button>", "Your answer, for the"):
        assert shown in card
    # Nobody is told why it is ignored.
    assert 'data-panel="reject"' not in card


@pytest.mark.parametrize(
    "asks",
    [
        graph({**BATCHED, "deadline": "today"}),
        graph({**BATCHED, "review_configs": []}),
        graph({**BATCHED, "action_requests": [{"name": "weather"}]}),
        graph({**BATCHED, "review_configs": [{"action_name": "weather", "allowed_decisions": ["postpone"]}]}),
        graph(BATCHED, INBOX),
        graph(BATCHED, "And this?"),
        graph(SINGLE),
        graph(SINGLE, response_schema={"oneOf": [{"$ref": 1}, 2], "$defs": []}),
        graph([INBOX, {**INBOX, "config": {"allow_accept": True}}]),
        graph({**INBOX, "config": {"allow_accept": False}}),
        graph([]),
        graph(),
    ],
    ids=[
        "more",
        "no review",
        "no arguments",
        "decision",
        "mixed",
        "text",
        "schema",
        "bad",
        "differ",
        "none",
        "[]",
        "-",
    ],
)
def test_what_a_graph_asks_in_another_form_is_shown_whole(ada: Person, address: str, asks: dict[str, Any]) -> None:
    card = asked(ada, address, asks)
    assert "data-reply" in card
    assert offered(card) == []
    assert "&quot;next&quot;" in card


def test_a_question_that_expires_says_when(ada: Person, address: str) -> None:
    assert "Answer by" not in asked(ada, address, CUSTOM)
    Run.objects.update(interrupt_expires_at="2026-12-24T18:00:00Z")
    assert 'Answer by <time datetime="2026-12-24T18:00:00+00:00"' in text(ada.get(f"{address}/asked"))


def test_several_calls_are_sent_together(ada: Person, address: str) -> None:
    card = asked(ada, address, {**APPROVAL, "action_requests": [PAY, {**PAY, "tool_call_id": "c2"}]})
    assert card.count("<fieldset") == 2
    assert 'data-whole="calls"' in card


@pytest.mark.parametrize(
    ("changes", "there", "missing"),
    [
        ({}, ['type="radio" name="asked" value="a"', "The second"], ["data-skip", "data-other", "checkbox"]),
        ({"response_type": "multi_select", "allow_cancel": True}, ['type="checkbox"', "data-skip"], ["radio"]),
        ({"allow_other": True, "context": "It matters."}, ["data-choose-other", "data-other", "It matters."], []),
        ({"response_type": "freeform", "options": []}, ["data-other", "<textarea"], ["radio", "checkbox"]),
    ],
    ids=["one", "several", "other", "free"],
)
def test_a_question(ada: Person, address: str, changes: dict[str, Any], there: list[str], missing: list[str]) -> None:
    card = asked(ada, address, {**QUESTION, **changes})
    assert "Which one?" in card
    assert [part for part in there if part not in card] == []
    assert [part for part in missing if part in card] == []


def test_several_questions_are_told_apart(ada: Person, address: str) -> None:
    card = asked(ada, address, {"type": "multiple", "interrupts": [QUESTION, SUBAGENT]})
    for shown in (
        'data-response="q1"',
        'data-response="s1"',
        'name="asked-0"',
        "A sub-agent asks",
        "Allow the call of",
    ):
        assert shown in card


def test_a_sub_agent_that_asks_is_a_link_to_its_conversation(ada: Person, address: str, echo: UUID) -> None:
    theirs = session_of(ada.conversation(echo, "Do this"))
    interrupt = {**SUBAGENT, "run_id": str(theirs.runs.get().id)}
    assert f'A sub-agent asks: <a href="/console/chat/{theirs.id}">Echo</a>' in asked(ada, address, interrupt)


def test_a_sub_agent_of_somebody_else_is_no_link(ada: Person, bob: Person, address: str, echo: UUID) -> None:
    theirs = session_of(bob.conversation(echo, "Do this"))
    card = asked(ada, address, {**SUBAGENT, "run_id": str(theirs.runs.get().id)})
    assert str(theirs.id) not in card


@pytest.mark.parametrize("interrupt", [CUSTOM, {"type": "of tomorrow", "draft": "Dear Sir"}], ids=["custom", "unknown"])
def test_what_has_no_form_is_shown_as_json_with_room_for_a_reply(
    ada: Person, address: str, interrupt: dict[str, Any]
) -> None:
    card = asked(ada, address, interrupt)
    assert "&quot;draft&quot;: &quot;Dear Sir&quot;" in card
    assert "data-reply" in card


@pytest.mark.parametrize(
    "interrupt",
    [
        {
            **APPROVAL,
            "action_requests": [
                {**PAY, "tool_name": HOSTILE, "arguments": {HOSTILE: HOSTILE}, "display_text": HOSTILE}
            ],
            "review_configs": {HOSTILE: {**REVIEW, "args_schema": {"properties": {HOSTILE: {"enum": [HOSTILE]}}}}},
        },
        {**QUESTION, "question": HOSTILE, "options": [{"value": HOSTILE, "label": HOSTILE}], "context": HOSTILE},
        {"type": "custom", "value": HOSTILE},
        graph({**INBOX, "action_request": {"action": HOSTILE, "args": {HOSTILE: HOSTILE}}, "description": HOSTILE}),
    ],
    ids=["approval", "question", "custom", "graph"],
)
def test_nothing_that_is_asked_is_markup(ada: Person, address: str, interrupt: dict[str, Any]) -> None:
    card = asked(ada, address, interrupt)
    assert "&lt;script&gt;" in card
    assert "<script>" not in card
    assert "<img" not in card


def test_who_may_not_answer_reads_what_is_asked(ada: Person, address: str) -> None:
    ask(address, APPROVAL)
    Session.objects.filter(id=session_of(address).id).update(status="closed")
    card = text(ada.get(f"{address}/asked"))
    assert "Allow the call of pay?" in card
    assert "<button" not in card


def test_a_card_takes_one_query_more(
    ada: Person, address: str, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    ask(address, {**APPROVAL, "action_requests": [{**PAY, "tool_call_id": f"c{n}"} for n in range(20)]})
    with django_assert_max_num_queries(11):
        ada.get(address)


# -- afterwards --------------------------------------------------------------------------------------------------------


def test_where_nothing_is_asked_there_is_no_card(ada: Person, address: str) -> None:
    assert text(ada.get(f"{address}/asked")).strip() == ""


def test_who_comes_late_is_told_who_answered(ada: Person, address: str) -> None:
    run = ask(address, CUSTOM)
    body = {"value": "yes"}
    assert ada.client.post(f"/runs/{run}/resume", body, content_type="application/json").status_code == 202
    assert "You answered this" in text(ada.get(f"{address}/asked?run={run}"))


def test_a_member_is_not_told_which_colleague_answered(workspace: Workspace, ada: Person, address: str) -> None:
    run, root = ask(address, CUSTOM), Person(workspace, "root", Role.ADMIN)
    root.client.post(f"/runs/{run}/resume", {"value": "yes"}, content_type="application/json")
    assert "You answered this" in text(root.get(f"{address}/asked?run={run}"))
    assert "This was answered already." in text(ada.get(f"{address}/asked?run={run}"))


def test_a_cancelled_run_asks_nothing_any_more(ada: Person, address: str) -> None:
    run = ask(address, CUSTOM)
    assert ada.client.post(f"/runs/{run}/cancel", {}, content_type="application/json").status_code == 202
    assert "the run was cancelled" in text(ada.get(f"{address}/asked?run={run}"))


def test_another_conversations_run_is_not_found_here(ada: Person, address: str, echo: UUID) -> None:
    other = session_of(ada.conversation(echo, "Else")).runs.get().id
    for run in (other, new_id(), "x"):
        assert ada.get(f"{address}/asked?run={run}").status_code == 404


def test_a_turn_that_nobody_answered_says_so(ada: Person, address: str) -> None:
    run = ask(address, CUSTOM)
    error = {"type": "X", "code": "interrupt_expired", "message": "", "retryable": False}
    now = session_of(address).created_at
    Run.objects.filter(id=run).update(status="cancelled", error=error, finished_at=now, interrupt=None)
    assert "Nobody answered in time" in text(ada.get(address))


# -- the calls in the conversation -------------------------------------------------------------------------------------


def call_of(address: str) -> dict[str, Any]:
    """A tool call in the conversation that has no result yet."""
    call = {"id": "c1", "name": "pay", "args": {"amount": 5}}
    run = session_of(address).runs.get()
    Message.objects.create(session=run.session, run_id=run.id, seq=2, role="assistant", content="", tool_calls=[call])
    return call


def test_a_call_that_is_asked_about_waits(ada: Person, address: str) -> None:
    call_of(address)
    assert "<span>running</span>" in text(ada.get(address))
    ask(address, APPROVAL)
    assert "<span>waiting</span>" in text(ada.get(address))


@pytest.mark.parametrize(
    ("outcome", "word", "shown"),
    [
        ({"status": "rejected", "decision": "reject"}, "rejected", "amount: 5"),
        ({"status": "ok", "decision": "respond"}, "answered", "amount: 5"),
        ({"status": "ok", "decision": "edit", "args": {"amount": 7}}, "edited", "amount: 7"),
        ({"status": "error", "decision": "edit", "args": {"amount": 7}}, "error", "amount: 7"),
        ({"status": "ok", "decision": "approve"}, "ok", "amount: 5"),
    ],
    ids=lambda case: str(case["decision"]) if isinstance(case, dict) else "",
)
def test_a_call_says_what_a_person_made_of_it(
    ada: Person, address: str, outcome: dict[str, Any], word: str, shown: str
) -> None:
    record = {**call_of(address), "result": None, "error": None, "duration_ms": 1.0, **outcome}
    run = session_of(address).runs.get()
    RunStep.objects.create(
        run=run, index=1, kind="tools", status="ok", attempt=1, started_at=run.created_at, duration_ms=1,
        tool_calls=[record],
    )  # fmt: skip
    page = text(ada.get(address))
    assert f"<span>{word}</span>" in page
    assert f'<span class="args">{shown}</span>' in page


def test_a_call_that_a_sub_agent_carries_out_leads_to_its_conversation(ada: Person, address: str, echo: UUID) -> None:
    call_of(address)
    parent, child = session_of(address), session_of(ada.conversation(echo, "Do this"))
    Session.objects.filter(id=child.id).update(parent=parent)
    run = parent.runs.get().id
    Run.objects.filter(session=child).update(parent_run_id=run, parent_call_id="c1", subagent="writer")
    assert f'<a class="child" href="/console/chat/{child.id}">writer</a>' in text(ada.get(address))
    theirs = text(ada.get(f"/console/chat/{child.id}"))
    assert f'works here for <a href="{address}">' in theirs
    assert 'id="composer"' not in theirs


# -- what is to be done ------------------------------------------------------------------------------------------------


def todos(*items: tuple[str, str]) -> list[dict[str, str]]:
    return [{"id": str(n), "content": content, "status": status} for n, (content, status) in enumerate(items)]


def test_the_todos_are_one_line_that_opens(ada: Person, address: str) -> None:
    found = todos(("Read", "completed"), ("Write", "in_progress"), ("Rest", "cancelled"), (HOSTILE, "pending"))
    Session.objects.filter(id=session_of(address).id).update(state={"todos": found, "else": 1})
    region = text(ada.get(f"{address}/todos"))
    assert '<span class="of">1 of 4 done</span><span class="current">Write</span>' in region
    assert region.count("<li") == 4
    assert "<script>" not in region
    assert region.strip() in text(ada.get(address))


@pytest.mark.parametrize("state", [{}, {"todos": []}, {"todos": "soon"}, {"todos": [1, {"status": "?"}]}], ids=str)
def test_without_todos_there_is_no_line(ada: Person, address: str, state: dict[str, Any]) -> None:
    Session.objects.filter(id=session_of(address).id).update(state=state)
    assert text(ada.get(f"{address}/todos")).strip() == ""
