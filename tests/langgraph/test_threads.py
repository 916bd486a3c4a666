"""Threads by the official client: made, read, found, changed, copied, thinned out, deleted."""

from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx
import psycopg
import pytest
from django.utils import timezone
from langgraph_sdk.client import LangGraphClient
from langgraph_sdk.errors import APIStatusError, ConflictError, NotFoundError, UnprocessableEntityError

from accounts.models import AuditEntry
from core.ids import new_id
from runs.models import Run
from runs.removing import end_times_to_live
from runtime.configuration import configure, current
from sessions.models import Checkpoint, GraphCheckpoint, GraphValue, Message, Session
from tests.api import UNKNOWN, Api
from tests.langgraph.conftest import client_of
from tests.runs.hand import Hand
from tests.runs.worker import in_thread

KEYS = "thread_id created_at updated_at state_updated_at metadata status config values"


@pytest.fixture
def hand(open_door: None) -> Hand:
    return Hand()


async def talk(tenant: Api, hand: Hand, answer: str = "Hello") -> str:
    """A session with a native assistant, in which it has answered once; gives its id."""
    session = await in_thread(tenant.session)
    await in_thread(lambda: tenant.run(session))
    held = await hand.claim()
    await held.says(answer, done=True, mood="good")
    return session


async def of_rows(rows: Any) -> int:
    return await in_thread(rows.count)


# -- making ------------------------------------------------------------------------------------------------------------


async def test_a_thread_is_made_with_nothing(client: LangGraphClient) -> None:
    thread = await client.threads.create()
    assert " ".join(thread) == KEYS
    assert (thread["status"], thread["metadata"], thread["values"]) == ("idle", {}, None)
    assert thread["config"] == {}
    assert await client.threads.get(thread["thread_id"]) == thread


async def test_its_client_may_name_it(client: LangGraphClient) -> None:
    name = str(uuid4())
    thread = await client.threads.create(thread_id=name, metadata={"a": 1}, graph_id="echo")
    assert (thread["thread_id"], thread["metadata"]) == (name, {"a": 1, "graph_id": "echo"})
    with pytest.raises(ConflictError, match=f"Thread with ID {name} already exists"):
        await client.threads.create(thread_id=name)
    again = await client.threads.create(thread_id=name, metadata={"b": 2}, if_exists="do_nothing")
    assert again == thread


async def test_somebody_elses_thread_is_taken_and_not_there(client: LangGraphClient, neighbour: Api) -> None:
    async with client_of(neighbour) as theirs:
        name = (await theirs.threads.create())["thread_id"]
    for if_exists in ("raise", "do_nothing"):
        with pytest.raises(ConflictError):
            await client.threads.create(thread_id=name, if_exists=if_exists)
    for refused in (client.threads.get(name), client.threads.update(name, metadata={}), client.threads.delete(name)):
        with pytest.raises(NotFoundError):
            await refused
    assert await client.threads.search() == []


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"thread_id": "x"}, "Invalid thread ID: must be a UUID"),
        ({"if_exists": "x"}, "if_exists"),
        ({"ttl": 5}, "ttl"),
        ({"ttl": {"ttl": -1}}, "ttl"),
        ({"ttl": {"ttl": 1, "strategy": "x"}}, "strategy"),
        ({"colour": "red"}, "colour"),
    ],
)
async def test_what_is_no_thread_is_refused(http: httpx.AsyncClient, body: dict[str, Any], said: str) -> None:
    answer = await http.post("/threads", json=body)
    assert answer.status_code == 422
    assert said in answer.json()["detail"]


@pytest.mark.parametrize("content", [b"", b"{"])
async def test_a_body_must_be_json(http: httpx.AsyncClient, content: bytes) -> None:
    answer = await http.post("/threads", content=content, headers={"content-type": "application/json"})
    assert (answer.status_code, answer.json()) == (422, {"detail": "Invalid JSON in request body"})


