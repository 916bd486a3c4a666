"""What graphs hold comes back as it was, and nothing of it is more than JSON in between."""

import math
from collections import deque
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID
from zoneinfo import ZoneInfo

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from langchain_core.documents import Document
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage, RemoveMessage, ToolMessage
from langgraph.checkpoint.serde.types import _DeltaSnapshot
from langgraph.types import Command, Interrupt, Overwrite, Send
from pydantic import BaseModel, SecretStr

from graphs.recorded import RecordedError
from graphs.rendering import render
from graphs.serde import Serde, allow, dump, load


class Colour(Enum):
    RED = "red"


class Model(BaseModel):
    at: datetime
    said: list[Any] = []


@dataclass
class Pair:
    left: Any
    right: list[int] = field(default_factory=list)


class Point(NamedTuple):
    x: int
    y: int


class Stranger(BaseModel):
    x: int


allow(Colour, Model, Pair, Point)

MOMENT = datetime(2026, 3, 29, 2, 30, tzinfo=UTC)
AI = AIMessage(
    "hello",
    id="1",
    tool_calls=[{"name": "look", "args": {"at": 1.5}, "id": "c"}],
    usage_metadata={"input_tokens": 1, "output_tokens": 2, "total_tokens": 3},
    response_metadata={"at": MOMENT},
)
VALUES = [
    2**64,
    -(2**70),
    {"$lg": "message"},
    {1: "a", (2, 3): {"b"}},
    MOMENT,
    datetime(2026, 10, 25, 2, 30, fold=1, tzinfo=ZoneInfo("Europe/Berlin")),
    datetime(2026, 1, 1, tzinfo=timezone(timedelta(hours=5, minutes=30))),
    date(2026, 1, 2),
    time(1, 2, 3, 4),
    timedelta(days=-1, microseconds=5),
    UTC,
    UUID(int=7),
    Decimal("1.10"),
    b"\x00\xff",
    bytearray(b"x"),
    {1, 2},
    frozenset({"a"}),
    (1, (2, [3])),
    deque([1, 2], maxlen=3),
    Path("/a/b"),
    ip_address("::1"),
    ip_network("10.0.0.0/8"),
    AI,
    AIMessageChunk("hel", id="1", chunk_position="last"),
    HumanMessage([{"type": "text", "text": "hi"}], name="ann", additional_kwargs={"raw": b"x"}, colour="red"),
    ToolMessage("ok", tool_call_id="c", artifact={"rows": (1, 2)}, status="error"),
    RemoveMessage(id="1"),
    Document(page_content="text", metadata={"n": 1}, id="d"),
    Send("node", {"messages": [AI]}),
    Send("node", None, timeout=3),
    Command(update={"a": (1,)}, resume=None, goto=[Send("x", 1)], graph=Command.PARENT),
    Interrupt({"question": MOMENT}, id="i", response_schema={"type": "string"}),
    Overwrite([1]),
    _DeltaSnapshot({"a": [1]}),
    Colour.RED,
    Model(at=MOMENT, said=[AI, 1]),
    Pair(left=Pair(1, [2])),
    Point(1, 2),
    SecretStr("s3cret"),
]


def back(value: Any) -> Any:
    return load(orjson.loads(orjson.dumps(dump(value))))


@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
def test_a_value_comes_back_as_it_was(value: Any) -> None:
    assert back(value) == value
    assert type(back(value)) is type(value)


def test_plain_json_stays_as_it_is() -> None:
    document = {"a": [1, 1.5, None, True, {"b": "ä"}], "$other": {}}
    assert dump(document) == document
    assert dump(document)["a"] is not document["a"]


def test_numbers_that_json_does_not_have() -> None:
    assert math.isnan(back(math.nan))
    assert back([math.inf, -math.inf]) == [math.inf, -math.inf]


