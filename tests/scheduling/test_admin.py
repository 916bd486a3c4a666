"""Schedules in the admin: the list, the form, and the page of one."""

from datetime import timedelta
from typing import Any

import pytest
from django.db.models import F
from django.test import Client
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from accounts.models import AuditEntry, Role
from runs.models import Run
from scheduling.models import Firing, Schedule
from tests.api import Api
from tests.scheduling.schedules import make_schedule
from tests.staff import act, act_on, list_of, page_of, staff

FORM = {
    "name": "Daily report",
    "cron": "0 9 * * MON-FRI",
    "timezone": "Europe/Berlin",
    "input": '{"message": "Report"}',
    "enabled": "on",
    "skip_if_running": "on",
    "max_active_runs": "1",
    "misfire": "once",
    "jitter_s": "0",
    "alert_after": "1",
}


@pytest.fixture
def editor(api: Api) -> Client:
    return staff(Role.EDITOR, api.workspace)


@pytest.fixture
def hourly(api: Api) -> Schedule:
    return Schedule.objects.get(pk=make_schedule(api)["id"])


def fired(schedule: Schedule, outcome: str, hours_ago: int = 1, **fields: Any) -> Firing:
    """What became of a slot."""
    slot = timezone.now() - timedelta(hours=hours_ago)
    return Firing.objects.create(schedule=schedule, slot=slot, outcome=outcome, **fields)


def overdue(schedule: Schedule, minutes: int) -> None:
    Schedule.objects.filter(pk=schedule.pk).update(next_run_at=timezone.now() - timedelta(minutes=minutes))


def form_of(client: Client, schedule: Schedule) -> dict[str, Any]:
    """The form on the schedule's page as a browser would send it back."""
    form = client.get(page_of(schedule)).context["adminform"].form
    shown = {name: form[name].value() for name in form.fields}
    return {name: value for name, value in shown.items() if value is not None and value is not False}


# -- the list ----------------------------------------------------------------------------------------------------------


def test_the_list_says_what_runs_when_and_how_it_went(hourly: Schedule, editor: Client) -> None:
    fired(hourly, "started", run_status="success")
    fired(hourly, "skipped", 2, reason="The run before it had not ended.")
    Schedule.objects.update(last_run_at=timezone.now(), last_status="timeout")
    page = editor.get(list_of(Schedule)).text
    assert "0 * * * *" in page
    assert "live" in page
    assert "timeout" in page
    assert 'aria-label="1 success, 1 skipped"' in page
    assert "skipped, The run before it had not ended." in page


@pytest.mark.parametrize(
    ("fields", "state"),
    [
        ({}, "on"),
        ({"enabled": False}, "paused"),
        ({"next_run_at": None}, "ended"),
        ({"next_run_at": F("created_at") - timedelta(minutes=6, seconds=10)}, "late by 6 min"),
    ],
)
def test_the_list_says_the_state_and_filters_by_it(hourly: Schedule, editor: Client, fields: Any, state: str) -> None:
    Schedule.objects.update(**fields)
    name = state.split()[0]
    page = editor.get(list_of(Schedule), {"state": name})
    assert len(page.context["cl"].result_list) == 1
    assert state in page.text
    others = {"on", "paused", "ended", "late"} - {name} - ({"on"} if name == "late" else set())
    for other in others:
        assert not editor.get(list_of(Schedule), {"state": other}).context["cl"].result_list, other


def test_the_list_is_searched_by_name_and_the_next_run_comes_first(api: Api, editor: Client) -> None:
    for name, cron in (("Yearly", "0 0 1 1 *"), ("Minutely", "* * * * *")):
        make_schedule(api, name=name, cron=cron)
    assert [row.name for row in editor.get(list_of(Schedule)).context["cl"].result_list] == ["Minutely", "Yearly"]
    assert [row.name for row in editor.get(list_of(Schedule), {"q": "year"}).context["cl"].result_list] == ["Yearly"]