@pytest.mark.parametrize(
    ("method", "path", "status", "said"),
    [
        ("GET", "", 404, f"Thread with ID {UNKNOWN} not found"),
        ("DELETE", "", 404, f"Thread with ID {UNKNOWN} not found"),
        ("PATCH", "", 404, "Not Found"),
        ("POST", "/copy", 409, "Conflict"),
        ("GET", "/storage", 404, f"Thread with ID {UNKNOWN} not found"),
    ],
)
async def test_an_unknown_thread(http: httpx.AsyncClient, method: str, path: str, status: int, said: str) -> None:
    answer = await http.request(method, f"/threads/{UNKNOWN}{path}", json={})
    assert (answer.status_code, answer.json()) == (status, {"detail": said})
    wrong = await http.request(method, f"/threads/nothing{path}", json={})
    assert (wrong.status_code, wrong.json()) == (422, {"detail": "Invalid thread ID: must be a UUID"})


# -- what it shows -----------------------------------------------------------------------------------------------------


async def test_a_native_conversation_is_a_thread(client: LangGraphClient, tenant: Api, hand: Hand) -> None:
    thread = await client.threads.get(await talk(tenant, hand))
    assert thread["status"] == "idle"
    assert [(m["type"], m["content"]) for m in thread["values"]["messages"]] == [("human", "Hello"), ("ai", "Hello")]
    assert thread["values"]["mood"] == "good"
    assert thread["metadata"]["graph_id"] == "ReactAgent"
    assert UUID(thread["metadata"]["assistant_id"])


async def test_it_is_one_still_once_its_assistant_is_gone(client: LangGraphClient, tenant: Api, hand: Hand) -> None:
    session = await talk(tenant, hand)
    before = await client.threads.get(session)
    await in_thread(lambda: Session.objects.update(assistant=None, assistant_version=None))
    assert (await client.threads.get(session))["values"] == before["values"]


async def test_a_thread_is_busy_while_a_run_is_under_way_and_then_what_became_of_it(
    client: LangGraphClient, tenant: Api, hand: Hand
) -> None:
    session = await in_thread(tenant.session)
    run = await in_thread(lambda: tenant.run(session))
    assert (await client.threads.get(session))["status"] == "busy"
    held = await hand.claim()
    await held.asks(type="custom", value="Go on?")
    thread = await client.threads.get(session)
    assert thread["status"] == "interrupted"
    ((asked,),) = thread["interrupts"].values()
    assert asked["value"] == "Go on?"
    failed = {"type": "ValueError", "code": "graph_error", "message": "boom", "retryable": False}
    await in_thread(lambda: Run.objects.filter(id=run).update(status="error", error=failed, finished_at=timezone.now()))
    await in_thread(lambda: Session.objects.filter(id=session).update(activity="error", head_run_id=None))
    thread = await client.threads.get(session)
    assert thread["status"] == "error"
    assert thread["error"] == {"error": "ValueError", "message": "boom"}
    assert thread["interrupts"] == {}


async def test_sessions_of_sub_agents_and_of_single_runs_are_no_threads(client: LangGraphClient, tenant: Api) -> None:
    parent, child, ephemeral = [await in_thread(tenant.session) for _ in range(3)]
    await in_thread(lambda: Session.objects.filter(id=child).update(parent=parent))
    await in_thread(lambda: Session.objects.filter(id=ephemeral).update(ephemeral=True))
    assert [thread["thread_id"] for thread in await client.threads.search()] == [parent]
    with pytest.raises(NotFoundError):
        await client.threads.get(ephemeral)


# -- searching ---------------------------------------------------------------------------------------------------------


async def test_threads_are_found_by_what_they_hold(client: LangGraphClient, tenant: Api, hand: Hand) -> None:
    mine = await talk(tenant, hand)
    other = (await client.threads.create(metadata={"owner": {"name": "ann", "age": 5}}))["thread_id"]

    async def found(**wanted: Any) -> list[str]:
        threads = await client.threads.search(**wanted)
        assert await client.threads.count(**{k: v for k, v in wanted.items() if k != "ids"}) >= len(threads)
        return [thread["thread_id"] for thread in threads]

    assert await found() == [other, mine]
    assert await found(metadata={"owner": {"name": "ann"}}) == [other]
    assert await found(metadata={"owner": {"name": "bob"}}) == []
    assert await found(metadata={"graph_id": "ReactAgent"}) == [mine]
    assert await found(values={"mood": "good"}) == [mine]
    assert await found(status="busy") == []
    assert await found(status="idle") == [other, mine]
    assert await found(ids=[mine, UNKNOWN]) == [mine]


