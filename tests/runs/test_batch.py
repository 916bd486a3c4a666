"""`POST /runs/batch`: many runs, all or none."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection

from accounts.models import Workspace
from runs.bodies import CreateRuns
from runs.bulk import create_runs
from runs.models import Run
from sessions.models import Session
from tests.api import HELLO, Api, assert_refused
from tests.runs.conftest import make_assistant
from tests.servers import Server


def _batch(api: Api, *runs: dict[str, Any]) -> Any:
    return api.post("/runs/batch", {"runs": [{**HELLO, **run} for run in runs]})


def test_runs_of_sessions_and_of_assistants_are_accepted_together(api: Api) -> None:
    session, assistant = api.session(), api.assistant()
    answer = _batch(api, {"session_id": session}, {"assistant_id": assistant, "user_id": "ann", "priority": 3})
    assert answer.status_code == 202, answer.content
    first, second = answer.json()["items"]
    assert (first["session_id"], first["status"]) == (session, "pending")
    assert (second["assistant_id"], second["user_id"], second["priority"]) == (assistant, "ann", 3)
    assert api.get(f"/runs/{second['id']}").json() == second


def test_runs_of_one_session_keep_the_order_of_the_batch(api: Api) -> None:
    session = api.session()
    items = _batch(api, *[{"session_id": session}] * 3).json()["items"]
    assert api.get(f"/sessions/{session}").json()["active_run_id"] == items[0]["id"]
    listed = api.items(f"/sessions/{session}/runs", ordering="created_at")
    assert [run["id"] for run in listed] == [run["id"] for run in items]


def test_later_runs_of_the_batch_meet_the_earlier_ones(api: Api) -> None:
    session = api.session()
    run = {"session_id": session, "multitask_strategy": "interrupt"}
    items = _batch(api, run, run).json()["items"]
    assert [Run.objects.get(id=item["id"]).status for item in items] == ["cancelled", "pending"]


@pytest.mark.parametrize(
    ("wrong", "loc"),
    [
        ({"priority": 1_001}, ("priority",)),
        ({"input": {"message": 5}}, ("input", "message")),
        ({"session_id": str(uuid4())}, ("session_id",)),
        ({"session_id": "x"}, ("session_id",)),
        ({"surprise": 1}, ("surprise",)),
        ({"wait": True}, ("wait",)),
        ({"session_id": None}, ()),
    ],
)
def test_one_bad_run_refuses_all(api: Api, wrong: dict[str, Any], loc: tuple[str, ...]) -> None:
    session = {"session_id": api.session()}
    answer = _batch(api, session, {**session, **wrong})
    assert answer.status_code == 422, answer.content
    (fault,) = [error["loc"] for error in answer.json()["errors"]][:1]
    assert fault[: 2 + len(loc)] == ["runs", 1, *loc]
    assert not Run.objects.exists()


def test_an_unknown_assistant_refuses_all_and_opens_no_session(api: Api) -> None:
    answer = _batch(api, {"assistant_id": api.assistant()}, {"assistant_id": str(uuid4())})
    assert_refused(answer, 422, "invalid", "runs", 1, "assistant_id")
    assert not Session.objects.exists()


def test_what_belongs_to_the_session_is_not_given_beside_it(api: Api) -> None:
    assert_refused(_batch(api, {"session_id": api.session(), "user_id": "ann"}), 422, "invalid", "runs", 0)


def test_a_conflict_says_which_run_it_is(api: Api) -> None:
    closed = api.session()
    api.delete(f"/sessions/{closed}")
    answer = _batch(api, {"session_id": api.session()}, {"session_id": closed})
    assert_refused(answer, 409, "session_closed")
    assert answer.json()["detail"].startswith("runs[1]: ")
    assert not Run.objects.exists()


def test_a_limit_that_the_batch_would_pass_refuses_all(api: Api) -> None:
    assistant = api.assistant(rate_limit={"requests_per_minute": 2})
    answer = _batch(api, *[{"assistant_id": assistant}] * 3)
    assert_refused(answer, 429, "rate_limited")
    assert int(answer["Retry-After"]) >= 1
    assert not Run.objects.exists()
    assert _batch(api, *[{"assistant_id": assistant}] * 2).status_code == 202


@pytest.mark.parametrize("runs", [[], [HELLO] * 101, {}, None])
def test_a_batch_has_one_to_a_hundred_runs(api: Api, runs: Any) -> None:
    assert_refused(api.post("/runs/batch", {"runs": runs}), 422, "invalid", "runs")


def test_a_strangers_session_is_unknown(api: Api, stranger: Api) -> None:
    session = api.session()
    assert_refused(_batch(stranger, {"session_id": session}), 422, "invalid", "runs", 0, "session_id")
    assert not Run.objects.exists()


def test_a_key_that_only_reads_accepts_nothing(api: Api) -> None:
    reader = Api(api.workspace, scopes=("runs:read",))
    assert_refused(_batch(reader, {"session_id": api.session()}), 403, "forbidden")


@pytest.mark.django_db(transaction=True)
def test_two_batches_with_the_same_in_another_order_do_not_block_each_other(transactional_db: None) -> None:
    api = Api(Workspace.objects.create(name="Ours", slug="ours"))
    assistants = [api.assistant(rate_limit={"requests_per_minute": 1_000}) for _ in range(6)]
    sessions = [api.session(assistant) for assistant in assistants]

    def accept(order: list[str]) -> None:
        try:
            for _ in range(5):
                runs = [{**HELLO, "session_id": session} for session in order]
                create_runs(api.identity, CreateRuns.model_validate({"runs": runs})).run()
        finally:
            connection.close()

    with ThreadPoolExecutor(2) as threads:
        list(threads.map(accept, [sessions, sessions[::-1]]))
    assert Run.objects.count() == 60


@pytest.mark.servers
def test_workers_carry_a_batch_out(server: Server) -> None:
    assistant = make_assistant(server)
    runs = [{"assistant_id": assistant, "input": {"message": f"number {n}"}} for n in range(5)]
    items = server.client.post("/runs/batch", json={"runs": runs}).json()["items"]
    ended = [server.client.get(f"/runs/{item['id']}/join").json() for item in items]
    assert [run["output"]["text"] for run in ended] == [f"number {n}" for n in range(5)]
