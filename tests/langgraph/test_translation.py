"""What a run's log is told as by protocol v2."""

from typing import Any

import pytest

from protocols.langgraph.streaming.frames import About
from protocols.langgraph.v2.filters import wanted
from protocols.langgraph.v2.numbering import run_number_of, through
from protocols.langgraph.v2.translation import Translator
from runs.events import Event

RUN = "01995b6e-0000-7000-8000-000000000000"
CHILD = "child:a847d70c-d970-bc7e-d144-b0b6df298dda"


class Log:
    """A run's log, and what it is told as."""

    def __init__(self) -> None:
        self.translator = Translator(RUN, About("steps", hosted=True))
        self.seq = 0

    def tell(self, event: str, **data: Any) -> list[dict[str, Any]]:
        self.seq += 1
        told = Event(1, self.seq, event, "2026-01-01T00:00:00.000000Z", data, RUN)
        return self.translator.told(told, [data] if event == "graph" else [])

    def part(self, mode: str, data: Any, *ns: str) -> list[dict[str, Any]]:
        return self.tell("graph", mode=mode, ns=list(ns), data=data)

    def chunk(self, content: Any = "", *ns: str, **more: Any) -> list[dict[str, Any]]:
        chunk = {"type": "AIMessageChunk", "id": "m1", "content": content, "tool_call_chunks": [], **more}
        return self.part("messages", [chunk, {"langgraph_node": "agent"}], *ns)


def datas(told: list[dict[str, Any]], method: str | None = None) -> list[Any]:
    return [event["params"]["data"] for event in told if method in {None, event["method"]}]


def kinds(told: list[dict[str, Any]]) -> list[str]:
    return [event["params"]["data"].get("event", event["method"]) for event in told]


def test_a_run_begins_and_ends() -> None:
    log = Log()
    (began,) = log.tell("metadata", attempt=1)
    (ended,) = log.tell("end", status="success", error=None)
    assert began["method"] == "lifecycle"
    assert began["params"] == {
        "namespace": [],
        "timestamp": 1_767_225_600_000,
        "data": {"event": "running", "graph_name": "steps"},
    }
    # By this JavaScript's client knows which run has begun.
    assert began["event_id"] == f"synth:{RUN}:lc||running"
    assert ended["params"]["data"] == {"event": "completed", "graph_name": "steps"}
    assert began["seq"] < ended["seq"]


def test_a_failed_run_says_why() -> None:
    log = Log()
    told = log.tell("end", status="error", error={"type": "ValueError", "message": "boom at 3"})
    assert datas(told) == [{"event": "failed", "graph_name": "steps", "error": "boom at 3"}]


def test_a_cancelled_run_is_interrupted() -> None:
    assert kinds(Log().tell("end", status="cancelled", error=None)) == ["interrupted"]


def test_a_retried_run_begins_once() -> None:
    log = Log()
    assert log.tell("metadata", attempt=1)
    assert log.tell("metadata", attempt=2) == []


ASKED = {"id": "i1", "value": {"question": "q"}, "task_id": "t1", "ns": []}


def asks(log: Log, *asked: dict[str, Any]) -> list[dict[str, Any]]:
    return log.tell("interrupt", type="custom", value={"interrupts": list(asked), "next": ["ask"]})


def test_what_a_run_asks_comes_before_its_interruption() -> None:
    log = Log()
    log.tell("metadata", attempt=1)
    asked, interrupted = asks(log, ASKED)
    assert asked["method"] == "input.requested"
    assert asked["params"]["data"]["interrupt_id"] == "i1"
    assert asked["params"]["data"]["payload"] == {"question": "q"}
    assert kinds([interrupted]) == ["interrupted"]


def test_a_run_that_another_concludes_does_not_end_again() -> None:
    log = Log()
    asks(log, ASKED)
    assert log.tell("end", status="success", error=None) == []


def test_a_run_that_goes_on_by_itself_begins_again_under_another_id() -> None:
    log = Log()
    (first,) = log.tell("metadata", attempt=1)
    asks(log, ASKED)
    (second,) = log.tell("metadata", attempt=2)
    assert first["event_id"] != second["event_id"]


def test_tokens_are_one_message() -> None:
    log = Log()
    told = [*log.chunk("Hel"), *log.chunk("lo"), *log.chunk(chunk_position="last")]
    assert kinds(told) == [
        "message-start",
        "content-block-start",
        "content-block-delta",
        "content-block-delta",
        "content-block-finish",
        "message-finish",
    ]
    data = datas(told)
    assert (data[0]["role"], data[0]["id"]) == ("ai", "m1")
    assert data[1]["content"] == {"type": "text", "text": ""}
    assert data[3]["delta"] == {"type": "text-delta", "text": "lo"}
    assert data[4]["content"] == {"type": "text", "text": "Hello"}


def test_a_message_whose_last_chunk_is_not_marked_ends_with_its_step() -> None:
    log = Log()
    log.chunk("Hello")
    assert kinds(log.part("values", {"messages": []}))[-2:] == ["message-finish", "values"]


