"""The assistant that a run or a cron names: by its id, or by the id of a graph, which has one of its own."""

from uuid import UUID

from accounts.identity import Identity
from accounts.scoping import in_workspace, parameters_of
from assistants.hosted import SYSTEM, ensure_defaults, resolve
from core.db import Operation, Query, Row, jsonb, operation
from core.errors import Invalid, NotFound
from core.hot import HotRequest
from core.ids import parse_id
from protocols.langgraph.access import Filters, allow, holds
from runtime.configuration import current

UNKNOWN = "Thread or assistant not found."


async def find_assistant(identity: Identity, reference: str) -> Row | None:
    """What `assistants.hosted.resolve` gives, once the graphs' own assistants are there."""
    await ensure_defaults(identity.workspace_id)
    return await resolve(identity, reference).arun()


async def require_allowed(request: HotRequest, assistant: Row) -> None:
    """Raise NotFound for an assistant that the deployment's handlers keep from the caller; the graphs' own are
    everybody's."""
    filters = await allow(request, "assistants", "read", {"assistant_id": assistant["id"]})
    if filters and not await _passes(request.identity, assistant["id"], filters).arun():
        raise NotFound(UNKNOWN)


@operation()
def _passes(identity: Identity, assistant_id: UUID, filters: Filters) -> Operation[bool]:
    allowed, parameters = holds("a.metadata", filters)
    found = yield Query(
        f"""
        SELECT a.id FROM assistants a WHERE a.id = %(assistant)s AND {in_workspace("a")}
            AND ({allowed} OR a.metadata @> %(systems)s)
        """,  # noqa: S608
        {
            "assistant": assistant_id,
            "systems": jsonb({"created_by": SYSTEM}),
            **parameters_of(identity),
            **parameters,
        },
    )
    return bool(found)


async def resolve_assistant(identity: Identity, reference: str) -> Row:
    """The assistant, as a request for a run names it.

    Gives its id, workspace_id, name, type, graph_id (None for a native one), version and status. Raises Invalid for
    what is neither an id nor a graph here, NotFound.
    """
    found = await find_assistant(identity, reference)
    if found is not None:
        return found
    graphs = list(current().langgraph.graphs)
    if parse_id(reference) is None and reference not in graphs:
        raise Invalid(
            f"Invalid assistant: {reference!r}. Must be either:\n- A valid assistant UUID, or\n"
            f"- One of the registered graphs: {', '.join(graphs)}"
        )
    raise NotFound(UNKNOWN)
