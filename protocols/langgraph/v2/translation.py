"""A run's log as the events of protocol v2.

What an event of the log becomes hangs on those before it in its run and on nothing else: each reader translates a run
from its beginning, so that all of them hear the same, under the same numbers.
"""

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any

import orjson

from protocols.langgraph.interrupts import interrupts_of
from protocols.langgraph.streaming.frames import About
from protocols.langgraph.streaming.native import NativeRun
from protocols.langgraph.v2.blocks import Data, Writing
from protocols.langgraph.v2.lifecycle import Path, Subgraphs, name_of
from protocols.langgraph.v2.numbering import MAX_INDEX, seq_of
from runs.events import Event

ROOT: Path = ()
_NATIVE = {"name", "value"}
# An event before its envelope: method, namespace, data, and the id of one that the server makes up.
_Told = tuple[str, Path, Any, str | None]


# The modes that all channels are made of.
MODES = ("values", "updates", "messages-tuple", "tasks", "tools", "custom")


class Translator:
    """Translates one run's events, in order.

    What a native assistant does is first told as the parts that a graph of its nodes would stream.
    """

    def __init__(self, run_id: str, about: About):
        self.run_id = run_id
        self.about = about
        self.status = "started"
        self.subgraphs = Subgraphs()
        self._native = None if about.hosted else NativeRun(about, (*MODES, "checkpoints"))
        self._times = 0  # how often it has begun
        self._checkpoint_id: str | None = None
        self._writing: dict[tuple[Path, str], Writing] = {}
        self._written: set[str] = set()

    async def feed(self, event: Event) -> list[dict[str, Any]]:
        """What the event of the log is told as."""
        return self.told(event, [event.data] if event.event == "graph" else await self._native_parts(event))

    def told(self, event: Event, parts: list[Data]) -> list[dict[str, Any]]:
        """The same, with what a graph streams with it."""
        timestamp = int(datetime.fromisoformat(event.ts).timestamp() * 1_000)
        told = []
        for index, (method, path, data, made_up) in enumerate(self._translate(event, parts)):
            if index > MAX_INDEX:
                break
            told.append(
                {
                    "type": "event",
                    "event_id": made_up or f"{event.run_id}:{event.seq}.{index}",
                    "seq": seq_of(event.position, index),
                    "method": method,
                    "params": {"namespace": list(path), "timestamp": timestamp, "data": data},
                }
            )
        return told

    async def _native_parts(self, event: Event) -> list[Data]:
        """What a graph would stream with this event of a native assistant's run; of a hosted graph's, nothing."""
        if self._native is None:
            return []
        if event.event == "checkpoint":
            self._checkpoint_id = event.data["checkpoint_id"]
        frames = await self._native.feed(event)
        return [{"mode": frame.name, "ns": (), "data": orjson.loads(frame.data)} for frame in frames]

    def _translate(self, event: Event, parts: list[Data]) -> Iterator[_Told]:
        if event.event == "superseded":
            yield from self._superseded()
        for part in parts:
            yield from self._part(part)
        match event.event:
            case "metadata" if self.status in {"started", "interrupted"}:
                yield from self._begun()
            case "interrupt":
                yield from self._interrupted(event.data)
            case "end":
                yield from self._ended(event.data)

    # -- the run -----------------------------------------------------------------------------------------------------

    def _begun(self) -> Iterator[_Told]:
        self.status, self._times = "running", self._times + 1
        yield self._lifecycle("running")

    def _interrupted(self, interrupt: Data) -> Iterator[_Told]:
        yield from self._finish_all()
        for asked in interrupts_of(self.run_id, interrupt, self._checkpoint_id):
            path = _path(asked.get("ns"))
            # The protocol has `payload`; Python's client reads `value`.
            data = {"interrupt_id": asked["id"], "payload": asked["value"], "value": asked["value"]}
            made_up = f"synth:{self.run_id}:input|{'|'.join(path)}|{asked['id']}{self._again}"
            yield ("input.requested", path, data, made_up)
        yield from self._all_ended("interrupted")
        self.status = "interrupted"
        yield self._lifecycle("interrupted")

    def _ended(self, end: Data) -> Iterator[_Told]:
        yield from self._finish_all()
        if self.status == "interrupted":
            # Concluded by the next run of the thread, which tells how it goes on.
            return
        # A cancelled run is an interrupted one to these clients.
        how = {"success": "completed", "cancelled": "interrupted"}.get(end["status"], "failed")
        yield from self._all_ended(how)
        self.status = how
        error = end.get("error") or {}
        yield self._lifecycle(how, **({"error": str(error.get("message", end["status"]))} if how == "failed" else {}))

    def _lifecycle(self, how: str, **more: Any) -> _Told:
        # JavaScript's client finds the beginning of the run that it has started by this form of id.
        made_up = f"synth:{self.run_id}:lc||{how}{self._again}"
        return ("lifecycle", ROOT, {"event": how, "graph_name": self.about.graph_id, **more}, made_up)

    @property
    def _again(self) -> str:
        # A native client lets a run that asks go on itself.
        return f"|{self._times}" if self._times > 1 else ""

    def _all_ended(self, how: str) -> Iterator[_Told]:
        for path in self.subgraphs.all_ended(how):
            yield self._subgraph(path, how, None)

    def _subgraph(self, path: Path, how: str, why: str | None) -> _Told:
        data: Data = {"event": how, "graph_name": name_of(path)}
        if how == "started":
            data.update(namespace=list(path), trigger_call_id=path[-1].partition(":")[2] or None)
        if why is not None:
            data["error"] = why
        return ("lifecycle", path, data, None)

    # -- what a hosted graph streams ---------------------------------------------------------------------------------

    def _part(self, part: Data) -> Iterator[_Told]:
        path, data = tuple(part["ns"]), part["data"]
        for above in self.subgraphs.begun(path):
            yield self._subgraph(above, "started", None)
        match part["mode"]:
            case "messages":
                yield from ((("messages", path, told, None)) for told in self._message(path, data))
            case "values":
                yield from self._finish_all(path)
                yield ("values", path, _without_interrupts(data), None)
            case "updates" if updates := _without_interrupts(data):
                yield ("updates", path, updates, None)
            case "custom":
                yield ("custom", path, _custom(data), None)
            case "tasks":
                yield ("tasks", path, data, None)
                if "result" in data:
                    for child, how, why in self.subgraphs.ended(path, data):
                        yield self._subgraph(child, how, why)
            case "tools":
                yield ("tools", path, data, None)
            case "checkpoints":
                yield ("checkpoints", path, _checkpoint(data), None)

    def _message(self, path: Path, data: Any) -> Iterable[Data]:
        # Where a message comes from is told with its first chunk.
        message, *origin = data
        metadata = origin[0] if origin else {}
        message_id = str(message.get("id"))
        if message.get("type") == "ai" and message_id not in self._written:
            self._written.add(message_id)
            writing = Writing(message_id)
            yield from (writing.begin(_concise(message, metadata)), *writing.add(message), *writing.finish())
        elif message.get("type") == "AIMessageChunk":
            yield from self._chunk((path, message_id), message, metadata)

    def _chunk(self, key: tuple[Path, str], chunk: Data, metadata: Data) -> Iterator[Data]:
        writing = self._writing.get(key)
        if writing is None:
            if chunk.get("chunk_position") == "last" and not chunk.get("content") and key[1] in self._written:
                return
            writing = self._writing[key] = Writing(key[1])
            self._written.add(key[1])
            yield writing.begin(_concise(chunk, metadata))
        yield from writing.add(chunk)
        if chunk.get("chunk_position") == "last":
            del self._writing[key]
            yield from writing.finish()

    def _finish_all(self, path: Path | None = None) -> Iterator[_Told]:
        """Models that do not say which chunk is their last: the step that they answered in is over."""
        for key, writing in list(self._writing.items()):
            if path is None or key[0] == path:
                del self._writing[key]
                yield from (("messages", key[0], data, None) for data in writing.finish())

    def _superseded(self) -> Iterator[_Told]:
        """The step in flight is carried out again: what it has begun to write is written anew."""
        for key, writing in list(self._writing.items()):
            self._written.discard(key[1])
            yield ("messages", key[0], writing.give_up("It is written anew."), None)
        self._writing.clear()


