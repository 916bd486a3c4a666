"""What a hosted graph streams, told as events of its run.

Imports langchain-core: imported where a graph is carried out only. The modes are those of LangGraph's `astream`, and
`events`, which are LangChain's (`astream_events`, v2).
"""

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import aclosing
from typing import Any
from uuid import UUID

from langchain_core.messages import AIMessageChunk, BaseMessage

from core.text import clean
from graphs.rendering import render, text
from graphs.said import native_id
from graphs.tasks_shown import checkpoint_shown, debug_shown, task_shown
from runtime.contract import Json, StepIO

# What is always listened to: the state, whether somebody is asked, and what models say.
_OWN_MODES = ("values", "updates", "messages")
_EVENTS = "events"
_SHOWN: dict[str, Callable[[Any], Json]] = {"tasks": task_shown, "checkpoints": checkpoint_shown, "debug": debug_shown}
# What a native run tells beside its tokens.
_NATIVE_MODES = frozenset({"messages", "custom"})


class Parts:
    """Tells the parts of one run that were asked for.

    `values` are those of the graph itself after its last superstep, None before the first; `asks` says whether it
    stopped for a person.
    """

    def __init__(self, io: StepIO, kwargs: Mapping[str, Json], on_superstep: Callable[[], None]):
        self._io = io
        self._on_superstep = on_superstep
        self._run_id = UUID(io.run_id)
        self._asked = _asked(kwargs)
        self._subgraphs = bool(kwargs.get("stream_subgraphs"))
        self._shown: dict[int, tuple[Any, Json]] = {}  # messages of the state, each shown once
        self._origins: dict[str, Any] = {}  # what was told of where each message comes from
        self._speaking = ("", "")  # the message that is being written, by LangGraph's id and by the session's
        self.values: Any = None
        self.asks = False

    async def tell_all(self, graph: Any, given: Any, config: dict[str, Any], options: dict[str, Any]) -> None:
        """Carry the graph out and tell what it streams."""
        modes = [*_OWN_MODES, *sorted(self._asked - {*_OWN_MODES, _EVENTS})]
        options = {**options, "stream_mode": modes, "subgraphs": self._subgraphs}
        if _EVENTS in self._asked:
            streamed = self._events(graph.astream_events(given, config, version="v2", **options), config["run_id"])
        else:
            streamed = graph.astream(given, config, **options)
        async with aclosing(streamed):
            async for piece in streamed:
                self._tell(*(piece if self._subgraphs else ((), *piece)))

    async def _events(self, events: AsyncIterator[Any], root: UUID) -> AsyncGenerator[Any, None]:
        """Tell LangChain's events; gives what the graph itself streams, which is in those of its own run."""
        async for event in events:
            if event["event"] == "on_chain_stream" and event["run_id"] == str(root):
                yield event["data"]["chunk"]
            else:
                self._io.part(_EVENTS, (), render(event))

    def _tell(self, namespace: Sequence[str], mode: str, data: Any) -> None:
        if mode == "values" and not namespace:
            self.values = data
            self._on_superstep()
        elif mode == "updates" and not namespace:
            self.asks = self.asks or "__interrupt__" in data
        elif mode == "messages":
            self._say(data[0])
        if mode in self._asked:
            if mode == "messages":
                shown = self._message(*data)
            elif mode == "values" and isinstance(data, dict):
                shown = {text(name): self._value(value) for name, value in data.items()}
            else:
                shown = _SHOWN.get(mode, render)(data)
            self._io.part(mode, namespace, shown)

    def _value(self, value: Any) -> Json:
        """A channel's value. Messages are the same objects superstep by superstep, and a conversation may be long."""
        if type(value) is not list:
            return render(value)
        return [self._once(item) if isinstance(item, BaseMessage) else render(item) for item in value]

    def _once(self, message: BaseMessage) -> Json:
        known = self._shown.get(id(message))
        if known is None or known[0] is not message:
            known = self._shown[id(message)] = message, render(message)
        return known[1]

    def _say(self, chunk: Any) -> None:
        if isinstance(chunk, AIMessageChunk) and chunk.id and (said := str(chunk.text)):
            if self._speaking[0] != chunk.id:
                self._speaking = chunk.id, native_id(self._run_id, chunk.id)
            self._io.token(self._speaking[1], clean(said))

    def _message(self, chunk: Any, origin: Any) -> Json:
        """A chunk, and where its message comes from; that is as large as chunks are small, and told with the first."""
        if chunk.id is not None and self._origins.get(chunk.id) is origin:
            return [render(chunk)]
        self._origins[chunk.id] = origin
        return [render(chunk), render(origin)]


def _asked(kwargs: Mapping[str, Json]) -> frozenset[str]:
    """The modes to tell; the protocol's `messages-tuple` and `messages` are both LangGraph's `messages`."""
    if not kwargs:
        return _NATIVE_MODES
    given = kwargs.get("stream_mode") or ()
    modes = {given} if isinstance(given, str) else set(given)
    return frozenset("messages" if mode == "messages-tuple" else mode for mode in modes)
