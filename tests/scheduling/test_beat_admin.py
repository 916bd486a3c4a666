"""Beat's own periodic tasks in the admin: what beat could not carry out is refused."""

import pytest
from django.test import Client
from django_celery_beat.models import IntervalSchedule, PeriodicTask

from accounts.models import Role
from tests.api import Api
from tests.staff import list_of, page_of, staff, superuser

pytestmark = pytest.mark.django_db


def add(client: Client, **fields: str) -> list[str]:
    """Add a task; gives the fields that were refused."""
    interval = IntervalSchedule.objects.create(every=1, period=IntervalSchedule.DAYS)
    plain = {"name": "mine", "task": "scheduling.start", "interval": str(interval.pk), "args": "[]", "kwargs": "{}"}
    page = client.post(f"{list_of(PeriodicTask)}add/", {**plain, **fields})
    return [] if page.status_code == 302 else list(page.context["adminform"].form.errors)


def test_a_task_is_added_and_shown() -> None:
    root = superuser()
    assert add(root, kwargs='{"schedule_id": "x"}') == []
    assert "scheduling.start" in root.get(page_of(PeriodicTask.objects.get(name="mine"))).text
    assert "mine" in root.get(page_of(IntervalSchedule.objects.get())).text


@pytest.mark.parametrize(
    ("field", "text"),
    [
        ("args", "[" * 100_000),
        ("kwargs", '{"a":' * 5_000 + "1" + "}" * 5_000),
        ("args", "{}"),
        ("kwargs", "[]"),
        ("kwargs", "nothing"),
        ("kwargs", '{"a": 1, "a": 2}'),
    ],
)
def test_arguments_that_beat_could_not_hand_over_are_refused(field: str, text: str) -> None:
    assert add(superuser(), **{field: text}) == [field]
    assert not PeriodicTask.objects.exists()


def test_it_is_nobodys_but_a_superusers(api: Api) -> None:
    assert staff(Role.ADMIN, api.workspace).get(list_of(PeriodicTask)).status_code == 403
