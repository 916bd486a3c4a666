"""How many runs of a workspace may wait."""

from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from runs import backlog
from runs.models import Run
from tests.api import HELLO, Api, assert_refused


@pytest.fixture(autouse=True)
def _three_may_wait(settings: Any) -> None:
    settings.MAX_PENDING_RUNS = 3


def _send(api: Api) -> Any:
    return api.post(f"/sessions/{api.session()}/runs", HELLO)


def test_one_more_than_may_wait_is_refused(api: Api) -> None:
    for _ in range(3):
        api.run()
    refused = _send(api)
    assert_refused(refused, 429, "rate_limited")
    assert int(refused["Retry-After"]) >= 1
    assert Run.objects.count() == 3


def test_a_refused_run_without_a_session_leaves_none(api: Api) -> None:
    for _ in range(3):
        api.run()
    assert_refused(api.post("/runs", {**HELLO, "assistant_id": api.assistant()}), 429, "rate_limited")
    assert len(api.items("/sessions")) == 3


def test_there_is_room_again_when_some_have_gone(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = [api.run() for _ in range(3)]
    api.post(f"/runs/{runs[0]}/cancel")
    assert_refused(_send(api), 429, "rate_limited")
    monkeypatch.setattr(backlog, "COUNT_EVERY_S", 0)
    assert _send(api).status_code == 202


def test_what_others_accepted_is_counted(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    run = Run.objects.get(id=api.run())
    for _ in range(2):
        run.pk, run.ready = None, False
        run.save()
    monkeypatch.setattr(backlog, "COUNT_EVERY_S", 0)
    assert_refused(_send(api), 429, "rate_limited")


def test_a_batch_takes_as_many_places_as_it_has_runs(api: Api) -> None:
    api.run()
    body = {"runs": [{**HELLO, "session_id": api.session()}] * 3}
    assert_refused(api.post("/runs/batch", body), 429, "rate_limited")
    assert Run.objects.count() == 1


def test_another_workspace_is_not_concerned(api: Api, stranger: Api) -> None:
    for _ in range(3):
        api.run()
    assert _send(stranger).status_code == 202


def test_it_is_counted_once_and_then_remembered(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backlog, "COUNT_EVERY_S", 3_600)
    session = api.session()
    with CaptureQueriesContext(connection) as queries:
        for _ in range(3):
            api.run(session)
    assert len([query for query in queries.captured_queries if "AS waiting" in query["sql"]]) == 1
