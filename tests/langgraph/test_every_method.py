"""Every public method of the official client against one real server: for a hosted graph, and for a native assistant.

The table is compared with the client itself: a method that a new release of the SDK brings is one that is missing here.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4, uuid5

import pytest
from langgraph_sdk import get_client
from langgraph_sdk.client import LangGraphClient
from langgraph_sdk.errors import NotFoundError

from tests.api import ECHO
from tests.runs.conftest import make_assistant
from tests.servers import Server

CLIENTS = ("assistants", "threads", "runs", "crons", "store")
DAILY = "0 3 * * *"
NAMESPACE = UUID("6ba7b821-9dad-11d1-80b4-00c04fd430c8")


@dataclass
class Case:
    """A client, and an assistant that answers `hi` with a message."""

    client: LangGraphClient
    hosted: bool
    graph: str
    assistant: str
    mark: str

    def __getattr__(self, name: str) -> Any:
        return getattr(self.client, name)

    @property
    def hi(self) -> Any:
        return {"messages": [{"role": "user", "content": "hi"}]}

    async def thread(self) -> str:
        """One that has had a run."""
        thread = await self.client.threads.create(metadata={"mark": self.mark})
        await self.client.runs.wait(thread["thread_id"], self.assistant, input=self.hi)
        return thread["thread_id"]

    async def new_assistant(self) -> Any:
        config: Any = {} if self.hosted else {"configurable": {"llm": dict(ECHO)}}
        return await self.client.assistants.create(
            self.graph, config, name=f"a {uuid4()}", metadata={"mark": self.mark}
        )

    async def cron(self) -> Any:
        return await self.client.crons.create(
            self.assistant, schedule=DAILY, input=self.hi, metadata={"mark": self.mark}
        )


Deed = Callable[[Case], Awaitable[None]]
TABLE: dict[str, Deed] = {}


def does(name: str) -> Callable[[Deed], Deed]:
    def decorate(deed: Deed) -> Deed:
        TABLE[name] = deed
        return deed

    return decorate


def said(values: Any) -> list[str]:
    return [message["content"] for message in values["messages"]]


# -- assistants --------------------------------------------------------------------------------------------------------


@does("assistants.create")
async def _(case: Case) -> None:
    made = await case.new_assistant()
    assert (made["graph_id"], made["version"], made["metadata"]["mark"]) == (case.graph, 1, case.mark)
    thread = await case.threads.create()
    assert said(await case.runs.wait(thread["thread_id"], made["assistant_id"], input=case.hi))[0] == "hi"


@does("assistants.get")
async def _(case: Case) -> None:
    assert (await case.assistants.get(case.assistant))["graph_id"] == case.graph


@does("assistants.update")
async def _(case: Case) -> None:
    made = await case.new_assistant()
    changed = await case.assistants.update(made["assistant_id"], metadata={"more": 1})
    assert (changed["version"], changed["metadata"]["more"], changed["metadata"]["mark"]) == (2, 1, case.mark)


@does("assistants.delete")
async def _(case: Case) -> None:
    made = await case.new_assistant()
    await case.assistants.delete(made["assistant_id"])
    with pytest.raises(NotFoundError):
        await case.assistants.get(made["assistant_id"])


@does("assistants.search")
async def _(case: Case) -> None:
    made = await case.new_assistant()
    found = await case.assistants.search(metadata={"mark": case.mark}, graph_id=case.graph, limit=100)
    assert made["assistant_id"] in [one["assistant_id"] for one in found]


@does("assistants.count")
async def _(case: Case) -> None:
    before = await case.assistants.count(metadata={"mark": case.mark})
    await case.new_assistant()
    assert await case.assistants.count(metadata={"mark": case.mark}) == before + 1


@does("assistants.get_graph")
async def _(case: Case) -> None:
    drawn = await case.assistants.get_graph(case.assistant, xray=True)
    assert {"__start__", "__end__"} < {str(node["id"]) for node in drawn["nodes"]}
    assert drawn["edges"]


@does("assistants.get_schemas")
async def _(case: Case) -> None:
    schemas = await case.assistants.get_schemas(case.assistant)
    assert schemas["graph_id"] == case.graph
    assert "messages" in (schemas["state_schema"] or {})["properties"]


@does("assistants.get_subgraphs")
async def _(case: Case) -> None:
    assert await case.assistants.get_subgraphs(case.assistant, recurse=True) == {}


@does("assistants.get_versions")
async def _(case: Case) -> None:
    made = await case.new_assistant()
    await case.assistants.update(made["assistant_id"], metadata={"more": 1})
    assert [one["version"] for one in await case.assistants.get_versions(made["assistant_id"])] == [2, 1]


@does("assistants.set_latest")
async def _(case: Case) -> None:
    made = await case.new_assistant()
    await case.assistants.update(made["assistant_id"], metadata={"more": 1})
    assert (await case.assistants.set_latest(made["assistant_id"], 1))["version"] == 1


# -- threads -----------------------------------------------------------------------------------------------------------


@does("threads.create")
async def _(case: Case) -> None:
    thread_id = str(uuid4())
    made = await case.threads.create(thread_id=thread_id, metadata={"a": 1}, if_exists="raise", ttl=60)
    assert (made["thread_id"], made["metadata"], made["status"]) == (thread_id, {"a": 1}, "idle")
    assert (await case.threads.create(thread_id=thread_id, if_exists="do_nothing"))["metadata"] == {"a": 1}


@does("threads.get")
async def _(case: Case) -> None:
    thread = await case.threads.get(await case.thread())
    assert (thread["status"], thread["metadata"]["graph_id"], said(thread["values"])[0]) == ("idle", case.graph, "hi")


@does("threads.update")
async def _(case: Case) -> None:
    changed = await case.threads.update(await case.thread(), metadata={"more": 1})
    assert (changed["metadata"]["more"], changed["metadata"]["mark"]) == (1, case.mark)


@does("threads.delete")
async def _(case: Case) -> None:
    thread = await case.thread()
    await case.threads.delete(thread)
    with pytest.raises(NotFoundError):
        await case.threads.get(thread)


@does("threads.search")
async def _(case: Case) -> None:
    thread = await case.thread()
    found = await case.threads.search(
        ids=[thread], metadata={"mark": case.mark}, status="idle", extract={"last": "values.messages[-1].content"}
    )
    assert [one["thread_id"] for one in found] == [thread]
    assert found[0]["extracted"]["last"] == said(found[0]["values"])[-1]


@does("threads.count")
async def _(case: Case) -> None:
    before = await case.threads.count(metadata={"mark": case.mark})
    await case.thread()
    assert await case.threads.count(metadata={"mark": case.mark}) == before + 1


@does("threads.copy")
async def _(case: Case) -> None:
    thread = await case.thread()
    copied = (await case.threads.copy(thread))["thread_id"]
    await case.runs.wait(copied, case.assistant, input=case.hi)
    there, here = [(await case.threads.get_state(one))["values"] for one in (copied, thread)]
    assert (len(said(there)), len(said(here))) == (4, 2)


@does("threads.prune")
async def _(case: Case) -> None:
    thread = await case.thread()
    assert (await case.threads.prune([thread], strategy="delete"))["pruned_count"] == 1
    with pytest.raises(NotFoundError):
        await case.threads.get(thread)


@does("threads.get_state")
async def _(case: Case) -> None:
    state = await case.threads.get_state(await case.thread())
    assert (said(state["values"])[0], list(state["next"])) == ("hi", [])


@does("threads.update_state")
async def _(case: Case) -> None:
    thread = await case.thread()
    node = "answer" if case.hosted else "model"
    await case.threads.update_state(thread, {"messages": [{"type": "ai", "content": "by hand"}]}, as_node=node)
    assert said((await case.threads.get_state(thread))["values"])[-1] == "by hand"


@does("threads.get_history")
async def _(case: Case) -> None:
    history = await case.threads.get_history(await case.thread(), limit=10)
    assert len(history) > 1
    assert said(history[0]["values"])[0] == "hi"


@does("threads.join_stream")
async def _(case: Case) -> None:
    thread = await case.thread()
    events = case.threads.join_stream(thread, last_event_id="-1", stream_mode=["run_modes"])
    async for part in await events if asyncio.iscoroutine(events) else events:
        if part.event == "values" and len(said(part.data)) == 2:
            break


@does("threads.stream")
async def _(case: Case) -> None:
    async with case.threads.stream(assistant_id=case.assistant) as stream:
        await stream.run.start(input=case.hi)
        assert said(await stream.output)[0] == "hi"


# -- runs --------------------------------------------------------------------------------------------------------------


@does("runs.create")
async def _(case: Case) -> None:
    thread = await case.thread()
    run = await case.runs.create(thread, case.assistant, input=case.hi)
    assert len(said(await case.runs.join(thread, run["run_id"]))) == 4


@does("runs.create_batch")
async def _(case: Case) -> None:
    runs = await case.runs.create_batch([{"assistant_id": case.assistant, "input": case.hi}] * 2)
    assert len({run["thread_id"] for run in runs}) == 2


@does("runs.wait")
async def _(case: Case) -> None:
    assert said(await case.runs.wait(None, case.assistant, input=case.hi))[0] == "hi"


@does("runs.stream")
async def _(case: Case) -> None:
    modes = ["values", "updates", "messages", "messages-tuple", "tasks", "checkpoints", "debug", "custom"]
    parts = [part async for part in case.runs.stream(None, case.assistant, input=case.hi, stream_mode=modes)]
    assert parts[0].event == "metadata"
    # Neither the example nor the native assistant has anything of its own to tell.
    assert {part.event.split("/")[0] for part in parts} >= {"values", "updates", "messages", "tasks", "checkpoints"}
    values = [part.data for part in parts if part.event == "values"]
    assert said(values[-1])[0] == "hi"


@does("runs.list")
async def _(case: Case) -> None:
    thread = await case.thread()
    (run,) = await case.runs.list(thread, status="success", select=["run_id", "status"])
    assert run["status"] == "success"


@does("runs.get")
async def _(case: Case) -> None:
    thread = await case.thread()
    (run,) = await case.runs.list(thread)
    assert await case.runs.get(thread, run["run_id"]) == run


@does("runs.join")
async def _(case: Case) -> None:
    thread = await case.thread()
    (run,) = await case.runs.list(thread)
    assert said(await case.runs.join(thread, run["run_id"]))[0] == "hi"


@does("runs.join_stream")
async def _(case: Case) -> None:
    thread = await case.thread()
    run = await case.runs.create(thread, case.assistant, input=case.hi, stream_resumable=True)
    parts = [part async for part in case.runs.join_stream(thread, run["run_id"], last_event_id="-1")]
    assert (parts[0].event, parts[-1].event, len(said(parts[-1].data))) == ("metadata", "values", 4)


@does("runs.cancel")
async def _(case: Case) -> None:
    thread = await case.thread()
    run = await case.runs.create(thread, case.assistant, input=case.hi, after_seconds=600)
    await case.runs.cancel(thread, run["run_id"], wait=True)
    assert (await case.runs.get(thread, run["run_id"]))["status"] == "interrupted"


@does("runs.cancel_many")
async def _(case: Case) -> None:
    thread = await case.thread()
    runs = [await case.runs.create(thread, case.assistant, input=case.hi, after_seconds=600) for _ in range(2)]
    await case.runs.cancel_many(thread_id=thread, run_ids=[run["run_id"] for run in runs], action="rollback")
    assert [run["status"] for run in await case.runs.list(thread)] == ["success"]


@does("runs.delete")
async def _(case: Case) -> None:
    thread = await case.thread()
    (run,) = await case.runs.list(thread)
    await case.runs.delete(thread, run["run_id"])
    assert await case.runs.list(thread) == []


# -- crons -------------------------------------------------------------------------------------------------------------


@does("crons.create")
async def _(case: Case) -> None:
    cron = await case.cron()
    assert (cron["schedule"], cron["enabled"]) == (DAILY, True)


@does("crons.create_for_thread")
async def _(case: Case) -> None:
    thread = await case.thread()
    cron = await case.crons.create_for_thread(thread, case.assistant, schedule=DAILY, input=case.hi)
    assert cron["thread_id"] == thread


@does("crons.search")
async def _(case: Case) -> None:
    cron = await case.cron()
    found = await case.crons.search(assistant_id=cron["assistant_id"], limit=100)
    assert cron["cron_id"] in [one["cron_id"] for one in found]


@does("crons.count")
async def _(case: Case) -> None:
    before = await case.crons.count()
    await case.cron()
    assert await case.crons.count() == before + 1


@does("crons.update")
async def _(case: Case) -> None:
    cron = await case.cron()
    assert not (await case.crons.update(cron["cron_id"], enabled=False))["enabled"]


@does("crons.delete")
async def _(case: Case) -> None:
    cron = await case.cron()
    await case.crons.delete(cron["cron_id"])
    with pytest.raises(NotFoundError):
        await case.crons.delete(cron["cron_id"])


# -- store -------------------------------------------------------------------------------------------------------------


@does("store.put_item")
async def _(case: Case) -> None:
    await case.store.put_item([case.mark, "put"], key="k", value={"a": 1})
    assert (await case.store.get_item([case.mark, "put"], key="k"))["value"] == {"a": 1}


@does("store.get_item")
async def _(case: Case) -> None:
    assert await case.store.get_item([case.mark, "get"], key="missing") is None


@does("store.delete_item")
async def _(case: Case) -> None:
    await case.store.put_item([case.mark, "delete"], key="k", value={})
    await case.store.delete_item([case.mark, "delete"], key="k")
    assert await case.store.get_item([case.mark, "delete"], key="k") is None


@does("store.search_items")
async def _(case: Case) -> None:
    for n in range(3):
        await case.store.put_item([case.mark, "search"], key=str(n), value={"n": n})
    found = await case.store.search_items([case.mark, "search"], filter={"n": {"$gt": 0}})
    assert sorted(item["key"] for item in found["items"]) == ["1", "2"]


@does("store.list_namespaces")
async def _(case: Case) -> None:
    await case.store.put_item([case.mark, "deep", "er"], key="k", value={})
    found = await case.store.list_namespaces(prefix=[case.mark, "deep"])
    assert found["namespaces"] == [[case.mark, "deep", "er"]]


# -- the table ---------------------------------------------------------------------------------------------------------


@pytest.fixture
async def client(server: Server) -> AsyncIterator[LangGraphClient]:
    async with get_client(url=f"{server.url}/langgraph", api_key=server.key) as client:
        yield client


@pytest.fixture(params=["hosted", "native"])
def case(request: pytest.FixtureRequest, client: LangGraphClient, server: Server, native: str) -> Case:
    hosted = request.param == "hosted"
    # A graph's own assistant has this id in the first workspace; the graph's name does only where a run is started.
    graph, assistant = ("echo", str(uuid5(NAMESPACE, "echo"))) if hosted else ("ReactAgent", native)
    return Case(client, hosted, graph, assistant, f"every-{uuid4()}")


@pytest.fixture(scope="module")
def native(server: Server) -> str:
    return make_assistant(server)


@pytest.mark.parametrize("name", list(TABLE))
async def test_it_works(case: Case, name: str) -> None:
    async with asyncio.timeout(20):
        await TABLE[name](case)


async def test_every_method_is_in_the_table(client: LangGraphClient) -> None:
    methods = {
        f"{part}.{name}"
        for part in CLIENTS
        for name in dir(getattr(client, part))
        if not name.startswith("_") and callable(getattr(getattr(client, part), name))
    }
    assert methods - {"threads.http", "runs.http"} == set(TABLE)
    assert {name for name in vars(client) if not name.startswith("_")} == {"http", *CLIENTS}
