"""Runs over HTTP without a worker: what is accepted, what is refused, what can be read."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection
from pytest_django import DjangoAssertNumQueries, Settings
from pytest_django.fixtures import DjangoCaptureOnCommitCallbacks

from core.ids import new_id
from runs.models import Run, RunEvent, RunPayload, RunStep
from runs.serializers import EventDocument, RunDocument, RunSummaryDocument, StepDocument
from tests.api import HELLO, Api, assert_refused
from tests.servers import wait_for

SUMMARY_KEYS = (
    "id number session_id assistant_id assistant_version user_id parent_run_id schedule_id status attempt priority "
    "error interrupt interrupt_expires_at usage metadata durability multitask_strategy webhook worker_id checkpoint_id "
    "cancel_requested_at next_attempt_at created_at queued_at claimed_at started_at finished_at"
)
STEP_KEYS = "index kind status attempt started_at duration_ms model tool_calls"
NOW = "2026-01-31T12:00:00.000001Z"


def test_a_run_is_accepted_and_shows_every_key(api: Api) -> None:
    session = api.session(user_id="ann")
    answer = api.post(f"/sessions/{session}/runs", {**HELLO, "metadata": {"a": 1}, "priority": 5})
    assert answer.status_code == 202
    run = answer.json()
    assert answer.headers["location"] == f"/runs/{run['id']}"
    assert " ".join(run) == f"{SUMMARY_KEYS} input output steps" == " ".join(RunDocument.model_fields)
    assert (run["status"], run["attempt"], run["number"], run["output"]) == ("pending", 0, None, None)
    assert (run["input"], run["metadata"], run["priority"]) == (HELLO["input"], {"a": 1}, 5)
    assert (run["session_id"], run["user_id"], run["steps"]) == (session, "ann", [])
    assert run["usage"] == {"input_tokens": 0, "output_tokens": 0, "total_tokens": 0, "cost_usd": None}
    assert api.get(f"/runs/{run['id']}").json() == run
    assert api.get(f"/sessions/{session}").json()["active_run_id"] == run["id"]


def test_the_doorbell_rings_after_the_commit(
    api: Api, django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks
) -> None:
    session = api.session()
    with django_capture_on_commit_callbacks() as callbacks:
        api.run(session)
    assert len(callbacks) == 1


def test_a_run_brings_its_session(api: Api) -> None:
    assistant = api.assistant()
    run = api.post("/runs", {**HELLO, "assistant_id": assistant, "user_id": "ann"}).json()
    assert (run["assistant_id"], run["user_id"]) == (assistant, "ann")
    assert api.get(f"/sessions/{run['session_id']}").json()["user_id"] == "ann"


@pytest.mark.parametrize("path", ["/sessions/{session}/runs/wait", "/runs/wait"])
def test_a_wait_that_is_over_answers_202_with_the_run_as_it_is(api: Api, path: str) -> None:
    path = path.format(session=api.session())
    body = HELLO if "sessions" in path else {**HELLO, "assistant_id": api.assistant()}
    answer = api.post(f"{path}?wait_s=0", body)
    assert (answer.status_code, answer.json()["status"]) == (202, "pending")


def test_wait_in_the_body_does_the_same(api: Api) -> None:
    answer = api.post(f"/sessions/{api.session()}/runs?wait_s=0", {**HELLO, "wait": True})
    assert (answer.status_code, answer.json()["status"]) == (202, "pending")


@pytest.mark.django_db(transaction=True)
def test_a_wait_ends_with_the_run(api: Api) -> None:
    path = f"/sessions/{api.session()}/runs/wait?wait_s=20"

    def wait() -> Any:
        try:
            return api.post(path, HELLO)
        finally:
            connection.close()

    with ThreadPoolExecutor() as threads:
        waiting = threads.submit(wait)
        (run,) = wait_for(lambda: api.items("/runs"))
        api.post(f"/runs/{run['id']}/cancel")
        answer = waiting.result()
    assert (answer.status_code, answer.json()["status"]) == (200, "cancelled")


def test_joining_a_run_that_has_ended_answers_at_once(api: Api) -> None:
    run = api.run()
    assert api.get(f"/runs/{run}/join", wait_s=0).status_code == 202
    api.post(f"/runs/{run}/cancel")
    answer = api.get(f"/runs/{run}/join")
    assert (answer.status_code, answer.json()["status"]) == (200, "cancelled")


@pytest.mark.parametrize(
    ("query", "name"),
    [
        ("wait_s=-1", "wait_s"),
        ("wait_s=x", "wait_s"),
        ("wait_s=1_0", "wait_s"),
        ("wait_s=nan", "wait_s"),
        ("wait_s=1&wait_s=2", "wait_s"),
        ("a=1", "a"),
    ],
)
def test_a_bad_wait_stores_nothing(api: Api, query: str, name: str) -> None:
    answer = api.post(f"/sessions/{api.session()}/runs/wait?{query}", HELLO)
    assert_refused(answer, 422, "invalid", "query", name)
    assert not Run.objects.exists()


@pytest.mark.parametrize(
    ("body", "loc"),
    [
        ({}, ("input",)),
        ({"input": {}}, ("input",)),
        ({"input": {"message": ""}, "colour": 1}, ("colour",)),
        ({"input": {"messages": [{"role": "system", "content": "x"}]}}, ("input", "messages", 0, "role")),
        ({**HELLO, "priority": 1001}, ("priority",)),
        ({**HELLO, "multitask_strategy": "replace"}, ("multitask_strategy",)),
        ({**HELLO, "timeout_s": 0}, ("timeout_s",)),
        ({**HELLO, "wait": True, "stream": True}, ("stream",)),
    ],
)
def test_a_bad_body_is_refused_and_nothing_is_stored(api: Api, body: dict[str, Any], loc: tuple[str, ...]) -> None:
    assert_refused(api.post(f"/sessions/{api.session()}/runs", body), 422, "invalid", *loc)
    assert not Run.objects.exists()


def test_a_refused_stateless_run_leaves_no_session(api: Api) -> None:
    body = {"input": {}, "assistant_id": api.assistant()}
    assert_refused(api.post("/runs", body), 422, "invalid", "input")
    assert api.items("/sessions") == []


@pytest.mark.parametrize("path", ["/sessions/{session}/runs/stream", "/runs/stream"])
def test_a_stream_is_not_for_this_door(api: Api, path: str) -> None:
    assert_refused(api.post(path.format(session=api.session()), HELLO), 400, "bad_request")
    assert_refused(api.post(f"/sessions/{api.session()}/runs", {**HELLO, "stream": True}), 400, "bad_request")
    assert not Run.objects.exists()


def test_a_busy_session_refuses_where_it_is_asked_to(api: Api) -> None:
    session = api.session()
    api.run(session)
    answer = api.post(f"/sessions/{session}/runs", {**HELLO, "multitask_strategy": "reject"})
    assert_refused(answer, 409, "session_busy")
    assert Run.objects.count() == 1


# -- reading ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def finished(api: Api) -> str:
    """A run with an output, one step and three events; gives its id."""
    run = api.run()
    Run.objects.filter(id=run).update(
        status="success", number=1, attempt=1, ready=False, finished_at=NOW, input_tokens=2, output_tokens=3, last_seq=3
    )
    RunPayload.objects.filter(run_id=run).update(
        output={"text": "Hi", "message": None, "structured": None, "citations": []}
    )
    call = {"id": "c1", "name": "clock", "args": {}, "status": "ok", "result": 1, "error": None}
    RunStep.objects.create(
        run_id=run,
        index=1,
        kind="tools",
        status="ok",
        attempt=1,
        started_at=NOW,
        duration_ms=1.5,
        tool_calls=[{**call, "duration_ms": 1.5, "cached": False, "artifact_id": None, "decision": None}],
    )
    for seq, event in enumerate(["metadata", "status", "end"], start=1):
        RunEvent.objects.create(run_id=run, seq=seq, event=event, data={"n": seq}, ts=NOW)
    return run


def test_a_run_shows_its_output_steps_and_usage(api: Api, finished: str) -> None:
    run = api.get(f"/runs/{finished}").json()
    assert run["output"]["text"] == "Hi"
    (step,) = run["steps"]
    assert " ".join(step) == STEP_KEYS == " ".join(StepDocument.model_fields)
    assert (step["started_at"], step["duration_ms"], step["tool_calls"][0]["result"]) == (NOW, 1.5, 1)
    assert run["usage"]["total_tokens"] == 5
    RunDocument.model_validate(run)


def test_events_come_oldest_first_with_every_key(api: Api, finished: str) -> None:
    events = api.items(f"/runs/{finished}/events")
    assert [event["id"] for event in events] == ["1-1", "1-2", "1-3"]
    assert set(events[0]) == set(EventDocument.model_fields) == {"id", "event", "run_id", "seq", "ts", "data"}
    assert events[0] == {
        "id": "1-1",
        "event": "metadata",
        "run_id": finished,
        "seq": 1,
        "ts": NOW,
        "data": {"n": 1},
    }


@pytest.mark.parametrize("after", ["1-2", "2"])
def test_events_after_one(api: Api, finished: str, after: str) -> None:
    assert [event["seq"] for event in api.items(f"/runs/{finished}/events", after=after)] == [3]


@pytest.mark.parametrize("after", ["2-1", "x", "1-", "-1", "1-2-3", "9" * 30])
def test_a_bad_after_is_refused(api: Api, finished: str, after: str) -> None:
    assert_refused(api.get(f"/runs/{finished}/events", after=after), 422, "invalid", "query", "after")


def test_after_a_number_beyond_all_there_is_nothing(api: Api, finished: str) -> None:
    assert api.items(f"/runs/{finished}/events", after="9" * 15) == []


def test_a_run_that_was_never_claimed_has_no_events(api: Api) -> None:
    assert api.items(f"/runs/{api.run()}/events") == []


# -- lists -----------------------------------------------------------------------------------------------------------


def test_runs_come_newest_first_without_what_went_in_and_out(api: Api) -> None:
    session = api.session()
    ids = [api.run(session) for _ in range(3)]
    runs = api.items("/runs")
    assert [run["id"] for run in runs] == ids[::-1]
    assert " ".join(runs[0]) == SUMMARY_KEYS == " ".join(RunSummaryDocument.model_fields)
    assert [run["id"] for run in api.items(f"/sessions/{session}/runs")] == ids[::-1]


def test_active_runs_across_assistants(api: Api) -> None:
    first, second, ended = api.run(), api.run(), api.run()
    Run.objects.filter(id=second).update(status="running", lease_owner=new_id())
    api.post(f"/runs/{ended}/cancel")
    assert {run["id"] for run in api.items("/runs", status="running,pending")} == {first, second}
    assert [run["id"] for run in api.items("/runs", status="cancelled")] == [ended]


def test_filters(api: Api) -> None:
    assistant = api.assistant()
    session = api.session(assistant, user_id="ann")
    mine, _ = api.run(session), api.run()
    for query in ({"assistant_id": assistant}, {"session_id": session}, {"user_id": "ann"}):
        assert [run["id"] for run in api.items("/runs", **query)] == [mine]
    assert api.items(f"/sessions/{session}/runs", status="running") == []
    child = api.run()
    Run.objects.filter(id=child).update(parent_run=mine)
    assert [run["id"] for run in api.items("/runs", parent_run_id=mine)] == [child]


def test_runs_page_by_cursor(api: Api) -> None:
    session = api.session()
    ids = [api.run(session) for _ in range(3)][::-1]
    first = api.get("/runs", limit=2).json()
    rest = api.get("/runs", limit=2, cursor=first["next_cursor"]).json()
    assert [run["id"] for run in first["items"] + rest["items"]] == ids
    assert rest["next_cursor"] is None


@pytest.mark.parametrize(
    "query",
    [
        {"colour": "red"},
        {"status": "running,done"},
        {"session_id": "x"},
        {"session_id": str(uuid4())},
        {"parent_run_id": str(uuid4())},
        {"assistant_id": str(uuid4())},
        {"ordering": "status"},
        {"limit": "1e1"},
    ],
)
def test_a_bad_query_is_refused(api: Api, query: dict[str, Any]) -> None:
    assert_refused(api.get("/runs", **query), 422, "invalid", "query", *query)


def test_a_list_costs_two_queries_and_reads_no_payload(
    api: Api, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    session = api.session()
    for _ in range(3):
        api.run(session)
    with django_assert_num_queries(1) as asked:
        api.items("/runs")
    assert not any(table in str(asked.captured_queries) for table in ("run_payloads", "run_steps"))
    with django_assert_num_queries(2):
        api.items("/runs", limit=1)
    with django_assert_num_queries(3):
        api.items(f"/sessions/{session}/runs", limit=1)


def test_no_run_may_take_longer_than_the_server_lets_it(api: Api, settings: Settings) -> None:
    settings.LONGEST_RUN_S = 60.0
    session = api.session(api.assistant(run_timeout_s=90))
    runs = [api.run(session), api.run(session, timeout_s=3_600), api.run(session, timeout_s=5)]
    assert [Run.objects.get(id=run).timeout_s for run in runs] == [60, 60, 5]