def test_a_list_takes_as_many_statements_for_many_rows(
    api: Api, editor: Client, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    for number in range(6):
        schedule = Schedule.objects.get(pk=make_schedule(api, name=f"s{number}")["id"])
        for hours in range(3):
            fired(schedule, "missed", hours)
    for model in (Schedule, Firing):
        with django_assert_max_num_queries(11):
            page = editor.get(list_of(model))
        assert len(page.context["cl"].result_list) >= 6


# -- the form ----------------------------------------------------------------------------------------------------------


def add(client: Client, api: Api, **fields: Any) -> Any:
    form = {**FORM, "assistant": api.assistant(), **fields}
    return client.post(f"{list_of(Schedule)}add/", {name: value for name, value in form.items() if value is not None})


def test_a_schedule_is_added_by_the_service(api: Api, editor: Client) -> None:
    assert add(editor, api, tag="", at_0="", at_1="").status_code == 302
    made = Schedule.objects.get()
    assert (made.name, made.cron, made.timezone, made.input) == (*list(FORM.values())[:3], {"message": "Report"})
    assert made.next_run_at is not None
    assert AuditEntry.objects.get(subject_id=made.pk).action == "created"


def test_a_moment_and_an_interval_say_when_too(api: Api, editor: Client) -> None:
    assert add(editor, api, cron="", interval_s="90", session_id=None, max_active_runs="2", skip_if_running=None)
    assert add(editor, api, cron="", at_0="2100-01-01", at_1="12:00:00").status_code == 302
    once, often = Schedule.objects.order_by("interval_s")[::-1]
    assert str(once.at) == "2100-01-01 12:00:00+00:00"
    assert (often.interval_s, often.max_active_runs, often.skip_if_running) == (90, 2, False)


@pytest.mark.parametrize(
    ("fields", "field", "reason"),
    [
        ({"cron": "0 0 30 2 *"}, "cron", ""),
        ({"cron": "61 * * * *"}, "cron", ""),
        ({"timezone": "Mars/Olympus"}, "timezone", "IANA"),
        ({"cron": "", "interval_s": "5"}, "interval_s", "60"),
        ({"cron": "", "at_0": "2001-01-01", "at_1": "00:00"}, "at", "future"),
        ({"interval_s": "90"}, "__all__", "Exactly one"),
        ({"cron": ""}, "__all__", "Exactly one"),
        ({"input": '{"message": 1, "message": 2}'}, "input", "twice"),
        ({"input": "[" * 100_000}, "input", ""),
        ({"tag": "nowhere"}, "tag", "nowhere"),
        ({"max_active_runs": "2"}, "max_active_runs", ""),
        ({"session_id": "01a1b2c3-d4e5-7f60-8abc-0123456789ab"}, "session_id", "no such session"),
    ],
)
def test_what_cannot_be_stands_beside_its_field(api: Api, editor: Client, fields: Any, field: str, reason: str) -> None:
    page = add(editor, api, **fields)
    assert page.status_code == 200
    assert reason in " ".join(page.context["adminform"].form.errors[field])
    assert not Schedule.objects.exists()


def test_an_assistant_that_is_none_is_refused(api: Api, editor: Client) -> None:
    page = add(editor, api, assistant="x" * 50)
    assert "assistant" in page.context["adminform"].form.errors


def test_a_change_leaves_what_was_not_changed(hourly: Schedule, editor: Client) -> None:
    form = {**form_of(editor, hourly), "name": "Other"}
    assert editor.post(page_of(hourly), form).status_code == 302
    changed = Schedule.objects.get()
    assert (changed.name, changed.next_run_at) == ("Other", hourly.next_run_at)
    assert AuditEntry.objects.filter(subject_id=hourly.pk).latest("id").details == {"changed": ["name"]}


def test_one_rule_takes_the_others_place(hourly: Schedule, editor: Client) -> None:
    form = {**form_of(editor, hourly), "cron": "", "interval_s": "3600"}
    assert editor.post(page_of(hourly), form).status_code == 302
    changed = Schedule.objects.get()
    assert (changed.cron, changed.interval_s) == (None, 3600)


def test_a_change_that_cannot_be_changes_nothing_and_keeps_what_was_typed(hourly: Schedule, editor: Client) -> None:
    page = editor.post(page_of(hourly), {**form_of(editor, hourly), "name": "Other", "cron": "0 0 31 4 *"})
    assert page.status_code == 200
    assert page.context["adminform"].form["name"].value() == "Other"
    assert Schedule.objects.get().name == hourly.name


def test_a_schedule_is_added_where_one_may(api: Api, stranger: Api) -> None:
    client = staff(Role.EDITOR, api.workspace)
    page = add(client, stranger)
    assert "assistant" in page.context["adminform"].form.errors
    operator = staff(Role.OPERATOR, api.workspace)
    assert operator.get(f"{list_of(Schedule)}add/").status_code == 403
    assert not Schedule.objects.exists()


# -- the page of one ---------------------------------------------------------------------------------------------------


def test_the_page_shows_the_next_times_on_both_clocks(api: Api, editor: Client) -> None:
    made = make_schedule(api, cron="0 9 1 7 *", timezone="Asia/Tokyo")
    page = editor.get(page_of(Schedule.objects.get(pk=made["id"]))).text
    assert page.count("07-01 09:00:00 JST") == 10
    assert page.count("07-01 00:00:00") >= 10


def test_the_page_has_the_history_with_its_runs_and_who_changed_it(api: Api, hourly: Schedule, editor: Client) -> None:
    run = api.run()
    fired(hourly, "started", run_id=run)
    fired(hourly, "failed", 2, reason="The assistant is archived.")
    act(editor, hourly, "pause")
    page = editor.get(page_of(hourly)).text
    assert f"/admin/runs/run/{run}/change/" in page
    assert "The assistant is archived." in page
    assert "paused" in page
    assert "user:staff" in page


def test_an_operator_reads_the_page_and_has_no_buttons(hourly: Schedule, api: Api) -> None:
    operator = staff(Role.OPERATOR, api.workspace)
    page = operator.get(page_of(hourly))
    assert page.status_code == 200
    assert "/act/" not in page.text
    assert act_on(operator, "pause", hourly)
    assert Schedule.objects.get().enabled


def test_its_buttons_pause_resume_and_run(hourly: Schedule, editor: Client) -> None:
    act(editor, hourly, "pause")
    assert not Schedule.objects.get().enabled
    act(editor, hourly, "resume")
    assert Schedule.objects.get().next_run_at == hourly.next_run_at
    assert "a run is started" in act(editor, hourly, "trigger")
    assert Run.objects.get().schedule_id == hourly.pk
    assert Firing.objects.get().slot is None


def test_what_cannot_be_run_says_why(api: Api, hourly: Schedule, editor: Client) -> None:
    api.delete(f"/assistants/{hourly.assistant_id}")
    assert "archived" in act_on(editor, "trigger", hourly)
    assert not Run.objects.exists()


def test_a_schedule_is_deleted_by_the_service(hourly: Schedule, editor: Client) -> None:
    fired(hourly, "missed")
    editor.post(f"{list_of(Schedule)}{hourly.pk}/delete/", {"post": "yes"})
    assert not Schedule.objects.exists()
    assert not Firing.objects.exists()
    assert AuditEntry.objects.filter(subject_id=hourly.pk).latest("id").action == "deleted"


def test_the_history_goes_on_in_a_list_of_its_own(hourly: Schedule, api: Api, editor: Client) -> None:
    other = Schedule.objects.get(pk=make_schedule(api)["id"])
    mine = fired(hourly, "missed")
    fired(other, "missed")
    page = editor.get(list_of(Firing), {"q": str(hourly.pk)})
    assert [row.pk for row in page.context["cl"].result_list] == [mine.pk]
    assert editor.get(page_of(mine)).status_code == 200