def _path(namespace: Any) -> Path:
    """The path of a subgraph, given as such or as LangGraph writes it: its segments joined by `|`."""
    if isinstance(namespace, str):
        return tuple(namespace.split("|")) if namespace else ROOT
    return tuple(namespace or ())


def _without_interrupts(data: Any) -> Any:
    # What is asked has an event of its own.
    return {key: value for key, value in data.items() if key != "__interrupt__"} if isinstance(data, dict) else data


def _custom(data: Any) -> Data:
    """What a node writes; a native agent gives it a name, and a node may."""
    if isinstance(data, dict) and isinstance(data.get("name"), str) and data.keys() in ({"name", "payload"}, _NATIVE):
        return {"name": data["name"], "payload": data.get("payload", data.get("value"))}
    return {"payload": data}


def _checkpoint(data: Data) -> Data:
    parent = _checkpoint_id(data.get("parent_config"))
    metadata = data.get("metadata") or {}
    return {
        "id": _checkpoint_id(data.get("config")),
        **({"parent_id": parent} if parent else {}),
        "step": metadata.get("step", -1),
        "source": metadata.get("source", "loop"),
    }


def _checkpoint_id(config: Any) -> Any:
    return ((config or {}).get("configurable") or {}).get("checkpoint_id")


def _concise(message: Data, metadata: Data) -> Data:
    told = message.get("response_metadata") or {}
    named = {"provider": told.get("model_provider"), "model": told.get("model_name")}
    named["langgraph_node"] = (metadata or {}).get("langgraph_node")
    return {key: value for key, value in named.items() if value}