json_like = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(st.characters(codec="utf-8")),
    lambda held: (
        st.lists(held, max_size=3)
        | st.dictionaries(st.text(max_size=3) | st.integers() | st.just("$lg"), held, max_size=3)
        | st.tuples(held, held)
    ),
    max_leaves=8,
)


@settings(max_examples=60, deadline=None)
@given(json_like)
def test_whatever_is_made_of_them_comes_back(value: Any) -> None:
    assert repr(back(value)) == repr(value).replace("\\x00", "\ufffd")


def test_a_class_that_no_graph_has_allowed_is_a_dict() -> None:
    assert back([Stranger(x=1)]) == [{"x": 1}]


def test_a_stored_name_imports_nothing() -> None:
    forged = {"$lg": "object", "class": "os:system", "value": {"command": "true"}}
    assert load(forged) == {"command": "true"}


def test_a_dataclass_is_not_constructed_anew_and_one_that_has_grown_has_its_defaults() -> None:
    stored = dump(Pair(left=1, right=[2]))
    del stored["value"]["right"]
    assert load(stored) == Pair(1)
    del stored["value"]["left"]
    assert load(stored) == {}


def test_an_exception_comes_back_in_words() -> None:
    error = back(ValueError("boom at 3"))
    assert isinstance(error, RecordedError)
    assert (error.kind, str(error), repr(error)) == ("ValueError", "boom at 3", "ValueError('boom at 3')")
    assert back(error) == error


def test_what_has_no_form_is_refused() -> None:
    with pytest.raises(TypeError, match="function"):
        dump({"a": test_what_has_no_form_is_refused})


def test_what_postgresql_cannot_store_is_cleaned() -> None:
    assert dump({"a\x00": "\ud800"}) == {"a\ufffd": "\ufffd"}


def test_langgraph_s_own_interface() -> None:
    serde = Serde()
    kind, data = serde.dumps_typed(AI)
    assert (kind, serde.loads_typed((kind, data))) == ("json", AI)
    with pytest.raises(ValueError, match="msgpack"):
        serde.loads_typed(("msgpack", b""))


# -- as the protocol shows it ------------------------------------------------------------------------------------------

SHOWN = [
    (AI, {**AI.model_dump(), "response_metadata": {"at": "2026-03-29T02:30:00+00:00"}}),
    (Model(at=MOMENT), {"at": "2026-03-29T02:30:00Z", "said": []}),
    (Pair(left={1}), {"left": [1], "right": []}),
    (Interrupt("sure?", id="i"), {"value": "sure?", "id": "i", "response_schema": None}),
    (Send("n", (1,)), {"node": "n", "arg": [1], "timeout": None}),
    (ValueError("x"), "ValueError('x')"),
    (b"ab", "YWI="),
    (UUID(int=7), str(UUID(int=7))),
    (Decimal("1.10"), "1.10"),
    (timedelta(minutes=1), 60.0),
    (MOMENT, "2026-03-29T02:30:00+00:00"),
    (Colour.RED, "red"),
    (Point(1, 2), {"x": 1, "y": 2}),
    (SecretStr("s3cret"), "**********"),
    ([math.nan, 2**70, {1: None}], [None, str(2**70), {"1": None}]),
    (Path("/a"), "/a"),
]


@pytest.mark.parametrize(("value", "shown"), SHOWN, ids=lambda value: type(value).__name__)
def test_a_live_value_is_shown(value: Any, shown: Any) -> None:
    assert render(value) == shown
    orjson.dumps(render([value]))


@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
def test_whatever_is_stored_can_be_shown(value: Any) -> None:
    orjson.dumps(render(value))


def test_what_has_no_form_is_shown_in_words() -> None:
    assert "object at" in render(object())


def test_rendering_needs_neither_langgraph_nor_langchain() -> None:
    import subprocess
    import sys

    probe = "import sys, graphs.rendering; print({name.partition('.')[0] for name in sys.modules})"
    loaded = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True).stdout
    assert "langgraph" not in loaded
    assert "langchain_core" not in loaded
