"""Many users, many assistants, one server: nobody sees, blocks or breaks a neighbour."""

from collections.abc import Callable

import httpx
import pytest

from tests.assistants.acceptance.calls import ECHO, Caller, Document, at_once, path_of, refused, script
from tests.assistants.acceptance.measures import most_at_once
from tests.servers import Server

pytestmark = pytest.mark.servers


# -- users of one assistant (B06) ----------------------------------------------------------------------------------


def test_users_of_one_assistant_have_conversations_of_their_own(caller: Caller, another: Callable[..., Caller]) -> None:
    made = caller.create(llm=ECHO)
    ann, bob = another(user_id="ann"), another(user_id="bob")
    sessions = ann.open(made), bob.open(made)
    secrets = "the rose is red", "the violet is blue"
    runs = at_once(2, lambda n: (ann, bob)[n].run(sessions[n], secrets[n]))
    assert [run["output"]["text"] for run in runs] == list(secrets)
    for user, own, others, run in ((ann, 0, 1, runs[1]), (bob, 1, 0, runs[0])):
        said = [message["content"] for message in user.items(f"/sessions/{sessions[own]}/messages")]
        assert said == [secrets[own]] * 2
        for route in ("", "/messages", "/state", "/checkpoints", "/runs"):
            refused(user.client.get(f"/sessions/{sessions[others]}{route}"), 404, "not_found")
        refused(user.client.get(f"/runs/{run['id']}"), 404, "not_found")
        refused(user.client.get(f"/runs/{run['id']}/stream"), 404, "not_found")
        body = {"input": {"message": "tell me"}}
        refused(user.client.post(f"/sessions/{sessions[others]}/runs", json=body), 404, "not_found")
        assert [item["id"] for item in user.items(f"/assistants/{made['id']}/sessions")] == [sessions[own]]


# -- many assistants (B28, B29, B30, B34) --------------------------------------------------------------------------


def test_assistants_answer_side_by_side_each_with_its_own_voice(server: Server, caller: Caller) -> None:
    voices = [caller.create(system_prompt=f"I am number {n}.") for n in range(4)]
    sessions = [caller.open(made) for made in voices]
    runs = at_once(16, lambda n: caller.run(sessions[n % 4]))
    assert [run["output"]["text"] for run in runs] == [f"I am number {n % 4}." for n in range(16)]
    # One pool of workers, here of one, serves them all.
    assert len({run["worker_id"] for run in runs}) == 1
    assert [run["assistant_id"] for run in runs] == [voices[n % 4]["id"] for n in range(16)]


def test_a_request_goes_to_the_assistant_that_it_names(caller: Caller) -> None:
    one, two = caller.create(system_prompt="one"), caller.create(system_prompt="two")
    for made, said in ((one, "one"), (two, "two")):
        run = caller.post("/runs/wait", {"assistant_id": made["id"], "input": {"message": "go"}})
        assert (run["output"]["text"], run["assistant_id"]) == (said, made["id"])


@pytest.mark.parametrize("named", [{}, {"assistant_id": None}, {"assistant_id": "x"}, {"assistant_id": 5}])
def test_a_run_that_names_no_assistant_is_refused(caller: Caller, named: Document) -> None:
    answer = caller.client.post("/runs", json={"input": {"message": "go"}, **named})
    refused(answer, 422, "invalid", "assistant_id")


def test_a_session_belongs_to_its_assistant_alone(caller: Caller) -> None:
    one, two = caller.create(), caller.create()
    sessions = caller.open(one), caller.open(two)
    for made, session in ((one, sessions[0]), (two, sessions[1])):
        assert [item["id"] for item in caller.items(made["endpoint"])] == [session]
        assert [item["id"] for item in caller.items("/sessions", assistant_id=made["id"])] == [session]
    caller.patch(path_of(two), {"max_steps": 3})
    moved = caller.client.patch(f"/sessions/{sessions[0]}", json={"assistant_version": 2})
    refused(moved, 422, "invalid", "assistant_version")


# -- one assistant's fault (B38) -----------------------------------------------------------------------------------


def test_a_broken_assistant_harms_no_other(server: Server, caller: Caller) -> None:
    workers = server.pids("worker")
    once = {"retry_policy": {"max_attempts": 1}}
    unreachable = {"provider": "openai", "model": "m", "base_url": "http://127.0.0.1:1/v1"}
    broken = [
        caller.create(llm=unreachable, **once),
        caller.create(llm=script({"error": {"status": 500}}), **once),
        caller.create(llm=script({"tool_calls": [{"name": "calculator", "args": {}}]}), max_steps=2, **once),
    ]
    healthy = caller.create(llm=ECHO)
    sessions = [caller.open(made) for made in broken]
    good = [caller.open(healthy) for _ in range(4)]
    failing = [caller.start(session) for session in sessions * 4]
    answers = at_once(4, lambda n: caller.answer(good[n], f"still here {n}"))
    assert answers == [f"still here {n}" for n in range(4)]
    ends = [caller.ended(run) for run in failing]
    assert {run["status"] for run in ends} == {"error"}
    codes = ["model_unreachable", "model_server_error", "max_steps_exceeded"] * 4
    assert [run["error"]["code"] for run in ends] == codes
    assert server.pids("worker") == workers
    assert caller.answer(good[0], "as ever") == "as ever"


