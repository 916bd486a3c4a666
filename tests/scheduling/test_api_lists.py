"""Lists of schedules and firings, the preview of what comes: filters, pages, and what they cost."""

from datetime import timedelta
from uuid import UUID

import pytest
from pytest_django import DjangoAssertNumQueries

from core.clock import ClockTimestamp
from core.ids import new_id
from runs.models import Run
from scheduling.models import Firing, Outcome, Schedule
from tests.api import UNKNOWN, Api, assert_refused
from tests.scheduling.schedules import make_schedule

FAR = "9000-01-01T00:00:00Z"


def test_the_newest_comes_first_and_what_runs_next_may(api: Api) -> None:
    assistant = api.assistant()
    late, never, soon = (
        make_schedule(api, assistant, **rule)["id"]
        for rule in ({"cron": None, "at": FAR}, {"enabled": False}, {"cron": "* * * * *"})
    )
    assert [one["id"] for one in api.items("/schedules")] == [soon, never, late]
    for limit in (1, 100):
        found, query = [], {"ordering": "next_run_at", "limit": limit}
        while query:
            page = api.get("/schedules", **query).json()
            found += [one["id"] for one in page["items"]]
            query = page["next_cursor"] and {**query, "cursor": page["next_cursor"]}
        assert found == [soon, late, never]
    assert [one["id"] for one in api.items("/schedules", ordering="-next_run_at")] == [never, late, soon]


def test_filters(api: Api) -> None:
    first, second = api.assistant(), api.assistant()
    one, other = make_schedule(api, first)["id"], make_schedule(api, second, enabled=False)["id"]
    Schedule.objects.filter(id=one).update(last_status="failed")
    for query, found in (
        ({"assistant_id": first}, [one]),
        ({"enabled": "false"}, [other]),
        ({"last_status": "failed,error"}, [one]),
        ({"last_status": "success"}, []),
    ):
        assert [schedule["id"] for schedule in api.items("/schedules", **query)] == found
    assert [schedule["id"] for schedule in api.items(f"/assistants/{second}/schedules")] == [other]
    assert api.items(f"/assistants/{second}/schedules", enabled="true") == []


@pytest.mark.parametrize(
    "query",
    [{"colour": "red"}, {"enabled": "yes"}, {"last_status": "running"}, {"assistant_id": UNKNOWN}, {"ordering": "due"}],
)
def test_what_no_list_knows_is_refused(api: Api, query: dict[str, str]) -> None:
    assert_refused(api.get("/schedules", **query), 422, "invalid", "query", *query)


def test_a_list_costs_two_queries(api: Api, django_assert_num_queries: DjangoAssertNumQueries) -> None:
    assistant = api.assistant()
    ids = [make_schedule(api, assistant)["id"] for _ in range(3)]
    for _ in range(2):
        Firing.objects.create(schedule_id=UUID(ids[0]), outcome=Outcome.STARTED, run_id=new_id())
    with django_assert_num_queries(1):
        api.items("/schedules")
    with django_assert_num_queries(2):
        api.items("/schedules", limit=1)
    with django_assert_num_queries(3):
        api.items(f"/assistants/{assistant}/schedules", limit=1)
    with django_assert_num_queries(3):
        api.items(f"/schedules/{ids[0]}/runs", limit=1)


def test_the_history_tells_what_became_of_each_slot(api: Api) -> None:
    made, run = make_schedule(api), api.run()
    path = f"/schedules/{made['id']}/runs"
    slot, of = ClockTimestamp() - timedelta(hours=1), UUID(made["id"])
    missed = Firing.objects.create(schedule_id=of, slot=slot, outcome=Outcome.MISSED, reason="Nobody looked.")
    started = Firing.objects.create(schedule_id=of, outcome=Outcome.STARTED, run_id=run)
    by_hand, late = api.items(path)
    assert late.pop("slot") < late.pop("created_at")
    assert late == {
        "id": str(missed.id),
        "outcome": "missed",
        "reason": "Nobody looked.",
        "run_id": None,
        "run_status": None,
    }
    assert (by_hand["id"], by_hand["slot"], by_hand["reason"]) == (str(started.id), None, None)
    # While it has not ended it is told where the run is.
    assert (by_hand["run_id"], by_hand["run_status"]) == (run, "pending")
    Firing.objects.filter(id=started.id).update(run_status="success")
    Run.objects.filter(id=run).delete()
    assert api.items(path, outcome="started,failed")[0]["run_status"] == "success"


def test_a_preview_tells_the_next_slots_in_both_clocks(api: Api) -> None:
    made = make_schedule(api, cron="0 9 * * *", timezone="Asia/Tokyo", enabled=False)
    items = api.get(f"/schedules/{made['id']}/preview").json()["items"]
    assert len(items) == 10
    for item in items:
        assert item["slot"][10:] == "T00:00:00.000000Z"
        assert item["local"] == item["slot"][:10] + "T09:00:00+09:00"
    assert api.get(f"/schedules/{made['id']}/preview", n=2).json()["items"] == items[:2]


def test_a_preview_ends_with_the_schedule(api: Api) -> None:
    made = make_schedule(api, cron="0 0 1 1 *")
    path = f"/schedules/{made['id']}"
    items = api.get(f"{path}/preview", n=3).json()["items"]
    # The end is the last moment that may be a slot.
    api.patch(path, {"end_time": items[1]["slot"]})
    assert api.get(f"{path}/preview", n=100).json()["items"] == items[:2]
    for n in ("0", "101", "x", "1.5"):
        assert_refused(api.get(f"{path}/preview", n=n), 422, "invalid", "query", "n")


def test_the_runs_of_a_schedule_are_listed(api: Api) -> None:
    made, (run, _) = make_schedule(api), (api.run(), api.run())
    Run.objects.filter(id=run).update(schedule_id=made["id"])
    (found,) = api.items("/runs", schedule_id=made["id"])
    assert (found["id"], found["schedule_id"]) == (run, made["id"])
    assert_refused(api.get("/runs", schedule_id="x"), 422, "invalid", "query", "schedule_id")
