"""What a client does with a LangGraph server, step by step, by the official SDK: the same against any server.

    python -m tests.langgraph.script http://127.0.0.1:2024 > tests/langgraph/recorded.json

asks a server and prints what it said, without what differs from one time to the next: ids are told by the order of
their appearance, moments not at all. `recorded.json` is what `langgraph dev` says (langgraph-api 0.16.7, in-memory
runtime) of the graphs in `examples/graphs`; `test_same.py` compares.
"""

import asyncio
import json
import re
import sys
from collections.abc import AsyncIterator, Awaitable
from typing import Any

import httpx
from langgraph_sdk import get_client
from langgraph_sdk.client import LangGraphClient

HELLO = {"messages": [{"role": "user", "content": "Hello", "id": "m-1"}]}
NOTHING = "01a1b2c3-d4e5-7f60-8abc-0123456789ab"

_UUID = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
# A message's own, a row's, and what LangGraph makes of a checkpoint's id and a task's name.
_ID = re.compile(rf"\b(?:(?:lc_)?run--?{_UUID}(?:-\d)?|{_UUID}|[0-9a-f]{{32}})\b")
_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)?")
_UNTOLD = {"created_at", "updated_at", "state_updated_at", "next_run_date", "timestamp", "ts"}
# What that server tells of itself, and notes for its own use.
_OWN = {
    "__after_seconds__",
    "__pregel_node_finished",
    "__request_start_time_ms__",
    "langgraph_api_url",
    "langgraph_api_version",
    "langgraph_host",
    "langgraph_plan",
    "langgraph_request_id",
    "langgraph_version",
    "langsmith_session_name",
}


class Steps:
    """The steps so far: each with its name and what was answered, a refusal as its status and sentence."""

    def __init__(self) -> None:
        self.told: list[tuple[str, Any]] = []

    async def ask(self, name: str, answer: Awaitable[Any]) -> Any:
        try:
            found = await answer
        except httpx.HTTPStatusError as refusal:
            found = {"refused": refusal.response.status_code}
        self.told.append((name, found))
        return found

    async def hear(self, name: str, stream: AsyncIterator[Any]) -> list[Any]:
        parts = []
        try:
            async for part in stream:
                parts.append([part.event, part.data])
        except httpx.HTTPStatusError as refusal:
            parts.append(["refused", refusal.response.status_code])
        self.told.append((name, parts))
        return parts


async def carry_out(client: LangGraphClient) -> list[tuple[str, Any]]:
    """All steps, in one order."""
    steps = Steps()
    for part in (
        _assistants,
        _threads,
        _waiting,
        _streaming,
        _interrupting,
        _time_travel,
        _failing,
        _background,
        _store,
    ):
        await part(client, steps)
    return steps.told


async def _assistants(client: LangGraphClient, steps: Steps) -> None:
    known = await client.assistants.search(
        limit=100, sort_by="name", sort_order="asc", metadata={"created_by": "system"}
    )
    steps.told.append(("default assistants", sorted((a["graph_id"], a["name"], a["version"]) for a in known)))
    ids = {assistant["graph_id"]: assistant["assistant_id"] for assistant in known}
    steps.told.append(("their ids", [ids[name] == _default_id(name) for name in sorted(ids)]))
    for name in ("echo", "react", "nested"):
        await steps.ask(f"the drawing of {name}", client.assistants.get_graph(ids[name]))
        await steps.ask(f"the schemas of {name}", client.assistants.get_schemas(ids[name]))
    await steps.ask("a drawing with what is inside", client.assistants.get_graph(ids["nested"], xray=True))
    await steps.ask("subgraphs", client.assistants.get_subgraphs(ids["nested"]))
    made = await steps.ask(
        "an assistant", client.assistants.create("steps", config={"configurable": {"a": 1}}, metadata={"team": "red"})
    )
    own = made["assistant_id"]
    await steps.ask("changed", client.assistants.update(own, name="Counter", metadata={"b": 2}))
    await steps.ask("changed again", client.assistants.update(own, config={"configurable": {"a": 3}}))
    await steps.ask("its versions", client.assistants.get_versions(own))
    await steps.ask("back to the first", client.assistants.set_latest(own, 1))
    await steps.ask("it is found as it was left", client.assistants.search(metadata={"team": "red"}, graph_id="steps"))
    await steps.ask("counted", client.assistants.count(metadata={"team": "red"}))
    await steps.ask("deleted", client.assistants.delete(own))
    await steps.ask("and gone", client.assistants.get(own))
    await steps.ask("no such graph", client.assistants.create("nobody"))


