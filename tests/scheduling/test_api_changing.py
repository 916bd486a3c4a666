"""PATCH, pause, resume and DELETE: when they take effect, and what they leave as it is."""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db.models import F

from accounts.audit import entries
from assistants.services import tag_version
from core.clock import ClockTimestamp, isoformat
from core.db import Operation, operation
from runs.models import Run
from scheduling.models import Firing, Outcome, Schedule
from sessions.models import Session
from tests.api import UNKNOWN, Api, assert_refused
from tests.scheduling.schedules import make_schedule
from webhooks.alerts import raise_alert
from webhooks.kinds import Kind
from webhooks.models import Alert

FAR = "9000-01-01T00:00:00.000000Z"
YEARLY = {"cron": "0 0 1 1 *"}


def changed(api: Api, schedule: Any, **fields: Any) -> Any:
    answer = api.patch(f"/schedules/{schedule['id']}", fields)
    assert answer.status_code == 200, answer.content
    return answer.json()


def refused(api: Api, schedule: Any, *loc: str, **fields: Any) -> None:
    before = api.get(f"/schedules/{schedule['id']}").json()
    assert_refused(api.patch(f"/schedules/{schedule['id']}", fields), 422, "invalid", *loc)
    assert api.get(f"/schedules/{schedule['id']}").json() == before


def make_late(**by: float) -> None:
    """As if the present slot had come some time ago, and nobody had looked."""
    moment = ClockTimestamp() - timedelta(**by)
    Schedule.objects.update(next_slot=moment, next_run_at=moment)


def test_a_new_name_leaves_the_next_run_where_it_is(api: Api) -> None:
    made = make_schedule(api)
    make_late(seconds=5)
    waiting = api.get(f"/schedules/{made['id']}").json()["next_run_at"]
    after = changed(api, made, name="Other", metadata={"a": 1}, misfire="all", cron=made["cron"])
    assert (after["name"], after["misfire"], after["next_run_at"]) == ("Other", "all", waiting)
    assert after["updated_at"] > made["updated_at"]


def test_a_new_rule_takes_the_place_of_the_other_and_counts_from_now(api: Api) -> None:
    made = make_schedule(api)
    make_late(hours=5)
    after = changed(api, made, interval_s=600)
    assert (after["cron"], after["interval_s"], after["late"]) == (None, 600, False)
    changed_at = datetime.fromisoformat(after["updated_at"])
    assert after["next_run_at"] == isoformat(changed_at + timedelta(minutes=10))
    again = changed(api, made, at=FAR, interval_s=None)
    assert (again["at"], again["interval_s"], again["next_run_at"]) == (FAR, None, FAR)
    assert Schedule.objects.get().anchor is None


def test_a_new_zone_counts_from_now_too(api: Api) -> None:
    made = make_schedule(api, cron="0 9 * * *")
    after = changed(api, made, timezone="Asia/Tokyo")
    assert (made["next_run_at"][11:13], after["next_run_at"][11:13]) == ("09", "00")


def test_what_would_never_run_is_refused(api: Api) -> None:
    made = make_schedule(api, **YEARLY)
    refused(api, made, "at", at="2020-01-01T00:00:00Z")
    refused(api, made, "end_time", end_time="2020-01-01T00:00:00Z")
    refused(api, made, "cron", cron="0 0 31 2 *")
    refused(api, made, cron=None)
    refused(api, made, cron="* * * * *", interval_s=60)
    refused(api, made, "max_active_runs", max_active_runs=2)
    refused(api, made, "end_time", at=FAR, end_time="8999-12-31T23:59:59Z")
    refused(api, made, "name", name=None)
    refused(api, made, "id", id=UNKNOWN)


def test_an_end_may_be_taken_away(api: Api) -> None:
    made = make_schedule(api, end_time=FAR)
    assert changed(api, made, end_time=None)["end_time"] is None


def test_metadata_is_merged_and_stays_bounded(api: Api) -> None:
    made = make_schedule(api, metadata={"a": "x" * 40_000})
    assert set(changed(api, made, metadata={"b": 1})["metadata"]) == {"a", "b"}
    refused(api, made, "metadata", metadata={"c": "x" * 40_000})