async def test_a_page_says_whether_more_follow(client: LangGraphClient, http: httpx.AsyncClient) -> None:
    made = [(await client.threads.create())["thread_id"] for _ in range(3)]
    first = await http.post("/threads/search", json={"limit": 2, "sort_by": "created_at", "sort_order": "asc"})
    assert [thread["thread_id"] for thread in first.json()] == made[:2]
    assert (first.headers["x-pagination-total"], first.headers["x-pagination-next"]) == ("3", "2")
    last = await http.post("/threads/search", json={"limit": 2, "offset": 2, "sort_order": "asc"})
    assert [thread["thread_id"] for thread in last.json()] == made[2:]
    assert last.headers["x-pagination-total"] == "3"
    assert "x-pagination-next" not in last.headers


@pytest.mark.parametrize("sort_by", ["thread_id", "status", "created_at", "updated_at", "state_updated_at"])
async def test_any_order_can_be_asked_for(client: LangGraphClient, sort_by: Any) -> None:
    made = [(await client.threads.create())["thread_id"] for _ in range(2)]
    for order, wanted in (("asc", made), ("desc", made[::-1])):
        found = await client.threads.search(sort_by=sort_by, sort_order=order)
        assert [thread["thread_id"] for thread in found] == wanted


async def test_only_what_is_selected_and_extracted_is_told(client: LangGraphClient, tenant: Api, hand: Hand) -> None:
    session = await talk(tenant, hand, "Bye")
    extract = {
        "last": "values.messages[-1].content",
        "graph": "metadata.graph_id",
        "no": "values.no.a",
        "odd": "values[[",
    }
    (thread,) = await client.threads.search(select=["thread_id", "status"], extract=extract)
    assert thread == {
        "thread_id": session,
        "status": "idle",
        "extracted": {"last": "Bye", "graph": "ReactAgent", "no": None, "odd": None},
    }
    with pytest.raises(UnprocessableEntityError, match="must start with one of: config, interrupts, metadata, values"):
        await client.threads.search(extract={"last": "nope.a"})
    with pytest.raises(UnprocessableEntityError):
        await client.threads.search(extract={str(n): "values.a" for n in range(11)})


@pytest.mark.parametrize("body", [{"limit": 0}, {"limit": 1001}, {"status": "x"}, {"sort_by": "x"}, {"select": ["x"]}])
async def test_a_search_keeps_to_its_bounds(http: httpx.AsyncClient, body: dict[str, Any]) -> None:
    assert (await http.post("/threads/search", json=body)).status_code == 422


