"""Schedules as a client makes them."""

from typing import Any

from tests.api import HELLO, Api

HOURLY = {"name": "Hourly", "cron": "0 * * * *", **HELLO}


def make_schedule(api: Api, assistant_id: str | None = None, **fields: Any) -> Any:
    """A schedule's document. `cron=None` leaves the rule to the other fields."""
    body = {**HOURLY, **fields}
    answer = api.post(f"/assistants/{assistant_id or api.assistant()}/schedules", body)
    assert answer.status_code == 201, answer.content
    return answer.json()
