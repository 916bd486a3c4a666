"""Cancelling runs and closing sessions over HTTP."""

from typing import Any

import orjson
import pytest
from pytest_django.fixtures import DjangoCaptureOnCommitCallbacks

from core.ids import new_id
from core.redis import client, key
from runs.live import STREAM
from runs.models import Run
from tests.api import HELLO, Api, assert_refused


def _start(run: str) -> None:
    Run.objects.filter(id=run).update(status="running", lease_owner=new_id(), ready=False)


def _interrupt(run: str, interrupt: dict[str, Any]) -> None:
    Run.objects.filter(id=run).update(status="interrupted", interrupt=interrupt, ready=False)


def test_a_waiting_run_is_cancelled_at_once(api: Api) -> None:
    run = api.run()
    answer = api.post(f"/runs/{run}/cancel")
    assert (answer.status_code, answer.json()["status"], answer.json()["number"]) == (202, "cancelled", 1)
    assert answer.json()["finished_at"] >= answer.json()["cancel_requested_at"]
    assert [event["event"] for event in api.items(f"/runs/{run}/events")] == ["end"]


def test_the_next_run_of_the_session_takes_its_place(api: Api) -> None:
    session = api.session()
    first, second = api.run(session), api.run(session)
    api.post(f"/runs/{first}/cancel")
    assert api.get(f"/sessions/{session}").json()["active_run_id"] == second


def test_a_running_run_is_asked_to_stop(api: Api) -> None:
    run = api.run()
    _start(run)
    answer = api.post(f"/runs/{run}/cancel", {"action": "cancel", "wait": False})
    assert (answer.status_code, answer.json()["status"]) == (202, "running")
    assert answer.json()["cancel_requested_at"]


def test_cancelling_with_wait_answers_when_it_has_ended(api: Api) -> None:
    answer = api.post(f"/runs/{api.run()}/cancel", {"wait": True})
    assert (answer.status_code, answer.json()["status"]) == (202, "cancelled")


def test_a_run_that_has_ended_cannot_be_cancelled(api: Api) -> None:
    run = api.run()
    api.post(f"/runs/{run}/cancel")
    assert_refused(api.post(f"/runs/{run}/cancel"), 409, "run_finished")


@pytest.mark.parametrize(
    ("body", "loc"), [({"action": "explode"}, "action"), ({"wait": "yes"}, "wait"), ({"force": True}, "force")]
)
def test_a_bad_cancel_changes_nothing(api: Api, body: dict[str, Any], loc: str) -> None:
    run = api.run()
    assert_refused(api.post(f"/runs/{run}/cancel", body), 422, "invalid", loc)
    assert api.get(f"/runs/{run}").json()["status"] == "pending"


def test_followers_are_told_after_the_commit(
    api: Api, django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks
) -> None:
    session = api.session()
    run = api.run(session)
    before = client().xlen(key(STREAM))
    with django_capture_on_commit_callbacks() as callbacks:
        api.post(f"/runs/{run}/cancel")
    assert client().xlen(key(STREAM)) == before
    for callback in callbacks:
        callback()
    _, told = client().xrevrange(key(STREAM), count=1)[0]
    assert told[b"s"].decode() == session
    assert told[b"r"].decode() == run
    assert orjson.loads(told[b"e"]) == []


def test_an_interrupt_is_shown_until_it_is_over(api: Api) -> None:
    session = api.session()
    run = api.run(session)
    question = {"type": "custom", "value": 1}
    _interrupt(run, question)
    assert api.get(f"/runs/{run}").json()["interrupt"] == question
    assert api.get(f"/sessions/{session}/state").json()["interrupt"] == question
    api.post(f"/runs/{run}/cancel")
    assert api.get(f"/runs/{run}").json()["interrupt"] is None
    assert api.get(f"/sessions/{session}/state").json()["interrupt"] is None


# -- closing ---------------------------------------------------------------------------------------------------------


def test_closing_cancels_what_waits_and_keeps_the_history(api: Api) -> None:
    session = api.session(initial_state={"messages": [{"role": "user", "content": "Hi"}]})
    runs = [api.run(session), api.run(session)]
    answer = api.post(f"/sessions/{session}/close")
    assert answer.status_code == 200
    closed = answer.json()
    assert (closed["status"], closed["active_run_id"], closed["message_count"]) == ("closed", None, 1)
    assert closed["closed_at"]
    ended = {run["id"]: (run["status"], run["number"]) for run in api.items(f"/sessions/{session}/runs")}
    assert ended == {runs[0]: ("cancelled", 1), runs[1]: ("cancelled", 2)}
    assert len(api.items(f"/sessions/{session}/messages")) == 1


def test_deleting_is_closing_and_again_answers_the_same(api: Api) -> None:
    session = api.session()
    closed = api.delete(f"/sessions/{session}")
    assert (closed.status_code, closed.json()["status"]) == (200, "closed")
    for again in (api.delete(f"/sessions/{session}"), api.post(f"/sessions/{session}/close")):
        assert (again.status_code, again.json()) == (200, closed.json())


def test_a_closed_session_takes_no_run(api: Api) -> None:
    session = api.session()
    api.delete(f"/sessions/{session}")
    assert_refused(api.post(f"/sessions/{session}/runs", HELLO), 409, "session_closed")
    assert not Run.objects.exists()


def test_a_run_at_work_is_asked_to_stop(api: Api) -> None:
    session = api.session()
    run = api.run(session)
    _start(run)
    assert api.delete(f"/sessions/{session}").json()["active_run_id"] == run
    shown = api.get(f"/runs/{run}").json()
    assert (shown["status"], bool(shown["cancel_requested_at"])) == ("running", True)


def test_closing_has_no_fields(api: Api) -> None:
    session = api.session()
    assert_refused(api.post(f"/sessions/{session}/close", {"reason": "x"}), 422, "invalid", "reason")
    assert api.get(f"/sessions/{session}").json()["status"] == "active"
