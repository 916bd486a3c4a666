"""POST /schedules/{id}/trigger: a run at once."""

from uuid import UUID

from accounts.audit import entries
from assistants.services import archive_assistant
from runs.models import Run
from scheduling.models import Firing, Schedule
from tests.api import HELLO, Api, assert_refused
from tests.scheduling.schedules import make_schedule


def test_it_starts_a_run_whatever_else_there_is(api: Api) -> None:
    webhook = {"url": "https://example.com/hook", "secret_env": None, "events": ["run.failed"]}
    made = make_schedule(api, enabled=False, user_id="ann", metadata={"a": 1}, webhook=webhook)
    answers = [api.post(f"/schedules/{made['id']}/trigger") for _ in range(2)]
    assert [answer.status_code for answer in answers] == [202, 202]
    firing = answers[0].json()
    assert answers[0].headers["Location"] == f"/runs/{firing['run_id']}"
    assert (firing["slot"], firing["outcome"], firing["run_status"]) == (None, "started", "pending")
    run = api.get(f"/runs/{firing['run_id']}").json()
    told = {"schedule_id": made["id"], "user_id": "ann", "metadata": {"a": 1}, "webhook": webhook, **HELLO}
    assert {name: run[name] for name in told} == told
    assert [one["id"] for one in api.items(f"/schedules/{made['id']}/runs")] == [
        answer.json()["id"] for answer in reversed(answers)
    ]
    assert api.get(f"/schedules/{made['id']}").json()["last_run_at"] is not None


def test_it_runs_in_the_schedules_session(api: Api) -> None:
    assistant = api.assistant()
    session = api.session(assistant, user_id="ann")
    made = make_schedule(api, assistant, session_id=session)
    api.post(f"/schedules/{made['id']}/trigger")
    assert [run["schedule_id"] for run in api.items(f"/sessions/{session}/runs")] == [made["id"]]


def test_the_next_slot_stays_where_it_is(api: Api) -> None:
    made = make_schedule(api)
    api.post(f"/schedules/{made['id']}/trigger")
    assert api.get(f"/schedules/{made['id']}").json()["next_run_at"] == made["next_run_at"]


def test_sent_again_it_starts_nothing_again(api: Api) -> None:
    path = f"/schedules/{make_schedule(api)['id']}/trigger"
    first, again = (api.client.post(path, headers={"Idempotency-Key": "x"}) for _ in range(2))
    assert (again.status_code, again.json()) == (202, first.json())
    assert again.headers["Idempotency-Replayed"] == "true"
    assert Run.objects.count() == 1


def test_what_a_run_by_hand_would_be_refused_with_is_answered_and_leaves_nothing(api: Api) -> None:
    made = make_schedule(api)
    archive_assistant(api.identity, UUID(made["assistant_id"]))
    assert_refused(api.post(f"/schedules/{made['id']}/trigger"), 409, "assistant_not_active")
    assert not Firing.objects.exists()
    assert Schedule.objects.get().consecutive_failures == 0


def test_it_is_in_the_audit_trail(api: Api) -> None:
    made = make_schedule(api)
    firing = api.post(f"/schedules/{made['id']}/trigger").json()
    entry = entries(api.identity, subject_id=made["id"]).get(action="triggered")
    assert entry.details["run_id"] == firing["run_id"]
