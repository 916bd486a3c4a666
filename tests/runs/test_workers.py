"""The list of workers: who carries out runs at the moment."""

from datetime import timedelta
from typing import Any

from django.db.models.functions import Now
from pytest_django import DjangoAssertNumQueries

from runs.models import Worker
from runs.serializers import WorkerDocument
from tests.api import Api, assert_refused


def worker(host: str, *, lease_s: float = 60, silent_s: float = 0, **columns: Any) -> str:
    """The row of a worker that was heard `silent_s` seconds ago; gives its id."""
    moments = {"heartbeat_at": Now() - timedelta(seconds=silent_s), "lease_expires_at": Now() + _s(lease_s)}
    row = Worker.objects.create(**{"host": host, "pid": 7, "lock_key": 1, "slots": 4, **moments, **columns})
    return str(row.id)


def _s(seconds: float) -> timedelta:
    return timedelta(seconds=seconds)


def states(api: Api, **query: Any) -> dict[str, str]:
    return {item["host"]: item["state"] for item in api.items("/workers", **query)}


def test_a_worker_is_shown_as_described(api: Api) -> None:
    found = worker("one", used=3, labels=["gpu"], types=["ReactAgent"])
    (document,) = api.items("/workers")
    assert list(document) == list(WorkerDocument.model_fields)
    WorkerDocument.model_validate(document)
    assert (document["id"], document["pid"], document["slots"], document["used"]) == (found, 7, 4, 3)
    assert (document["labels"], document["types"]) == (["gpu"], ["ReactAgent"])


def test_one_whose_lease_has_run_out_is_lost_before_anybody_says_so(api: Api) -> None:
    worker("active")
    worker("draining", state="draining")
    worker("silent", lease_s=-1, silent_s=16)
    worker("lost", state="lost", silent_s=1)
    expected = {"active": "active", "draining": "draining", "silent": "lost", "lost": "lost"}
    assert states(api) == expected


def test_the_lost_are_shown_for_an_hour(api: Api) -> None:
    worker("lately", state="lost", lease_s=-3_000, silent_s=3_500)
    worker("long ago", state="lost", lease_s=-3_600, silent_s=3_700)
    worker("never declared", lease_s=-3_600, silent_s=3_700)
    assert states(api) == {"lately": "lost"}


def test_the_state_is_a_filter(api: Api) -> None:
    worker("active")
    worker("draining", state="draining")
    worker("silent", lease_s=-1)
    assert states(api, state="lost") == {"silent": "lost"}
    assert set(states(api, state="active,draining")) == {"active", "draining"}
    assert_refused(api.get("/workers", state="asleep"), 422, "invalid", "query", "state")


def test_the_newest_is_first_and_a_cursor_goes_on(api: Api) -> None:
    for name in ("first", "second", "third"):
        worker(name)
    page = api.get("/workers", limit=2).json()
    assert [item["host"] for item in page["items"]] == ["third", "second"]
    rest = api.get("/workers", limit=2, cursor=page["next_cursor"]).json()
    assert [item["host"] for item in rest["items"]] == ["first"]


def test_reading_runs_is_what_it_takes(api: Api) -> None:
    assert Api(api.workspace, scopes=("runs:read",)).get("/workers").status_code == 200
    assert_refused(Api(api.workspace, scopes=("assistants:read",)).get("/workers"), 403, "forbidden")


def test_a_page_costs_the_same_however_many_there_are(
    api: Api, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    worker("one")
    api.get("/workers")
    for name in "abcdefgh":
        worker(name)
    with django_assert_num_queries(1):
        api.get("/workers")


def test_the_api_describes_them(api: Api) -> None:
    described = api.get("/openapi.json").json()["paths"]["/workers"]["get"]
    assert "state" in [parameter["name"] for parameter in described["parameters"]]
