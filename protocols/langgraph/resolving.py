"""The assistant that a run or a cron names: by its id, or by the id of a graph, which has one of its own."""

from accounts.identity import Identity
from assistants.hosted import ensure_defaults, resolve
from core.db import Row
from core.errors import Invalid, NotFound
from core.ids import parse_id
from runtime.configuration import current


async def find_assistant(identity: Identity, reference: str) -> Row | None:
    """What `assistants.hosted.resolve` gives, once the graphs' own assistants are there."""
    await ensure_defaults(identity.workspace_id)
    return await resolve(identity, reference).arun()


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
    raise NotFound("Thread or assistant not found.")
