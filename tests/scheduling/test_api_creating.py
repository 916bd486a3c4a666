"""POST /assistants/{id}/schedules: what is taken, what is refused and with which reason."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from accounts.audit import entries
from accounts.models import IdempotencyKey
from assistants.services import archive_assistant, tag_version
from core.clock import ClockTimestamp, isoformat
from scheduling.models import Schedule
from sessions.models import Session
from tests.api import HELLO, UNKNOWN, Api, assert_refused
from tests.scheduling.schedules import HOURLY, make_schedule

FAR = "9000-01-01T00:00:00.000000Z"


def refused(api: Api, *loc: str, to: str = "", **fields: Any) -> str:
    """That the schedule is refused there; gives the reason."""
    body = {name: value for name, value in {**HOURLY, **fields}.items() if value is not ...}
    answer = api.post(f"/assistants/{to or api.assistant()}/schedules", body)
    assert_refused(answer, 422, "invalid", *loc)
    assert not Schedule.objects.exists()
    return str(answer.json()["errors"][0]["message"])


def test_a_new_schedule_is_told_whole(api: Api) -> None:
    assistant = api.assistant()
    answer = api.post(f"/assistants/{assistant}/schedules", HOURLY)
    made = answer.json()
    assert (answer.status_code, answer.headers["Location"]) == (201, f"/schedules/{made['id']}")
    changing = {
        name: made.pop(name) for name in ("id", "next_run_at", "created_at", "updated_at", "created_by", "in_words")
    }
    assert all(changing.values())
    assert made == {
        **HOURLY,
        "assistant_id": assistant,
        "interval_s": None,
        "at": None,
        "timezone": "UTC",
        "session_id": None,
        "user_id": None,
        "version": None,
        "tag": None,
        "enabled": True,
        "skip_if_running": True,
        "max_active_runs": 1,
        "end_time": None,
        "misfire": "once",
        "jitter_s": 0,
        "alert_after": 1,
        "webhook": None,
        "metadata": {},
        "late": False,
        "last_run_at": None,
        "last_status": None,
        "consecutive_failures": 0,
    }
    assert api.get(f"/schedules/{changing['id']}").json() == {**made, **changing}


def test_an_interval_counts_from_its_creation(api: Api) -> None:
    made = make_schedule(api, cron=None, interval_s=3_600)
    row = Schedule.objects.get()
    assert row.anchor is not None
    assert made["next_run_at"] == isoformat(row.anchor + timedelta(hours=1))


def test_a_moment_may_have_any_offset(api: Api) -> None:
    made = make_schedule(api, cron=None, at="2999-01-01T09:00:00+09:00", timezone="Asia/Tokyo")
    assert made["at"] == made["next_run_at"] == "2999-01-01T00:00:00.000000Z"
    assert "Asia/Tokyo" in made["in_words"]


def test_the_jitter_is_part_of_the_next_run(api: Api) -> None:
    made = make_schedule(api, cron=None, at=FAR, jitter_s=3_600)
    row = Schedule.objects.get()
    assert row.next_slot == datetime(9000, 1, 1, tzinfo=UTC)
    assert FAR < made["next_run_at"] < "9000-01-01T01:00:00.000000Z"


def test_a_paused_one_has_no_next_run(api: Api) -> None:
    assert make_schedule(api, enabled=False)["next_run_at"] is None


def test_a_version_or_a_tag_is_run(api: Api) -> None:
    assistant = api.assistant()
    tag_version(api.identity, UUID(assistant), 1, "stable")
    assert make_schedule(api, assistant, version=1)["version"] == 1
    assert make_schedule(api, assistant, tag="stable")["tag"] == "stable"


def test_its_webhook_is_a_runs_own(api: Api) -> None:
    webhook = {"url": "https://example.com/hook", "secret_env": None, "events": ["run.failed"]}
    made = make_schedule(api, webhook=webhook)
    assert made["webhook"] == webhook
    assert api.patch(f"/schedules/{made['id']}", {"webhook": None}).json()["webhook"] is None


def test_one_of_a_session_belongs_to_the_sessions_user(api: Api) -> None:
    assistant = api.assistant()
    session = api.session(assistant, user_id="ann")
    made = make_schedule(api, assistant, session_id=session)
    assert (made["session_id"], made["user_id"]) == (session, "ann")


def test_there_is_exactly_one_rule(api: Api) -> None:
    assistant = api.assistant()
    for rule in (
        {"cron": None},
        {"cron": ...},
        {"interval_s": 60},
        {"at": FAR},
        {"cron": None, "interval_s": 60, "at": FAR},
    ):
        assert refused(api, to=assistant, **rule) == "give exactly one of cron, interval_s and at."


# What is wrong, and a part of the reason.
NEVER_RUNS: list[tuple[str, dict[str, Any], str]] = [
    ("cron", {"cron": "61 * * * *"}, "minute"),
    ("cron", {"cron": "0 0 30 2 *"}, "never"),
    ("cron", {"cron": "* * * * * *"}, "five fields"),
    ("timezone", {"timezone": "Mars/Olympus"}, "IANA"),
    ("interval_s", {"cron": None, "interval_s": 59}, "60"),
    ("at", {"cron": None, "at": "2020-01-01T00:00:00Z"}, "future"),
    ("at", {"cron": None, "at": "2999-01-01T00:00:00"}, "timezone"),
    ("end_time", {"end_time": "2020-01-01T00:00:00Z"}, "future"),
    ("end_time", {"end_time": "2999-01-01T00:00:00"}, "timezone"),
    ("end_time", {"cron": None, "at": FAR, "end_time": "8999-12-31T23:59:59Z"}, f"first slot is {FAR}"),
    ("max_active_runs", {"max_active_runs": 2}, "skip_if_running"),
    ("input", {"input": "Hello"}, "JSON object"),
    ("input", {"input": {"message": "x" * 65_536}}, "65536 bytes"),
    ("input", {"input": ...}, "required"),
    ("webhook.url", {"webhook": "http://127.0.0.1/"}, "internal"),
    ("version", {"version": 9}, "no version 9"),
    ("tag", {"tag": "stable"}, "no tag 'stable'"),
    ("session_id", {"session_id": UNKNOWN}, "no such session"),
]


def test_what_could_not_run_is_refused_with_the_reason(api: Api) -> None:
    assistant = api.assistant()
    for place, fields, reason in NEVER_RUNS:
        assert reason in refused(api, *place.split("."), to=assistant, **fields)


def test_several_runs_at_once_are_for_who_skips_none(api: Api) -> None:
    assert make_schedule(api, skip_if_running=False, max_active_runs=5)["max_active_runs"] == 5


def test_a_session_has_its_version_and_its_user(api: Api) -> None:
    assistant = api.assistant()
    for also in ({"version": 1}, {"tag": "stable"}, {"user_id": "ann"}):
        assert "the session's" in refused(api, to=assistant, session_id=UNKNOWN, **also)


def test_the_input_is_what_the_chosen_version_takes(api: Api) -> None:
    assistant = api.assistant(input_schema={"type": "object", "required": ["topic"]})
    assert refused(api, "input", to=assistant)
    assert make_schedule(api, assistant, input={"topic": "news"})["input"] == {"topic": "news"}


def test_a_session_of_another_assistant_is_unknown(api: Api) -> None:
    refused(api, "session_id", session_id=api.session())


def test_a_sub_agents_session_is_unknown_too(api: Api) -> None:
    assistant = api.assistant()
    session, child = api.session(assistant), api.session(assistant)
    Session.objects.filter(id=child).update(parent_id=session)
    refused(api, "session_id", to=assistant, session_id=child)


def test_a_closed_session_takes_no_schedule(api: Api) -> None:
    assistant = api.assistant()
    session = api.session(assistant)
    for ended in ({"status": "closed"}, {"status": "active", "expires_at": ClockTimestamp()}):
        Session.objects.filter(id=session).update(**ended)
        answer = api.post(f"/assistants/{assistant}/schedules", {**HOURLY, "session_id": session})
        assert_refused(answer, 409, "session_closed")


def test_an_archived_assistant_takes_no_schedule(api: Api) -> None:
    assistant = api.assistant()
    archive_assistant(api.identity, UUID(assistant))
    assert_refused(api.post(f"/assistants/{assistant}/schedules", HOURLY), 409, "assistant_not_active")


def test_a_workspace_may_have_so_many(api: Api, settings: Any) -> None:
    settings.MAX_SCHEDULES = 1
    assistant = api.assistant()
    make_schedule(api, assistant)
    answer = api.post(f"/assistants/{assistant}/schedules", HOURLY)
    assert_refused(answer, 409, "conflict")
    assert "AGENT_SERVER_MAX_SCHEDULES" in answer.json()["detail"]


def test_a_request_that_is_sent_again_makes_no_other(api: Api) -> None:
    path, headers = f"/assistants/{api.assistant()}/schedules", {"Idempotency-Key": "x"}
    first, again = (api.client.post(path, HOURLY, format="json", headers=headers) for _ in range(2))
    assert (again.status_code, again.json(), again.headers["Idempotency-Replayed"]) == (201, first.json(), "true")
    other = api.client.post(path, {**HOURLY, "name": "Other"}, format="json", headers=headers)
    assert_refused(other, 409, "idempotency_mismatch")
    assert Schedule.objects.count() == 1


def test_what_is_refused_leaves_no_key_behind(api: Api) -> None:
    body, headers = {**HELLO, "name": "x", "cron": "bad"}, {"Idempotency-Key": "x"}
    api.client.post(f"/assistants/{api.assistant()}/schedules", body, format="json", headers=headers)
    assert not IdempotencyKey.objects.exists()


def test_it_is_in_the_audit_trail(api: Api) -> None:
    made = make_schedule(api)
    entry = entries(api.identity).get(subject_type="schedule")
    assert (entry.action, str(entry.subject_id), entry.details["name"]) == ("created", made["id"], "Hourly")
