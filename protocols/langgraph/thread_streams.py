"""`GET /threads/{id}/stream`: what all runs of a thread tell, until the client leaves."""

from uuid import UUID

from accounts.identity import Identity
from accounts.scoping import parameters_of, visible
from accounts.streams import take_stream
from core.db import Operation, Query, operation
from core.errors import Invalid, NotFound
from core.hot import HotRequest, HotStream, Router
from protocols.langgraph.access import Filters, allow, holds
from protocols.langgraph.reading import listed, thread_of
from protocols.langgraph.streaming.places import require_place
from protocols.langgraph.streams import thread_frames

router = Router()

MODES = ("run_modes", "lifecycle", "state_update")
# The protocol's documentation has the one, its SDKs send the other.
_QUERY = ("stream_modes", "stream_mode")


@router.route("GET", "/threads/{thread_id}/stream", scope="runs:read")
async def stream(request: HotRequest) -> HotStream:
    request.only_query(*_QUERY)
    thread_id = thread_of(request)
    after = require_place(request.headers.get("last-event-id"))
    modes = _modes(request)
    filters = await allow(request, "threads", "read", {"thread_id": thread_id})
    await _require_thread(request.identity, thread_id, filters).arun()
    frames = thread_frames(request.identity, thread_id, after=after, modes=modes)
    return HotStream(frames, ended=await take_stream(request.identity))


def _modes(request: HotRequest) -> frozenset[str]:
    given = [mode for name in _QUERY for mode in listed(request.query.get(name))]
    if unknown := [mode for mode in given if mode not in MODES]:
        raise Invalid.at("query", "stream_modes", message=f"{unknown[0]!r} is not one of {', '.join(MODES)}.")
    return frozenset(given or MODES[:1])


@operation()
def _require_thread(identity: Identity, thread_id: UUID, filters: Filters) -> Operation[None]:
    """Raises NotFound for a thread that is not, or is not the caller's."""
    condition, parameters = holds("s.metadata", filters)
    rows = yield Query(
        f"SELECT s.id FROM sessions s WHERE s.id = %(thread)s AND {visible('s')} AND {condition}",  # noqa: S608
        {"thread": thread_id, **parameters_of(identity), **parameters},
    )
    if not rows:
        raise NotFound(f"Thread with ID {thread_id} not found")