async def test_a_search_costs_the_same_for_one_thread_and_for_many(
    client: LangGraphClient, tenant: Api, hand: Hand, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[Any] = []
    execute = psycopg.AsyncConnection.execute

    async def counted(self: Any, query: Any, *args: Any, **kwargs: Any) -> Any:
        said.append(query)
        return await execute(self, query, *args, **kwargs)

    monkeypatch.setattr(psycopg.AsyncConnection, "execute", counted)

    async def cost() -> int:
        said.clear()
        await client.threads.search()
        return sum("FROM sessions" in str(query) or "FROM messages" in str(query) for query in said)

    await talk(tenant, hand)
    one = await cost()
    for _ in range(2):
        await talk(tenant, hand)
    assert one == await cost() == 2


# -- changing ----------------------------------------------------------------------------------------------------------


async def test_metadata_is_merged_and_nothing_is_a_value(client: LangGraphClient, http: httpx.AsyncClient) -> None:
    thread = await client.threads.create(metadata={"a": 1, "b": {"c": 1}})
    changed = await client.threads.update(thread["thread_id"], metadata={"b": {"d": 2}, "e": None})
    assert changed["metadata"] == {"a": 1, "b": {"d": 2}, "e": None}
    assert changed["updated_at"] > thread["updated_at"]
    minimal = await client.threads.update(thread["thread_id"], metadata={"a": 2}, return_minimal=True)
    assert minimal is None
    assert (await client.threads.get(thread["thread_id"]))["metadata"]["a"] == 2


async def test_a_deleted_thread_is_gone_with_all_that_it_had(client: LangGraphClient, tenant: Api, hand: Hand) -> None:
    session = await talk(tenant, hand)
    await client.threads.delete(session)
    with pytest.raises(NotFoundError):
        await client.threads.delete(session)
    assert [await of_rows(model.objects) for model in (Session, Run, Message, Checkpoint)] == [0, 0, 0, 0]
    assert await of_rows(AuditEntry.objects.filter(action="deleted", subject_type="session", subject_id=session)) == 1


async def test_a_thread_goes_at_once_whatever_it_is_doing(client: LangGraphClient, tenant: Api, hand: Hand) -> None:
    session = await in_thread(tenant.session)
    for _ in range(2):
        await in_thread(lambda: tenant.run(session))
    held = await hand.claim()
    await client.threads.delete(session)
    assert not await held.says("Too late", done=True)
    assert [await of_rows(model.objects) for model in (Session, Run, Message)] == [0, 0, 0]


async def test_who_sees_their_own_threads_only(client: LangGraphClient, tenant: Api) -> None:
    ann = await in_thread(lambda: Api(tenant.workspace, user_id="ann"))
    thread = (await client.threads.create())["thread_id"]
    async with client_of(ann) as hers:
        own = (await hers.threads.create())["thread_id"]
        assert [found["thread_id"] for found in await hers.threads.search()] == [own]
        assert (await hers.threads.prune([thread]))["pruned_count"] == 0
    assert len(await client.threads.search()) == 2


async def test_a_key_that_may_only_read_changes_nothing(client: LangGraphClient, tenant: Api) -> None:
    reader = await in_thread(lambda: Api(tenant.workspace, scopes=("sessions:read",)))
    thread = (await client.threads.create())["thread_id"]
    async with client_of(reader) as theirs:
        assert (await theirs.threads.get(thread))["thread_id"] == thread
        for refused in (theirs.threads.create(), theirs.threads.delete(thread), theirs.threads.copy(thread)):
            with pytest.raises(APIStatusError) as answer:
                await refused
            assert answer.value.status_code == 403


# -- copies and figures ------------------------------------------------------------------------------------------------


async def test_a_copy_has_everything_and_lives_its_own_life(client: LangGraphClient, tenant: Api, hand: Hand) -> None:
    session = await talk(tenant, hand)
    copy = await client.threads.copy(session)
    source = await client.threads.get(session)
    assert copy["thread_id"] != session
    assert (copy["metadata"], copy["status"]) == (source["metadata"], "idle")
    assert [m["content"] for m in copy["values"]["messages"]] == ["Hello", "Hello"]
    of_both = [
        Checkpoint.objects.filter(session=one).values_list("step", "source") for one in (session, copy["thread_id"])
    ]
    assert await in_thread(lambda: list(of_both[0]) == list(of_both[1]) != [])
    await client.threads.delete(session)
    assert (await client.threads.get(copy["thread_id"]))["values"] == copy["values"]


async def test_what_is_stored_is_told(
    client: LangGraphClient, http: httpx.AsyncClient, tenant: Api, hand: Hand
) -> None:
    empty = (await client.threads.create())["thread_id"]
    nothing = {"count": 0, "bytes": 0}
    assert (await http.get(f"/threads/{empty}/storage")).json() == {
        "thread_id": empty,
        "total_bytes": 0,
        "checkpoints": nothing,
        "channel_values": {**nothing, "by_channel": {}},
        "pending_writes": nothing,
    }
    session = await talk(tenant, hand)
    await in_thread(lambda: add_graph(session))
    figures = (await http.get(f"/threads/{session}/storage")).json()
    channels = figures["channel_values"]["by_channel"]
    assert (channels["messages"]["versions"], channels["count"]["versions"]) == (2, 3)
    assert figures["checkpoints"]["count"] == 3 + 2
    assert figures["total_bytes"] > channels["messages"]["bytes"] > 0


def add_graph(session: str, checkpoints: int = 3) -> None:
    """What a graph would have written: a value and a checkpoint a step."""
    for step in range(checkpoints):
        place = {"session_id": session, "namespace": ""}
        document = {"channel_versions": {"count": str(step)}}
        GraphCheckpoint.objects.create(**place, checkpoint_id=new_id(), document=document, metadata={})
        GraphValue.objects.create(**place, channel="count", version=str(step), value=step)


# -- thinning out, and times to live -----------------------------------------------------------------------------------


async def test_pruning_deletes_or_leaves_the_latest(client: LangGraphClient, tenant: Api, hand: Hand) -> None:
    kept, gone = await talk(tenant, hand), await talk(tenant, hand)
    await in_thread(lambda: add_graph(kept))
    assert await client.threads.prune([gone, UNKNOWN]) == {"pruned_count": 1}
    before = await client.threads.get(kept)
    assert await client.threads.prune([kept], strategy="keep_latest") == {"pruned_count": 1}
    assert await client.threads.get(kept) == before
    assert await of_rows(Checkpoint.objects.filter(session=kept)) == 1
    assert await of_rows(GraphCheckpoint.objects.filter(session=kept)) == 1
    assert await of_rows(GraphValue.objects.filter(session=kept)) == 1
    assert [thread["thread_id"] for thread in await client.threads.search()] == [kept]


async def test_the_past_of_a_thread_with_a_run_under_way_stays(client: LangGraphClient, tenant: Api) -> None:
    session = await in_thread(tenant.session)
    await in_thread(lambda: tenant.run(session))
    assert await client.threads.prune([session], strategy="keep_latest") == {"pruned_count": 0}


async def over(*threads: str) -> None:
    await in_thread(lambda: Session.objects.filter(id__in=threads).update(expires_at=timezone.now() - timedelta(1)))


async def test_a_time_to_live_is_told_and_kept_to(client: LangGraphClient, tenant: Api, hand: Hand) -> None:
    deleted = (await client.threads.create(ttl=0.5))["thread_id"]
    thinned = await talk(tenant, hand)
    await client.threads.update(thinned, metadata={}, ttl={"ttl": 90, "strategy": "keep_latest"})
    told = await client.threads.get(thinned, include=["ttl"])
    assert (told["ttl"]["strategy"], told["ttl"]["ttl_minutes"]) == ("keep_latest", 90)
    assert "ttl" not in await client.threads.get(thinned)
    assert await in_thread(end_times_to_live) == 0
    await over(deleted, thinned)
    assert await in_thread(end_times_to_live) == 2
    assert [thread["thread_id"] for thread in await client.threads.search()] == [thinned]
    assert await of_rows(Checkpoint.objects.filter(session=thinned)) == 1
    assert await in_thread(end_times_to_live) == 0


async def test_the_deployment_may_say_how_long_threads_are_kept(client: LangGraphClient, tenant: Api) -> None:
    ttl = {"strategy": "keep_latest", "default_ttl": 60}
    configure(replace(current(), langgraph=replace(current().langgraph, checkpointer={"ttl": ttl})))
    told: Any = await client.threads.get((await client.threads.create())["thread_id"], include=["ttl"])
    assert (told["ttl"]["strategy"], told["ttl"]["ttl_minutes"]) == ("keep_latest", 60)
    own: Any = await client.threads.get((await client.threads.create(ttl=1))["thread_id"], include=["ttl"])
    assert (own["ttl"]["strategy"], own["ttl"]["ttl_minutes"]) == ("delete", 1)


async def test_a_thread_that_keeps_its_latest_takes_runs_after_its_time(client: LangGraphClient, tenant: Api) -> None:
    session = await in_thread(tenant.session)
    await client.threads.update(session, metadata={}, ttl={"ttl": 1, "strategy": "keep_latest"})
    await over(session)
    await in_thread(lambda: tenant.run(session))
    assert await in_thread(lambda: Session.objects.get(id=session).expires_at > timezone.now())


async def test_a_thread_with_a_run_under_way_outlives_its_time(client: LangGraphClient, tenant: Api) -> None:
    session = await in_thread(tenant.session)
    await client.threads.update(session, metadata={}, ttl=1)
    await in_thread(lambda: tenant.run(session))
    await over(session)
    assert await in_thread(end_times_to_live) == 0
