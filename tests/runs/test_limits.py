"""An assistant's limits: exact, at once, its own, and told to whoever meets them."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID

import pytest
from django.db import connection
from django.db.models import F
from django.db.models.expressions import RawSQL
from pytest_django import DjangoAssertNumQueries

from core.errors import QuotaExceeded, RateLimited
from core.ids import new_id
from runs.accepting import create_run
from runs.bodies import CreateRun
from runs.models import Run, RunPayload
from runs.worker.rescue import rescue
from sessions.models import Session
from tests.api import HELLO, Api, assert_refused
from tests.runs.conftest import make_session
from tests.runs.test_websocket import hear, socket_to, tell
from tests.runs.worker import Tenant, claim_with, in_thread, make_worker
from tests.servers import Server

MINUTE = {"rate_limit": {"requests_per_minute": 3}}
RUNS = {"quota": {"runs_per_day": 3}}
TOKENS = {"quota": {"tokens_per_day": 1_000}}


def ask(api: Api, session: str) -> Any:
    return api.post(f"/sessions/{session}/runs", HELLO)


def age(run: str, seconds: float, *, within_the_day: bool = False) -> None:
    """Have the run accepted that much earlier, but not yesterday if its day matters."""
    earliest = "greatest(date_trunc('day', now(), 'UTC'), created_at - make_interval(secs => %s))"
    moment = earliest if within_the_day else "created_at - make_interval(secs => %s)"
    assert Run.objects.filter(id=run).update(created_at=RawSQL(moment, [seconds])) == 1


def use(run: str, tokens: int) -> None:
    Run.objects.filter(id=run).update(output_tokens=tokens)


def end(run: str) -> None:
    Run.objects.filter(id=run).update(status="success", finished_at=F("created_at"), ready=False)


# -- requests a minute -------------------------------------------------------------------------------------------------


def test_one_request_more_than_a_minute_may_have_is_refused(api: Api) -> None:
    session = api.session(api.assistant(**MINUTE))
    for _ in range(3):
        api.run(session)
    answer = ask(api, session)
    assert_refused(answer, 429, "rate_limited")
    wait_s = int(answer.headers["retry-after"])
    assert 1 <= wait_s <= 60
    assert answer.headers["x-ratelimit-limit"] == "3"
    assert answer.headers["x-ratelimit-remaining"] == "0"
    assert answer.headers["x-ratelimit-reset"] == str(wait_s)
    assert answer.json()["detail"] == (
        f"The assistant takes 3 requests a minute (rate_limit.requests_per_minute); try again in {wait_s} s."
    )


def test_the_window_slides(api: Api) -> None:
    session = api.session(api.assistant(**MINUTE))
    oldest, *_ = [api.run(session) for _ in range(3)]
    age(oldest, 40)
    answer = ask(api, session)
    assert_refused(answer, 429, "rate_limited")
    assert 1 <= int(answer.headers["retry-after"]) <= 20
    age(oldest, 20)
    assert ask(api, session).status_code == 202
    assert ask(api, session).status_code == 429


def test_refused_requests_do_not_count_and_leave_nothing(api: Api) -> None:
    session = api.session(api.assistant(**MINUTE))
    accepted = [api.run(session) for _ in range(3)]
    before = Session.objects.values().get()
    for _ in range(5):
        assert ask(api, session).status_code == 429
    assert Run.objects.count() == RunPayload.objects.count() == 3
    assert Session.objects.values().get() == before
    for run in accepted:
        age(run, 61)
    assert [ask(api, session).status_code for _ in range(4)] == [202, 202, 202, 429]


@pytest.mark.parametrize("path", ["/runs", "/runs/wait?wait_s=0"])
def test_a_refused_run_without_a_session_opens_none(api: Api, path: str) -> None:
    assistant = api.assistant(rate_limit={"requests_per_minute": 1})
    body = {**HELLO, "assistant_id": assistant}
    assert api.post(path, body).status_code == 202
    assert_refused(api.post(path, body), 429, "rate_limited")
    assert Session.objects.count() == Run.objects.count() == 1


def test_waiting_for_a_run_is_a_request_too(api: Api) -> None:
    session = api.session(api.assistant(rate_limit={"requests_per_minute": 1}))
    assert api.post(f"/sessions/{session}/runs/wait?wait_s=0", HELLO).status_code == 202
    assert_refused(api.post(f"/sessions/{session}/runs/wait?wait_s=0", HELLO), 429, "rate_limited")


def test_what_is_wrong_with_a_request_is_said_before_its_limit(api: Api) -> None:
    session = api.session(api.assistant(rate_limit={"requests_per_minute": 1}))
    api.run(session)
    assert_refused(api.post(f"/sessions/{session}/runs", {"input": {}}), 422, "invalid")
    busy = api.post(f"/sessions/{session}/runs", {**HELLO, "multitask_strategy": "reject"})
    assert_refused(busy, 409, "session_busy")


# -- whose limits ------------------------------------------------------------------------------------------------------


def test_all_sessions_of_an_assistant_share_its_limit_and_no_other_assistant_does(api: Api) -> None:
    limited = api.assistant(**MINUTE)
    for _ in range(3):
        api.run(api.session(limited))
    assert_refused(ask(api, api.session(limited)), 429, "rate_limited")
    for other in (api.assistant(), api.assistant(**MINUTE)):
        assert ask(api, api.session(other)).status_code == 202


def test_a_changed_limit_holds_at_once_in_sessions_of_older_versions_too(api: Api) -> None:
    assistant = api.assistant()
    session = api.session(assistant)
    for _ in range(4):
        api.run(session)
    for limit, expected in ((4, 429), (5, 202), (5, 429), (6, 202), (None, 202)):
        rate_limit = limit and {"requests_per_minute": limit}
        assert api.patch(f"/assistants/{assistant}", {"rate_limit": rate_limit}).status_code == 200
        assert ask(api, session).status_code == expected


def test_an_assistant_without_limits_costs_no_further_statement(
    api: Api, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    session = UUID(api.session())
    body = CreateRun(input={"message": "hi"})
    create_run(api.identity, session, body, new_id()).run()
    with django_assert_num_queries(2):
        create_run(api.identity, session, body, new_id()).run()


# -- a day -------------------------------------------------------------------------------------------------------------


def test_a_day_has_so_many_runs(api: Api) -> None:
    session = api.session(api.assistant(**RUNS))
    yesterdays = api.run(session)
    for _ in range(2):
        api.run(session)
    age(yesterdays, 86_400)
    assert ask(api, session).status_code == 202
    answer = ask(api, session)
    assert_refused(answer, 429, "quota_exceeded")
    detail = "The assistant takes 3 runs a day (quota.runs_per_day); try again after midnight UTC."
    assert answer.json()["detail"] == detail
    assert answer.headers["x-ratelimit-limit"] == "3"
    with connection.cursor() as cursor:
        cursor.execute("SELECT extract(epoch FROM date_trunc('day', now(), 'UTC') + interval '1 day' - now())::float8")
        assert abs(int(answer.headers["retry-after"]) - cursor.fetchone()[0]) < 60


def test_a_day_has_so_many_tokens_and_they_are_known_afterwards(api: Api) -> None:
    session = api.session(api.assistant(**TOKENS))
    first, second, _ = [api.run(session) for _ in range(3)]
    use(first, 600)
    Run.objects.filter(id=second).update(input_tokens=399)
    assert ask(api, session).status_code == 202
    use(second, 1)
    answer = ask(api, session)
    assert_refused(answer, 429, "quota_exceeded")
    detail = "The assistant may use 1000 tokens a day (quota.tokens_per_day); try again after midnight UTC."
    assert answer.json()["detail"] == detail
    age(first, 86_400)
    assert ask(api, session).status_code == 202


def older_runs(api: Api, number: int, **limits: Any) -> tuple[str, list[str]]:
    """A session of an assistant that got its limits when it had these runs, and they were not of the last minute."""
    assistant = api.assistant()
    session = api.session(assistant)
    runs = [api.run(session) for _ in range(number)]
    for run in runs:
        age(run, 120, within_the_day=True)
    assert api.patch(f"/assistants/{assistant}", limits).status_code == 200
    return session, runs


def test_what_older_runs_still_use_counts(api: Api) -> None:
    session, (ended, going_on) = older_runs(api, 2, **TOKENS)
    use(ended, 100)
    end(ended)
    for tokens, expected in ((10, 202), (899, 202), (900, 429)):
        use(going_on, tokens)
        assert ask(api, session).status_code == expected
    use(going_on, 899)
    end(going_on)
    newest = ask(api, session).json()["id"]
    use(newest, 1)
    assert [ask(api, session).status_code for _ in range(2)] == [429, 429]


def test_older_runs_count_once(api: Api) -> None:
    session, _ = older_runs(api, 6, quota={"runs_per_day": 10})
    assert [ask(api, session).status_code for _ in range(5)] == [202, 202, 202, 202, 429]


def test_the_longest_wait_is_told(api: Api) -> None:
    session = api.session(api.assistant(**MINUTE, **RUNS))
    for _ in range(3):
        api.run(session)
    assert_refused(ask(api, session), 429, "quota_exceeded")


# -- together ----------------------------------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("limit", [{"rate_limit": {"requests_per_minute": 5}}, {"quota": {"runs_per_day": 5}}])
def test_of_twelve_threads_exactly_as_many_pass_as_may(limit: dict[str, Any]) -> None:
    tenant = Tenant.make(**limit)
    sessions = [tenant.session() for _ in range(3)]

    def is_accepted(number: int) -> bool:
        try:
            tenant.run(sessions[number % 3])
        except (RateLimited, QuotaExceeded):
            return False
        finally:
            connection.close()
        return True

    with ThreadPoolExecutor(12) as threads:
        assert sum(threads.map(is_accepted, range(12))) == 5
    assert Run.objects.count() == 5


async def test_of_twelve_tasks_exactly_as_many_pass_as_may(async_pool: None) -> None:
    tenant = await in_thread(lambda: Tenant.make(rate_limit={"requests_per_minute": 5}))
    session = await in_thread(tenant.session)
    body = CreateRun(input={"message": "hi"})
    outcomes = await asyncio.gather(
        *(create_run(tenant.identity, session, body, new_id()).arun() for _ in range(12)), return_exceptions=True
    )
    assert len([outcome for outcome in outcomes if isinstance(outcome, RateLimited)]) == 7
    accepted = [outcome for outcome in outcomes if isinstance(outcome, dict)]
    assert len(accepted) == 5
    assert [run["ready"] for run in accepted].count(True) == 1


async def test_a_run_that_is_rescued_is_no_new_request(async_pool: None) -> None:
    tenant = await in_thread(lambda: Tenant.make(rate_limit={"requests_per_minute": 1}))
    run = await in_thread(tenant.run)
    worker, successor = [await in_thread(make_worker) for _ in range(2)]
    await claim_with(worker)
    await rescue([worker]).arun()
    assert [row["id"] for row in await claim_with(successor)] == [run]


# -- every door --------------------------------------------------------------------------------------------------------


@pytest.mark.servers
def test_of_twenty_requests_at_once_five_are_accepted(server: Server) -> None:
    sessions = [make_session(server, rate_limit={"requests_per_minute": 5})]
    assistant = server.client.get(f"/sessions/{sessions[0]}").json()["assistant_id"]
    sessions += [server.client.post(f"/assistants/{assistant}/sessions").json()["id"] for _ in range(3)]
    with ThreadPoolExecutor(20) as threads:
        answers = list(
            threads.map(lambda n: server.client.post(f"/sessions/{sessions[n % 4]}/runs", json=HELLO), range(20))
        )
    assert sorted(answer.status_code for answer in answers) == [202] * 5 + [429] * 15
    assert {answer.json()["code"] for answer in answers if answer.status_code == 429} == {"rate_limited"}
    assert all("retry-after" in answer.headers for answer in answers if answer.status_code == 429)
    runs = server.client.get("/runs", params={"assistant_id": assistant}).json()
    assert runs["total"] == 5
    for path in ("/runs/stream", "/runs"):
        refused = server.client.post(path, json={**HELLO, "assistant_id": assistant})
        assert (refused.status_code, refused.json()["code"]) == (429, "rate_limited")
        assert refused.headers["x-ratelimit-limit"] == "5"


@pytest.mark.servers
def test_the_websocket_says_so_and_stays_open(server: Server) -> None:
    session = make_session(server, quota={"runs_per_day": 1})
    with socket_to(server, session) as socket:
        for ref in ("1", "2"):
            tell(socket, action="send", ref=ref, **HELLO)
        refused = next(frame for frame in hear(socket, "2") if frame.get("ref") == "2")
        assert (refused["ok"], refused["error"]["code"]) == (False, "quota_exceeded")
        tell(socket, action="ping", ref="3")
        assert hear(socket, "3")[-1]["ok"]
