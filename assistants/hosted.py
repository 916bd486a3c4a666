"""Assistants as LangGraph's clients know them: one of its own for each hosted graph, found by its id or the graph's.

Operations, for the async routes; what is written otherwise is in `assistants.services`.
"""

import logging
from collections.abc import Iterable
from typing import Any
from uuid import UUID, uuid5

import psycopg

from accounts import audit
from accounts.identity import Identity
from accounts.scoping import in_workspace, parameters_of
from assistants.config import GRAPH, AssistantConfig, Config, parse, stored
from core.db import Operation, Query, Row, jsonb, operation
from core.ids import new_id, parse_id
from runtime.configuration import current

# Where LangGraph's servers derive the ids of their own assistants from: of the first workspace they are the same.
NAMESPACE = UUID("6ba7b821-9dad-11d1-80b4-00c04fd430c8")
SYSTEM = "system"

log = logging.getLogger(__name__)

_FIRST = "SELECT id FROM workspaces ORDER BY created_at, id LIMIT 1"
_KNOWN = f"SELECT a.id FROM assistants a WHERE a.id = ANY(%(ids)s) AND {in_workspace('a')}"  # noqa: S608
_ADD = """
INSERT INTO assistants (id, workspace_id, name, type, graph_id, description, status, version, metadata, labels,
    validation, created_by)
VALUES (%(id)s, %(workspace)s, %(graph)s, %(type)s, %(graph)s, '', 'active', 1, %(metadata)s, '{}',
    jsonb_build_object('status', 'passed', 'checked_at',
        to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
        'checks', jsonb_build_array(jsonb_build_object('name', 'type', 'ok', true, 'message', ''),
            jsonb_build_object('name', 'graph_id', 'ok', true, 'message', ''))),
    %(by)s)
ON CONFLICT (id) DO NOTHING RETURNING id
"""
_ADD_VERSION = """
INSERT INTO assistant_versions (id, assistant_id, number, config, change_note, created_by)
VALUES (%(version)s, %(id)s, 1, %(config)s, '', %(by)s)
"""
_RESOLVE = f"""
SELECT a.id, a.workspace_id, a.name, a.type, a.graph_id, a.version, a.status FROM assistants a
WHERE a.id = ANY(%(ids)s) AND {in_workspace("a")} AND a.status <> 'archived'
"""  # noqa: S608

_ensured: set[tuple[UUID, str]] = set()


def default_ids(graph_id: str, workspace_id: UUID) -> tuple[UUID, UUID]:
    """The id of the graph's own assistant in the first workspace, and in this one if it is another."""
    first = uuid5(NAMESPACE, graph_id)
    return first, uuid5(first, str(workspace_id))


def graph_of(row: Row) -> str:
    """What LangGraph's clients see as the assistant's graph: the hosted one, or the type of a native assistant."""
    graph: str = row["graph_id"] or row["type"]
    return graph


@operation()
def resolve(identity: Identity, reference: str) -> Operation[Row | None]:
    """The assistant whose id this is, or the one of the graph of that id; None where the caller has none.

    Gives its id, workspace_id, name, type, graph_id (None for a native one), version and status. An assistant that is
    archived is not there.
    """
    found = parse_id(reference)
    ids = [found] if found is not None else default_ids(reference, identity.workspace_id)
    rows = yield Query(_RESOLVE, {"ids": list(ids), **parameters_of(identity)})
    return rows[0] if rows else None


async def ensure_defaults(workspace_id: UUID) -> None:
    """Make the workspace's assistants of the hosted graphs, as far as they are missing; once in a process.

    One that somebody has deleted comes back with the next start.
    """
    if missing := [graph_id for graph_id in current().langgraph.graphs if (workspace_id, graph_id) not in _ensured]:
        await add_defaults(workspace_id, missing).arun()
        _ensured.update((workspace_id, graph_id) for graph_id in missing)


async def ensure_defaults_everywhere() -> None:
    """`ensure_defaults` for every workspace, when a server starts; what cannot be done now is done on first need."""
    if not current().langgraph.graphs:
        return
    try:
        for row in await workspaces().arun():
            await ensure_defaults(row["id"])
    except psycopg.Error as error:
        log.warning("The assistants of hosted graphs are made later: %s", error)


@operation()
def workspaces() -> Operation[list[Row]]:
    """The ids of all workspaces, the first one first."""
    return (yield Query("SELECT id FROM workspaces ORDER BY created_at, id"))


@operation(atomic=True)
def add_defaults(workspace_id: UUID, graph_ids: Iterable[str]) -> Operation[None]:
    """Add the assistants of these graphs that the workspace lacks; of two that do so at once, one makes each."""
    system = Identity(workspace_id, frozenset(), SYSTEM)
    rows = yield Query(_FIRST)
    which = 0 if rows and rows[0]["id"] == workspace_id else 1
    ids = {graph_id: default_ids(graph_id, workspace_id)[which] for graph_id in graph_ids}
    known = yield Query(_KNOWN, {"ids": list(ids.values()), **parameters_of(system)})
    there = {row["id"] for row in known}
    # In one order, so that two that add them do not wait for each other crosswise.
    for graph_id, assistant_id in sorted(ids.items()):
        if assistant_id in there:
            continue
        config = default_config(graph_id)
        given: dict[str, Any] = {
            "id": assistant_id,
            "version": new_id(),
            "workspace": workspace_id,
            "graph": graph_id,
            "type": GRAPH,
            "metadata": jsonb(config["metadata"]),
            "config": jsonb(config),
            "by": SYSTEM,
        }
        if (yield Query(_ADD, given)):
            yield Query(_ADD_VERSION, given)
            yield audit.entry(system, "created", "assistant", assistant_id, version=1, name=graph_id)


def default_config(graph_id: str) -> Config:
    """The configuration of a graph's own assistant."""
    body = {"name": graph_id, "type": GRAPH, "graph_id": graph_id, "metadata": {"created_by": SYSTEM}}
    return stored(parse(AssistantConfig, body))
