"""What a hosted graph's run tells, as frames: its worker has told LangGraph's own stream, piece by piece."""

from collections.abc import Collection, Iterable
from typing import Any

import orjson

from protocols.langgraph.streaming.chunks import Growing, is_chunk
from protocols.langgraph.streaming.frames import About, Frame, frame
from protocols.langgraph.streaming.places import OF_MODE
from runs.events import Event

_OF_MESSAGES = frozenset({"messages", "messages-tuple"})


class HostedRun:
    """One run of a hosted graph, for a reader of these modes. Its native events tell its readers nothing."""

    def __init__(self, about: About, modes: Collection[str]):
        self._about = about
        self._modes = modes
        self._growing: dict[str, Growing] = {}
        self._origins: dict[str, bytes] = {}  # of messages, as JSON: told with their first chunk
        self.folds = bool(_OF_MESSAGES & set(modes))

    async def feed(self, event: Event) -> Iterable[Frame]:
        """The frames of an event that are wanted."""
        match event.event:
            case "graph":
                return self._part(event)
            case "metadata" | "superseded":
                # What was being said is said anew, as a message of its own.
                self._growing.clear()
            case "end":
                return self._end(event)
        return ()

    def _part(self, event: Event) -> Iterable[Frame]:
        mode, namespace = event.data["mode"], event.data["ns"]
        if namespace and not self._about.subgraphs:
            return ()
        suffix = "".join(f"|{part}" for part in namespace)
        if mode == "messages":
            return self._message(event, suffix)
        frames = []
        if mode in self._modes:
            frames.append(Frame(OF_MODE[mode], f"{mode}{suffix}", event.part))
        if mode == "values" and not namespace and "state_update" in self._modes:
            frames.append(_state_update(event.run_id, event.data["data"]))
        return frames

    def _message(self, event: Event, suffix: str) -> Iterable[Frame]:
        message, *origin = event.data["data"]
        key = str(message.get("id"))
        known = key in self._origins
        if origin:
            self._origins[key] = orjson.dumps(origin[0])
        frames = []
        # LangGraph's server does not say of these which subgraph they are of.
        if "messages" in self._modes:
            slot = OF_MODE["messages"]
            if not known:
                told = b'{%s:{"metadata":%s}}' % (orjson.dumps(key), self._origins.get(key, b"{}"))
                frames.append(Frame(slot, "messages/metadata", told))
            if is_chunk(message):
                frames.append(frame(slot + 1, "messages/partial", [self._grown(key, message)]))
            else:
                frames.append(Frame(slot + 1, "messages/complete", b"[%s]" % orjson.dumps(message)))
        if "messages-tuple" in self._modes:
            # What was told is `[chunk, origin]`, or the chunk alone.
            pair = event.part if origin else b"%s,%s]" % (event.part[:-1], self._origins.get(key, b"{}"))
            frames.append(Frame(OF_MODE["messages-tuple"], f"messages{suffix}", pair))
        return frames

    def _grown(self, key: str, chunk: dict[str, Any]) -> dict[str, Any]:
        growing = self._growing.get(key)
        if growing is None:
            growing = self._growing[key] = Growing(chunk)
        else:
            growing.add(chunk)
        return growing.message()

    def _end(self, event: Event) -> Iterable[Frame]:
        """A run that was not asked for its values has told none; they are known once it has ended."""
        if self._about.modes is not None and "values" in self._about.modes:
            return ()
        values = (event.data.get("output") or {}).get("structured")
        frames = []
        if values is not None and "values" in self._modes:
            frames.append(frame(OF_MODE["values"], "values", values))
        if values is not None and "state_update" in self._modes:
            frames.append(_state_update(event.run_id, values))
        return frames


def _state_update(run_id: str, values: Any) -> Frame:
    return frame(OF_MODE["state_update"], "state_update", {"run_id": run_id, "values": values})