def test_a_tool_call_is_a_block_of_its_own() -> None:
    log = Log()
    call = {"name": "weather", "args": '{"city": ', "id": "c1", "index": 0}
    rest = {"name": None, "args": '"Berlin"}', "id": None, "index": 0}
    told = [*log.chunk(tool_call_chunks=[call]), *log.chunk(tool_call_chunks=[rest], chunk_position="last")]
    assert datas(told)[-2]["content"] == {
        "type": "tool_call",
        "id": "c1",
        "name": "weather",
        "args": {"city": "Berlin"},
    }


def test_arguments_that_are_not_json_are_an_invalid_call() -> None:
    call = {"name": "weather", "args": "{", "id": "c1", "index": 0}
    told = Log().chunk(tool_call_chunks=[call], chunk_position="last")
    assert datas(told)[-2]["content"]["type"] == "invalid_tool_call"


def test_thoughts_and_text_are_two_blocks() -> None:
    log = Log()
    thinking = [{"type": "thinking", "thinking": "Hm", "index": 0}]
    told = [*log.chunk(thinking), *log.chunk([{"type": "text", "text": "Hi", "index": 1}], chunk_position="last")]
    finished = [data["content"] for data in datas(told) if data["event"] == "content-block-finish"]
    assert finished == [{"type": "reasoning", "reasoning": "Hm"}, {"type": "text", "text": "Hi"}]


def test_a_message_of_a_node_is_told_whole_and_once() -> None:
    log = Log()
    whole = {"type": "ai", "id": "m1", "content": "Hello", "tool_calls": [], "invalid_tool_calls": []}
    assert kinds(log.part("messages", [whole, {}]))[-1] == "message-finish"
    assert log.part("messages", [whole, {}]) == []
    assert log.part("messages", [{"type": "human", "id": "m0", "content": "Hi"}, {}]) == []


def test_tokens_that_are_taken_back_are_written_anew() -> None:
    log = Log()
    log.chunk("Hel")
    (error,) = log.tell("superseded", from_seq=1, to_seq=1, reason="retry")
    assert error["params"]["data"]["event"] == "error"
    assert kinds(log.chunk("Hello"))[0] == "message-start"


def test_two_readers_hear_the_same() -> None:
    def told() -> list[dict[str, Any]]:
        log = Log()
        return [*log.tell("metadata", attempt=1), *log.chunk("a"), *log.part("values", {}), *asks(log, ASKED)]

    assert told() == told()
    seqs = [event["seq"] for event in told()]
    assert seqs == sorted(set(seqs))
    assert seqs[-1] < 2**53


def test_a_subgraph_begins_with_what_it_tells_first_and_ends_with_its_task() -> None:
    log = Log()
    began, values = log.part("values", {"text": "a"}, CHILD)
    assert began["params"]["namespace"] == [CHILD]
    assert began["params"]["data"]["event"] == "started"
    assert began["params"]["data"]["trigger_call_id"] == CHILD.partition(":")[2]
    assert values["method"] == "values"
    assert kinds(log.part("values", {"text": "A"}, CHILD)) == ["values"]
    result: dict[str, Any] = {
        "id": CHILD.partition(":")[2],
        "name": "child",
        "error": None,
        "result": {},
        "interrupts": [],
    }
    _, ended = log.part("tasks", result)
    assert ended["params"] | {"timestamp": 0} == {
        "namespace": [CHILD],
        "timestamp": 0,
        "data": {"event": "completed", "graph_name": "child"},
    }


def test_subgraphs_end_with_their_run() -> None:
    log = Log()
    log.part("values", {}, CHILD, "deeper:1")
    told = log.tell("end", status="error", error={"message": "boom"})
    assert [event["params"]["namespace"] for event in told] == [[CHILD, "deeper:1"], [CHILD], []]
    assert {data["event"] for data in datas(told)} == {"failed"}


def test_what_is_asked_is_no_value() -> None:
    log = Log()
    (values,) = log.part("values", {"a": 1, "__interrupt__": [ASKED]})
    assert values["params"]["data"] == {"a": 1}
    assert log.part("updates", {"__interrupt__": [ASKED]}) == []


@pytest.mark.parametrize(
    ("written", "channel", "data"),
    [
        ({"step": 1}, "custom", {"payload": {"step": 1}}),
        ({"name": "a", "payload": 1}, "custom:a", {"name": "a", "payload": 1}),
        ({"name": "a", "value": 1}, "custom:a", {"name": "a", "payload": 1}),
    ],
)
def test_what_a_node_writes_is_custom(written: Any, channel: str, data: Any) -> None:
    (told,) = Log().part("custom", written)
    assert told["params"]["data"] == data
    assert wanted({"channels": [channel]}).wants(told)
    assert wanted({"channels": ["custom"]}).wants(told)
    assert not wanted({"channels": ["custom:b"]}).wants(told)


# -- what a reader wants -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("namespaces", "depth", "heard"),
    [
        (None, None, True),
        ([["child"]], None, True),
        ([[CHILD]], None, True),
        ([["child:other"]], None, False),
        ([[]], 0, False),
        ([[]], 1, True),
        ([["child", "deeper"]], None, False),
    ],
)
def test_namespaces_are_prefixes(namespaces: Any, depth: Any, heard: bool) -> None:
    _, values = Log().part("values", {}, CHILD)
    assert wanted({"channels": ["values"], "namespaces": namespaces, "depth": depth}).wants(values) is heard


def test_a_number_knows_its_run() -> None:
    assert run_number_of(through((7, 1_000))) == 7
    assert run_number_of(-1) == 0
