"""Runs that commands start."""

from typing import Any
from uuid import UUID

from core.db import Row
from core.hot import HotRequest
from core.ids import new_id
from core.validation import validate
from protocols.langgraph.run_bodies import ThreadRun
from protocols.langgraph.starting import start
from protocols.langgraph.v2.translation import MODES


async def start_run(request: HotRequest, thread_id: UUID, run: dict[str, Any]) -> Row:
    """Accept a run of the thread, as `POST /threads/{id}/runs` does with the same body; gives its row.

    It is told with all that protocol v2 is made of. Raises as `protocols.langgraph.starting.start`.
    """
    asked = {name: value for name, value in run.items() if value is not None}
    body = validate(ThreadRun, {**asked, "stream_mode": list(MODES), "stream_subgraphs": True})
    return (await start(request, thread_id, body, new_id())).run
