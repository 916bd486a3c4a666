"""Runs and crons name an assistant by its id, or a graph, which has an assistant of its own in each workspace."""

import asyncio
from uuid import uuid4, uuid5

import pytest

from accounts.models import AuditEntry
from assistants.hosted import add_defaults, ensure_defaults_everywhere
from assistants.models import Assistant, AssistantVersion
from assistants.services import archive_assistant
from core.errors import Invalid, NotFound
from protocols.langgraph.resolving import resolve_assistant
from tests.api import Api
from tests.runs.worker import in_thread


async def test_each_graph_has_an_assistant_with_langgraphs_own_id(tenant: Api, open_door: None) -> None:
    row = await resolve_assistant(tenant.identity, "echo")
    # uuid5 of the graph's id, as langgraph dev makes it.
    assert str(row["id"]) == "046b5dc7-2108-582c-9c6c-31d556d138f0"
    assert (row["type"], row["graph_id"], row["version"], row["status"]) == ("Graph", "echo", 1, "active")
    assert await resolve_assistant(tenant.identity, str(row["id"])) == row
    made = await in_thread(lambda: list(Assistant.objects.order_by("name").values_list("name", "created_by")))
    assert made == [(name, "system") for name in ("echo", "interrupt", "nested", "react", "steps")]
    assert await in_thread(AuditEntry.objects.filter(actor="system", action="created").count) == 5


async def test_they_are_as_if_somebody_had_made_them(tenant: Api, open_door: None) -> None:
    row = await resolve_assistant(tenant.identity, "echo")
    body = {"name": "twin", "type": "Graph", "graph_id": "echo", "metadata": {"created_by": "system"}}
    twin = (await in_thread(tenant.post, "/assistants", body)).json()
    own = (await in_thread(tenant.get, f"/assistants/{row['id']}")).json()
    alike = {"id": 0, "name": 0, "endpoint": 0, "created_at": 0, "updated_at": 0, "created_by": 0}
    own["validation"].pop("checked_at"), twin["validation"].pop("checked_at")
    assert own | alike == twin | alike
    stored = await in_thread(lambda: list(AssistantVersion.objects.values_list("config", flat=True)))
    assert all(config["config"] == {} and config["context"] == {} for config in stored)


async def test_other_workspaces_have_their_own(tenant: Api, neighbour: Api, open_door: None) -> None:
    ours = await resolve_assistant(tenant.identity, "echo")
    theirs = await resolve_assistant(neighbour.identity, "echo")
    assert theirs["id"] == uuid5(ours["id"], str(neighbour.workspace.id))
    with pytest.raises(NotFound):
        await resolve_assistant(neighbour.identity, str(ours["id"]))


async def test_what_is_no_graph_is_refused_with_those_that_are(tenant: Api, open_door: None) -> None:
    with pytest.raises(Invalid) as refused:
        await resolve_assistant(tenant.identity, "nope")
    assert refused.value.detail == (
        "Invalid assistant: 'nope'. Must be either:\n- A valid assistant UUID, or\n"
        "- One of the registered graphs: echo, steps, react, interrupt, nested"
    )
    with pytest.raises(NotFound, match="Thread or assistant not found"):
        await resolve_assistant(tenant.identity, str(uuid4()))


async def test_one_that_is_archived_is_not_there(tenant: Api, open_door: None) -> None:
    row = await resolve_assistant(tenant.identity, "echo")
    await in_thread(archive_assistant, tenant.identity, row["id"])
    with pytest.raises(NotFound):
        await resolve_assistant(tenant.identity, "echo")


async def test_a_server_that_starts_makes_those_that_are_missing(tenant: Api, neighbour: Api, open_door: None) -> None:
    await ensure_defaults_everywhere()
    await ensure_defaults_everywhere()
    each = Assistant.objects.values_list("workspace", flat=True)
    assert await in_thread(lambda: sorted(each)) == sorted([tenant.workspace.id] * 5 + [neighbour.workspace.id] * 5)


async def test_two_that_make_them_at_once_make_each_once(tenant: Api, open_door: None) -> None:
    names = ["echo", "steps", "react"]
    orders = (names, names[::-1], names)
    await asyncio.gather(*(add_defaults(tenant.workspace.id, order).arun() for order in orders))
    assert await in_thread(AssistantVersion.objects.count) == 3
