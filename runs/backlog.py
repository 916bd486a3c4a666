"""How many runs of a workspace may wait: a bound on what a client in a loop can leave in the queue.

Each process counts a workspace's waiting runs at most once a second, and adds up what it accepts in between. So an
accepted run costs a look-up in memory, and the bound may be passed by what other processes accept within a second.
"""

import time
from dataclasses import dataclass
from uuid import UUID

from django.conf import settings

from core.db import Operation, Query
from core.errors import Limit, RateLimited

COUNT_EVERY_S = 1.0
# A full queue is not empty again in a moment; who comes back sooner than needed is refused for a look-up in memory.
RETRY_AFTER_S = 5
MAX_KNOWN = 10_000

# What is beyond the bound need not be counted; the index `run_active` holds the runs that have not ended.
_COUNT = """
SELECT count(*) AS waiting FROM (
    SELECT FROM runs WHERE workspace_id = %(workspace)s AND status = 'pending' LIMIT %(bound)s) AS pending
"""


@dataclass(slots=True)
class _Known:
    counted_at: float
    waiting: int = 0


_known: dict[UUID, _Known] = {}


def take_place(workspace_id: UUID) -> Operation[None]:
    """Count one more run that waits. Raises RateLimited where the workspace has as many as it may have."""
    bound = settings.MAX_PENDING_RUNS
    known = _known.get(workspace_id)
    if known is None or time.monotonic() - known.counted_at >= COUNT_EVERY_S:
        if known is None:
            if len(_known) >= MAX_KNOWN:
                _known.clear()
            known = _known[workspace_id] = _Known(0)
        # Before the query, so that of many requests at once one asks.
        known.counted_at = time.monotonic()
        rows = yield Query(_COUNT, {"workspace": workspace_id, "bound": bound})
        known.waiting = rows[0]["waiting"]
    if known.waiting >= bound:
        raise RateLimited(
            f"The workspace has {bound} runs that wait, as many as it may have (AGENT_SERVER_MAX_PENDING_RUNS).",
            limit=Limit(bound, RETRY_AFTER_S),
        )
    known.waiting += 1