async def _threads(client: LangGraphClient, steps: Steps) -> None:
    thread = await steps.ask("a thread", client.threads.create(metadata={"tag": "script", "nested": {"a": 1, "b": 2}}))
    own = thread["thread_id"]
    await steps.ask("the same again", client.threads.create(thread_id=own))
    await steps.ask("the same, if it exists", client.threads.create(thread_id=own, if_exists="do_nothing"))
    await steps.ask("metadata is merged", client.threads.update(own, metadata={"more": None}))
    await steps.ask("the thread is found", client.threads.search(metadata={"tag": "script", "nested": {"a": 1}}))
    await steps.ask("counted", client.threads.count(metadata={"tag": "script"}))
    await steps.ask("its empty state", client.threads.get_state(own))
    await steps.ask("its empty history", client.threads.get_history(own))
    await steps.ask("deleted", client.threads.delete(own))
    await steps.ask("and gone", client.threads.get(own))
    await steps.ask("no thread", client.runs.list(NOTHING))
    await steps.ask("no id", client.threads.get("nobody"))


async def _waiting(client: LangGraphClient, steps: Steps) -> None:
    thread = (await client.threads.create())["thread_id"]
    await steps.ask("echo", client.runs.wait(thread, "echo", input=HELLO))
    await steps.ask(
        "echo again",
        client.runs.wait(thread, "echo", input={"messages": [{"role": "user", "content": "More", "id": "m-2"}]}),
    )
    await steps.ask("the thread", client.threads.get(thread))
    await steps.ask("its state", client.threads.get_state(thread))
    await steps.ask("its history", client.threads.get_history(thread, limit=20))
    await steps.ask("its runs", client.runs.list(thread))
    await steps.ask("with another assistant", client.runs.wait(thread, "steps", input={"count": 5}))
    await steps.ask("stateless", client.runs.wait(None, "steps", input={"count": 1}))
    copied = await client.threads.copy(thread)
    steps.told.append(("copied", copied is None or isinstance(copied, dict)))


async def _streaming(client: LangGraphClient, steps: Steps) -> None:
    for mode in ("values", "updates", "custom", "tasks", "checkpoints", "debug"):
        thread = (await client.threads.create())["thread_id"]
        await steps.hear(f"steps as {mode}", client.runs.stream(thread, "steps", input={"count": 0}, stream_mode=mode))
    for mode in ("values", "updates", "messages", "messages-tuple"):
        thread = (await client.threads.create())["thread_id"]
        await steps.hear(f"react as {mode}", client.runs.stream(thread, "react", input=HELLO, stream_mode=mode))
    thread = (await client.threads.create())["thread_id"]
    both: Any = ["updates", "custom"]
    await steps.hear("two modes", client.runs.stream(thread, "steps", input={}, stream_mode=both))
    thread = (await client.threads.create())["thread_id"]
    modes: Any = ["updates", "values"]
    inside = client.runs.stream(thread, "nested", input={"text": "a"}, stream_mode=modes, stream_subgraphs=True)
    await steps.hear("what is inside", inside)
    await steps.hear("stateless", client.runs.stream(None, "echo", input=HELLO, stream_mode="updates"))


async def _interrupting(client: LangGraphClient, steps: Steps) -> None:
    thread = (await client.threads.create(metadata={"script": "asks"}))["thread_id"]
    modes: Any = ["values", "updates"]
    await steps.hear("asks", client.runs.stream(thread, "interrupt", input={"question": "Sure?"}, stream_mode=modes))
    await steps.ask("the thread waits", client.threads.get(thread))
    await steps.ask("what it asks", client.threads.get_state(thread))
    await steps.ask("found by its status", client.threads.count(metadata={"script": "asks"}, status="interrupted"))
    await steps.ask("answered", client.runs.wait(thread, "interrupt", command={"resume": "yes"}))
    await steps.ask("the thread rests", client.threads.get(thread))
    await steps.ask("nothing is asked", client.runs.wait(thread, "interrupt", command={"resume": "again"}))
    await steps.ask("its runs", client.runs.list(thread))
    thread = (await client.threads.create())["thread_id"]
    await steps.ask("asks, waited for", client.runs.wait(thread, "interrupt", input={}))
    thread = (await client.threads.create())["thread_id"]
    await steps.ask("stops before", client.runs.wait(thread, "steps", input={"count": 0}, interrupt_before=["s3"]))
    await steps.ask("it stands there", client.threads.get_state(thread))
    await steps.ask("goes on", client.runs.wait(thread, "steps", input=None))
    await steps.ask("no thread to resume", client.runs.wait(None, "interrupt", command={"resume": 1}))


async def _time_travel(client: LangGraphClient, steps: Steps) -> None:
    thread = (await client.threads.create())["thread_id"]
    await client.runs.wait(thread, "steps", input={"count": 10})
    await steps.ask("a change", client.threads.update_state(thread, {"count": 100}, as_node="s3"))
    await steps.ask("the state after it", client.threads.get_state(thread))
    await steps.ask("gone on from it", client.runs.wait(thread, "steps", input=None))
    history = await client.threads.get_history(thread, limit=50)
    steps.told.append(("the history", [[s["next"], s["metadata"]["source"], s["metadata"]["step"]] for s in history]))
    earlier = next(state for state in history if state["next"] == ["s2"])
    await steps.ask("a fork", client.runs.wait(thread, "steps", input=None, checkpoint=_only_id(earlier["checkpoint"])))
    await steps.ask(
        "at a checkpoint", client.threads.get_state(thread, checkpoint_id=earlier["checkpoint"]["checkpoint_id"])
    )
    await steps.ask("no such node", client.threads.update_state(thread, {"count": 1}, as_node="nope"))
    await steps.ask("after the change", client.threads.get_history(thread, limit=1))