def test_a_version_takes_a_tags_place_and_a_session_both(api: Api) -> None:
    assistant = api.assistant()
    tag_version(api.identity, UUID(assistant), 1, "stable")
    made, session = make_schedule(api, assistant, tag="stable"), api.session(assistant, user_id="ann")
    after = changed(api, made, version=1)
    assert (after["version"], after["tag"]) == (1, None)
    after = changed(api, made, session_id=session)
    assert (after["session_id"], after["version"], after["user_id"]) == (session, None, "ann")
    refused(api, made, "version", version=1)
    refused(api, made, "user_id", user_id="bob")
    after = changed(api, made, session_id=None, tag="stable", user_id="bob")
    assert (after["session_id"], after["tag"], after["user_id"]) == (None, "stable", "bob")
    refused(api, made, "version", version=9)


def test_a_new_input_must_be_what_the_assistant_takes(api: Api) -> None:
    made = make_schedule(api)
    refused(api, made, "input", input="Hello")
    assert changed(api, made, input={"message": "New"})["input"] == {"message": "New"}


def test_what_is_not_touched_is_not_checked_again(api: Api) -> None:
    assistant = api.assistant()
    session = api.session(assistant)
    made = make_schedule(api, assistant, session_id=session)
    Session.objects.filter(id=session).update(status="closed")
    assert changed(api, made, name="Other")["name"] == "Other"
    answer = api.patch(f"/schedules/{made['id']}", {"input": {"message": "New"}})
    assert_refused(answer, 409, "session_closed")


def test_a_pause_ends_the_waiting_and_a_resume_counts_from_now(api: Api) -> None:
    made = make_schedule(api)
    make_late(hours=5)
    path = f"/schedules/{made['id']}"
    assert api.get(path).json()["late"]
    paused = api.post(f"{path}/pause").json()
    assert (paused["enabled"], paused["next_run_at"], paused["late"]) == (False, None, False)
    resumed = api.post(f"{path}/resume").json()
    assert (resumed["enabled"], resumed["late"]) == (True, False)
    assert resumed["next_run_at"] > paused["updated_at"]


def test_again_they_have_no_effect(api: Api) -> None:
    made = make_schedule(api)
    make_late(seconds=5)
    path = f"/schedules/{made['id']}"
    waiting = api.get(path).json()
    assert api.post(f"{path}/resume").json() == waiting
    paused = api.post(f"{path}/pause").json()
    assert api.post(f"{path}/pause").json() == paused


def test_enabled_does_the_same(api: Api) -> None:
    made = make_schedule(api)
    assert changed(api, made, enabled=False)["next_run_at"] is None
    assert changed(api, made, cron="0 0 1 1 *")["next_run_at"] is None
    assert changed(api, made, enabled=True)["next_run_at"][5:10] == "01-01"


def test_one_whose_time_has_passed_is_not_resumed(api: Api) -> None:
    made = make_schedule(api, cron=None, at=FAR, enabled=False)
    Schedule.objects.update(at=ClockTimestamp() - timedelta(hours=1))
    assert_refused(api.post(f"/schedules/{made['id']}/resume"), 409, "conflict")
    assert changed(api, made, at=FAR, enabled=True)["next_run_at"] == FAR


def test_a_deleted_one_is_gone_with_its_history_and_its_runs_stay(api: Api) -> None:
    made, run = make_schedule(api), api.run()
    Run.objects.filter(id=run).update(schedule_id=made["id"])
    Firing.objects.create(schedule_id=UUID(made["id"]), outcome=Outcome.STARTED, run_id=run)
    assert api.delete(f"/schedules/{made['id']}").status_code == 204
    assert_refused(api.get(f"/schedules/{made['id']}"), 404, "not_found")
    assert not Firing.objects.exists()
    assert [one["id"] for one in api.items("/runs", schedule_id=made["id"])] == [run]


def test_nobody_is_alarmed_any_longer_by_one_that_is_deleted(api: Api) -> None:
    made = make_schedule(api)

    @operation(atomic=True)
    def fail() -> Operation[bool]:
        return (yield from raise_alert(api.workspace.id, Kind.SCHEDULE_FAILED, made["id"], "It failed.", {}))

    fail().run()
    api.delete(f"/schedules/{made['id']}")
    assert Alert.objects.get().resolved_at is not None


def test_each_act_is_in_the_audit_trail(api: Api) -> None:
    made = make_schedule(api)
    path = f"/schedules/{made['id']}"
    changed(api, made, name="Other", timezone="UTC")
    changed(api, made, name="Other")
    for act in ("pause", "pause", "resume"):
        api.post(f"{path}/{act}")
    api.delete(path)
    trail = entries(api.identity, subject_id=made["id"]).order_by("created_at").annotate(what=F("action"))
    assert [entry.action for entry in trail] == ["created", "updated", "paused", "resumed", "deleted"]
    assert trail[1].details == {"changed": ["name"]}
