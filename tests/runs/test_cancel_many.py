"""`POST /runs/cancel`: many runs, by their ids or by what they are doing."""

from typing import Any
from uuid import uuid4

import pytest

from core.ids import new_id
from runs import bulk
from runs.models import Run, RunEvent
from tests.api import Api, assert_refused


def _start(run: str) -> None:
    Run.objects.filter(id=run).update(status="running", lease_owner=new_id(), ready=False)


def _cancel(api: Api, **body: Any) -> Any:
    answer = api.post("/runs/cancel", body)
    assert answer.status_code == 202, answer.content
    return answer.json()


def _statuses(*runs: str) -> list[str]:
    return [Run.objects.get(id=run).status for run in runs]


def test_those_that_wait(api: Api) -> None:
    session = api.session()
    running, behind, elsewhere = api.run(session), api.run(session), api.run()
    _start(running)
    assert _cancel(api, status="pending") == {"cancelled": 2}
    assert _statuses(running, behind, elsewhere) == ["running", "cancelled", "cancelled"]
    assert Run.objects.get(id=running).cancel_requested_at is None


def test_those_at_work_are_asked_to_stop(api: Api) -> None:
    running, waiting = api.run(), api.run()
    _start(running)
    assert _cancel(api, status="running") == {"cancelled": 1}
    assert Run.objects.get(id=running).cancel_requested_at
    assert _statuses(running, waiting) == ["running", "pending"]
    assert _cancel(api, status="running") == {"cancelled": 0}


def test_all_of_them(api: Api) -> None:
    running, asking, waiting = api.run(), api.run(), api.run()
    _start(running)
    Run.objects.filter(id=asking).update(status="interrupted", ready=False)
    assert _cancel(api, status="all") == {"cancelled": 3}
    assert _statuses(running, asking, waiting) == ["running", "cancelled", "cancelled"]


def test_by_their_ids(api: Api) -> None:
    one, other, ended = api.run(), api.run(), api.run()
    api.post(f"/runs/{ended}/cancel")
    assert _cancel(api, ids=[one, ended, one]) == {"cancelled": 1}
    assert _statuses(one, other) == ["cancelled", "pending"]


def test_more_than_a_batch_holds(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulk, "BATCH", 2)
    session = api.session()
    runs = [api.run(session) for _ in range(5)]
    assert _cancel(api, status="pending") == {"cancelled": 5}
    assert {*_statuses(*runs)} == {"cancelled"}
    assert api.get(f"/sessions/{session}").json()["active_run_id"] is None
    assert RunEvent.objects.filter(run__session_id=session, event="end").count() == 5
    assert sorted(Run.objects.values_list("number", flat=True)) == [1, 2, 3, 4, 5]


def test_an_unknown_id_cancels_none(api: Api, stranger: Api) -> None:
    mine, theirs = api.run(), stranger.run()
    for unknown in (theirs, str(uuid4()), "x"):
        assert_refused(api.post("/runs/cancel", {"ids": [mine, unknown]}), 422, "invalid", "ids", 1)
    assert _statuses(mine, theirs) == ["pending", "pending"]


def test_a_workspace_ends_at_its_wall(api: Api, stranger: Api) -> None:
    theirs = stranger.run()
    assert _cancel(api, status="all") == {"cancelled": 0}
    assert _statuses(theirs) == ["pending"]


def test_a_user_bound_key_cancels_that_users_only(api: Api) -> None:
    anns, bobs = api.run(api.session(user_id="ann")), api.run(api.session(user_id="bob"))
    ann = Api(api.workspace, user_id="ann")
    assert _cancel(ann, status="all") == {"cancelled": 1}
    assert _statuses(anns, bobs) == ["cancelled", "pending"]
    assert_refused(ann.post("/runs/cancel", {"ids": [bobs]}), 422, "invalid", "ids", 0)


@pytest.mark.parametrize(
    "body", [{}, {"status": "success"}, {"ids": []}, {"status": "all", "ids": [str(uuid4())]}, {"surprise": 1}]
)
def test_a_bad_body_cancels_none(api: Api, body: dict[str, Any]) -> None:
    run = api.run()
    assert_refused(api.post("/runs/cancel", body), 422, "invalid")
    assert _statuses(run) == ["pending"]


def test_a_key_that_only_reads_cancels_none(api: Api) -> None:
    run = api.run()
    assert_refused(Api(api.workspace, scopes=("runs:read",)).post("/runs/cancel", {"status": "all"}), 403, "forbidden")
    assert _statuses(run) == ["pending"]