async def _failing(client: LangGraphClient, steps: Steps) -> None:
    thread = (await client.threads.create())["thread_id"]
    await steps.ask("fails", client.runs.wait(thread, "steps", input={"fail_at": 3}, raise_error=False))
    await steps.ask("the thread", client.threads.get(thread))
    await steps.ask("its runs", client.runs.list(thread))
    await steps.hear("heard", client.runs.stream(thread, "steps", input={"fail_at": 2}, stream_mode="updates"))
    await steps.ask("no such assistant", client.runs.wait(thread, NOTHING, input={}))
    await steps.ask("no such graph", client.runs.wait(thread, "nobody", input={}))


async def _background(client: LangGraphClient, steps: Steps) -> None:
    thread = (await client.threads.create())["thread_id"]
    run = await steps.ask("a run", client.runs.create(thread, "steps", input={"sleep_s": 0.3}, metadata={"a": 1}))
    await steps.ask("another is refused", client.runs.create(thread, "steps", input={}, multitask_strategy="reject"))
    await steps.ask("the thread is busy", client.threads.get(thread))
    await steps.ask("joined", client.runs.join(thread, run["run_id"]))
    await steps.ask("ended", client.runs.get(thread, run["run_id"]))
    await steps.ask("cancelled too late", client.runs.cancel(thread, run["run_id"]))
    run = await client.runs.create(thread, "steps", input={"sleep_s": 5})
    await asyncio.sleep(1)
    await steps.ask("cancelled", client.runs.cancel(thread, run["run_id"], wait=True))
    await steps.ask("is interrupted", client.runs.get(thread, run["run_id"]))
    await steps.ask("the run is deleted", client.runs.delete(thread, run["run_id"]))
    await steps.ask("no such run", client.runs.get(thread, NOTHING))
    first = await client.runs.create(thread, "steps", input={"sleep_s": 0.2})
    second = await client.runs.create(thread, "steps", input={"count": 50})
    await client.runs.join(thread, second["run_id"])
    steps.told.append(
        (
            "in turns",
            [r["status"] for r in await client.runs.list(thread) if r["run_id"] in (first["run_id"], second["run_id"])],
        )
    )


async def _store(client: LangGraphClient, steps: Steps) -> None:
    await steps.ask("kept", client.store.put_item(["script", "a"], "one", {"n": 1, "text": "first"}))
    await client.store.put_item(["script", "b"], "two", {"n": 2})
    await steps.ask("read", client.store.get_item(["script", "a"], "one"))
    await steps.ask("searched", client.store.search_items(["script"], filter={"n": 2}))
    await steps.ask("all below", client.store.search_items(["script"], limit=10))
    await steps.ask("namespaces", client.store.list_namespaces(prefix=["script"]))
    await steps.ask("deleted", client.store.delete_item(["script", "a"], "one"))
    await steps.ask("and gone", client.store.get_item(["script", "a"], "one"))
    await client.store.delete_item(["script", "b"], "two")


def _only_id(checkpoint: Any) -> Any:
    return {"checkpoint_id": checkpoint["checkpoint_id"], "checkpoint_ns": "", "thread_id": checkpoint["thread_id"]}


def _default_id(graph: str) -> str:
    from uuid import UUID, uuid5

    return str(uuid5(UUID("6ba7b821-9dad-11d1-80b4-00c04fd430c8"), graph))


def plain(told: list[tuple[str, Any]]) -> list[tuple[str, Any]]:
    """What was told, with ids by the order of their appearance in a step and without moments."""
    return [(name, _Plain().of(answer)) for name, answer in told]


class _Plain:
    """One step's answer, made comparable."""

    def __init__(self) -> None:
        self._ids: dict[str, str] = {}

    def of(self, value: Any, key: str = "") -> Any:
        if key in _UNTOLD and value is not None:
            return "<moment>"
        if isinstance(value, dict):
            return {self._text(name): self.of(value[name], name) for name in sorted(value) if name not in _OWN}
        if isinstance(value, list | tuple):
            return [self.of(item) for item in value]
        return self._text(value) if isinstance(value, str) else value

    def _text(self, text: str) -> str:
        text = _MOMENT.sub("<moment>", text)
        return _ID.sub(self._label, text)

    def _label(self, found: re.Match[str]) -> str:
        return self._ids.setdefault(found[0], f"<id {len(self._ids) + 1}>")


async def _record(url: str, key: str | None) -> None:
    told = plain(await carry_out(get_client(url=url, api_key=key)))
    sys.stdout.write("[\n" + ",\n".join(json.dumps(step, sort_keys=True) for step in told) + "\n]\n")


if __name__ == "__main__":
    asyncio.run(_record(sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else None))