# -- how many at once (B31) ----------------------------------------------------------------------------------------


def test_an_assistant_runs_no_more_at_once_than_it_may(caller: Caller) -> None:
    slow = script({"text": "a b c", "delay_ms": 60})
    capped = caller.create(llm=slow, max_concurrent_runs=2)
    free = caller.create(llm=slow)
    waiting = [caller.start(caller.open(capped)) for _ in range(6)]
    other = caller.run(caller.open(free))
    runs = [caller.ended(run) for run in waiting]
    assert {run["status"] for run in runs} == {"success"}
    assert most_at_once(runs) == 2
    # Had it queued behind them it would have been the last.
    assert other["finished_at"] < max(run["finished_at"] for run in runs)


def test_the_cap_is_the_current_versions(caller: Caller) -> None:
    made = caller.create(llm=script({"text": "a b c", "delay_ms": 60}), max_concurrent_runs=1)
    sessions = [caller.open(made) for _ in range(4)]
    caller.patch(path_of(made), {"max_concurrent_runs": None})
    runs = [caller.ended(run) for run in [caller.start(session) for session in sessions]]
    assert most_at_once(runs) > 1


# -- how many a minute and a day (B37) -----------------------------------------------------------------------------


def ask(caller: Caller, session: str) -> httpx.Response:
    return caller.client.post(f"/sessions/{session}/runs", json={"input": {"message": "go"}})


def assert_limited(answer: httpx.Response, code: str, allowed: int, within_s: int) -> None:
    refused(answer, 429, code)
    wait = int(answer.headers["retry-after"])
    assert 0 < wait <= within_s
    assert int(answer.headers["x-ratelimit-limit"]) == allowed
    assert int(answer.headers["x-ratelimit-remaining"]) == 0
    assert int(answer.headers["x-ratelimit-reset"]) == wait


@pytest.mark.parametrize(
    ("limits", "code", "within_s"),
    [
        ({"rate_limit": {"requests_per_minute": 3}}, "rate_limited", 60),
        ({"quota": {"runs_per_day": 3}}, "quota_exceeded", 86_400),
    ],
)
def test_an_assistant_at_its_limit_refuses_and_its_neighbour_does_not(
    caller: Caller, limits: Document, code: str, within_s: int
) -> None:
    limited, neighbour = caller.create(llm=ECHO, **limits), caller.create(llm=ECHO, **limits)
    session, other = caller.open(limited), caller.open(neighbour)
    assert [ask(caller, session).status_code for _ in range(3)] == [202] * 3
    for _ in range(3):
        assert_limited(ask(caller, session), code, 3, within_s)
    body = {"input": {"message": "go"}}
    assert_limited(caller.client.post(f"/sessions/{session}/runs/wait", json=body), code, 3, within_s)
    assert_limited(caller.client.post(f"/sessions/{session}/runs/stream", json=body), code, 3, within_s)
    stateless = caller.client.post("/runs", json={**body, "assistant_id": limited["id"]})
    assert_limited(stateless, code, 3, within_s)
    # A new session is no way around it, and what was refused has left nothing.
    assert_limited(ask(caller, caller.open(limited)), code, 3, within_s)
    assert caller.get(f"/sessions/{session}/runs")["total"] == 3
    assert caller.get("/runs", assistant_id=limited["id"])["total"] == 3
    assert len(caller.items(limited["endpoint"])) == 2
    assert ask(caller, other).status_code == 202


def test_tokens_of_a_day_run_out(caller: Caller) -> None:
    turn = {"text": "expensive", "usage": {"input_tokens": 60, "output_tokens": 40}}
    limited = caller.create(llm=script(turn), quota={"tokens_per_day": 150})
    session = caller.open(limited)
    # What a run will use is not known before: the one that goes over the quota is the last.
    assert [caller.run(session)["status"] for _ in range(2)] == ["success"] * 2
    assert_limited(ask(caller, session), "quota_exceeded", 150, 86_400)


def test_of_many_at_once_no_more_than_the_limit_get_in(caller: Caller) -> None:
    made = caller.create(llm=ECHO, rate_limit={"requests_per_minute": 5})
    sessions = [caller.open(made) for _ in range(12)]
    answers = at_once(12, lambda n: ask(caller, sessions[n]).status_code)
    assert sorted(answers) == [202] * 5 + [429] * 7


def test_a_limit_may_be_lifted(caller: Caller) -> None:
    made = caller.create(llm=ECHO, quota={"runs_per_day": 1})
    session = caller.open(made)
    assert [ask(caller, session).status_code for _ in range(2)] == [202, 429]
    caller.patch(path_of(made), {"quota": None})
    # The limits are the current version's, also for a session of an older one.
    assert caller.get(f"/sessions/{session}")["assistant_version"] == 1
    assert ask(caller, session).status_code == 202


def test_reading_is_not_limited(caller: Caller) -> None:
    made = caller.create(llm=ECHO, rate_limit={"requests_per_minute": 1})
    session = caller.open(made)
    run = caller.run(session)
    for _ in range(3):
        assert caller.get(f"/runs/{run['id']}")["status"] == "success"
        caller.open(made)
