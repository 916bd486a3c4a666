"""Our messages and LangChain's: what clients are shown is what `langchain_core` itself would show."""

from typing import Any

import pytest
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage

from core.errors import Invalid
from protocols.langgraph.interrupts import by_task, interrupts_of
from protocols.langgraph.messages import langchain_message, native_message, native_messages
from tests.api import UNKNOWN

CALL = {"id": "call_1", "name": "add", "args": {"a": 1}}
IMAGE = {"type": "image", "base64": "AAAA", "mime_type": "image/png"}
PAIRS: list[tuple[dict[str, Any], BaseMessage]] = [
    ({"role": "user", "content": "Hi"}, HumanMessage("Hi", id=UNKNOWN)),
    ({"role": "system", "content": "Obey"}, SystemMessage("Obey", id=UNKNOWN)),
    ({"role": "assistant", "content": "", "tool_calls": [CALL]}, AIMessage("", tool_calls=[CALL], id=UNKNOWN)),
    (
        {"role": "tool", "content": "2", "tool_call_id": "call_1", "name": "add"},
        ToolMessage("2", tool_call_id="call_1", name="add", id=UNKNOWN),
    ),
    (
        {"role": "tool", "content": "no", "tool_call_id": "call_1", "metadata": {"status": "error"}},
        ToolMessage("no", tool_call_id="call_1", status="error", id=UNKNOWN),
    ),
]


@pytest.mark.parametrize(("ours", "theirs"), PAIRS)
def test_a_message_is_shown_as_langchain_shows_it(ours: dict[str, Any], theirs: BaseMessage) -> None:
    assert langchain_message({"id": UNKNOWN, **ours}) == theirs.model_dump()


@pytest.mark.parametrize(("ours", "theirs"), PAIRS)
def test_what_is_shown_can_be_given_back(ours: dict[str, Any], theirs: BaseMessage) -> None:
    empty: dict[str, Any] = {"tool_calls": [], "tool_call_id": None, "name": None, "metadata": {}}
    assert native_message(theirs.model_dump()) == {**empty, **ours}


@pytest.mark.parametrize(
    "given", ["Hi", ["user", "Hi"], {"role": "user", "content": "Hi"}, {"type": "human", "content": "Hi"}]
)
def test_a_person_may_speak_in_several_forms(given: Any) -> None:
    (message,) = native_messages(given if not isinstance(given, list) else [given])
    assert (message["role"], message["content"]) == ("user", "Hi")


@pytest.mark.parametrize(
    "part",
    [
        IMAGE,
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
        {"type": "image_url", "image_url": "data:image/png;base64,AAAA"},
        {"type": "image", "source_type": "base64", "data": "AAAA", "mime_type": "image/png"},
        {"type": "image", "data": "AAAA", "mimeType": "image/png"},
    ],
)
def test_images_come_in_several_forms_too(part: dict[str, Any]) -> None:
    assert native_message({"role": "user", "content": [part, "What is it?"]})["content"] == [
        IMAGE,
        {"type": "text", "text": "What is it?"},
    ]


@pytest.mark.parametrize(
    ("given", "place"),
    [
        (1, ()),
        ({"content": "Hi"}, ()),
        ({"role": "robot", "content": "Hi"}, ()),
        ({"role": "user", "content": 1}, ("content",)),
        ({"role": "user", "content": [{"type": "video"}]}, ("content", 0)),
        ({"role": "user", "content": [{"type": "image"}]}, ("content", 0)),
        ({"role": "tool", "content": "2"}, ("tool_call_id",)),
        ({"role": "ai", "content": "", "tool_calls": [{"name": "add"}]}, ("tool_calls", 0)),
    ],
)
def test_what_is_no_message_is_refused_with_its_place(given: Any, place: tuple[str | int, ...]) -> None:
    with pytest.raises(Invalid) as refused:
        native_message(given, "input", "messages", 0)
    assert refused.value.errors[0].loc == ("input", "messages", 0, *place)


def test_a_graph_says_itself_what_it_asks() -> None:
    asked = {"id": "i1", "value": {"question": "?"}, "task_id": "t1", "ns": []}
    interrupt = {"type": "custom", "value": {"interrupts": [asked], "next": ["ask"]}}
    assert by_task(interrupts_of(UNKNOWN, interrupt)) == {"t1": [{"id": "i1", "value": {"question": "?"}}]}
    assert interrupts_of(UNKNOWN, {"type": "custom", "value": {"interrupts": [], "next": ["ask"]}}) == []


def test_an_approval_is_asked_as_langchains_middleware_asks() -> None:
    request = {"tool_call_id": "call_1", "tool_name": "add", "arguments": {"a": 1}, "display_text": "add(a=1)"}
    review = {"allowed_decisions": ["approve", "reject"], "args_schema": None}
    interrupt = {"type": "approval", "action_requests": [request], "review_configs": {"add": review}}
    (asked,) = interrupts_of(UNKNOWN, interrupt, "c1")
    assert asked["value"] == {
        "action_requests": [{"name": "add", "args": {"a": 1}, "description": "add(a=1)"}],
        "review_configs": [{"action_name": "add", "allowed_decisions": ["approve", "reject"]}],
    }
    assert asked == interrupts_of(UNKNOWN, interrupt, "c1")[0]
    assert asked["id"] != interrupts_of(UNKNOWN, interrupt, "c2")[0]["id"]
