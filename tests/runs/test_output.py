"""A run's output is stored with the run, and told with its last event whenever that is read."""

from typing import Any

from core.db import Row
from runs import queries
from runs.events import event_from_row
from tests.runs.stage import Stage
from tests.runs.test_durability import Scripted
from tests.runs.worker import in_thread, one


async def _nothing() -> None:
    """A step that does nothing."""


def _last(rows: list[Row]) -> dict[str, Any]:
    return event_from_row(rows[-1]).data


async def test_the_last_event_has_the_output_of_its_run(stage: Stage) -> None:
    ended = await stage.carry_out("async", Scripted(_nothing))
    assert ended.output is not None
    told = {"status": "success", "output": ended.output, "error": None, "usage": ended.events[-1]["data"]["usage"]}
    assert _last(await queries.events_of_run(stage.run_id, 0, 100).arun()) == told
    assert _last(await queries.events_of_session(stage.session, 0, 0, 100).arun()) == told
    assert _last(await in_thread(lambda: list(queries.events(stage.run_id)))) == told


async def test_it_is_stored_once(stage: Stage) -> None:
    await stage.carry_out("async", Scripted(_nothing))
    row = await one("SELECT data FROM run_events WHERE run_id = %(id)s AND event = 'end'", id=stage.run_id)
    assert set(row["data"]) == {"status", "error", "usage"}
