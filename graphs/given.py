"""What a hosted graph is given for a run: its configuration, its context and its input.

Imports langgraph: imported where a graph is carried out only. Sources: LangGraph's `RunnableConfig`, `Command` and
`Send`, and the requests of its server's protocol.
"""

from collections.abc import Mapping
from functools import cache
from importlib.metadata import version
from typing import Any
from uuid import UUID

from langchain_core.messages import HumanMessage
from langgraph.types import Command, Send

from core.ids import derived_id
from graphs.configs import run_config
from runtime.contract import Json, State, StepIO

_PLACE = ("checkpoint_ns", "checkpoint_id", "checkpoint_map")


def config_of(assistant: Mapping[str, Any], state: State, io: StepIO) -> dict[str, Any]:
    """The run's config: the assistant's, the run's over it, and over both what this server says.

    Keys of `configurable` and `metadata` are merged one by one, tags joined.
    """
    own, asked = _config(assistant), _config(state.kwargs)
    graph_id = assistant["graph_id"]
    place = {"thread_id": io.session_id, "run_id": io.run_id, "assistant_id": io.assistant_id, "graph_id": graph_id}
    said = {**_part(own, "configurable"), **_part(asked, "configurable")}
    merged: dict[str, Any] = {
        "tags": list(dict.fromkeys([*(own.get("tags") or ()), *(asked.get("tags") or ())])),
        "metadata": {**(assistant.get("metadata") or {}), **_part(own, "metadata"), **_part(asked, "metadata")},
        "configurable": {name: value for name, value in said.items() if name not in _PLACE},
    }
    for name in ("recursion_limit", "max_concurrency", "run_name"):
        if (value := asked.get(name) or own.get(name)) is not None:
            merged[name] = value
    metadata = {**io.metadata, **place, "langgraph_version": _version(), "langgraph_host": "self-hosted"}
    return {"run_id": UUID(io.run_id), **run_config(merged, place, io.user_id, metadata, io.attempt)}


def context_of(assistant: Mapping[str, Any], state: State) -> dict[str, Any] | None:
    """The run's context over the assistant's; a run's `configurable` stands for a context that it does not give."""
    asked = state.kwargs.get("context") or _part(_config(state.kwargs), "configurable")
    # What the server says itself is in no schema of a graph's.
    said = {name: value for name, value in asked.items() if not name.startswith("langgraph_") and name != "cron_id"}
    return {**_part(assistant, "context"), **said} or None


def place_of(state: State) -> dict[str, Any]:
    """The checkpoint at which a client of the protocol asked to begin, as keys of `configurable`; empty: where its
    thread stands."""
    asked = state.kwargs.get("checkpoint") or _part(_config(state.kwargs), "configurable")
    place = {key: asked[key] for key in _PLACE if asked.get(key)}
    if "checkpoint_id" not in place and (checkpoint_id := state.kwargs.get("checkpoint_id")):
        place["checkpoint_id"] = checkpoint_id
    return place


def input_of(channels: Mapping[str, Any], state: State, io: StepIO) -> Any:
    """What a run begins with that has not begun yet: its command, else its input.

    A native run's `message` or `messages` are those of a channel `messages`, where the graph has one.
    """
    if command := state.kwargs.get("command"):
        return command_of(command)
    if state.kwargs or not isinstance(state.input, dict) or "messages" not in channels:
        return state.input
    return _spoken(state.input, UUID(io.run_id))


def command_of(asked: Mapping[str, Any]) -> Command[Any]:
    """The protocol's `{"resume", "update", "goto"}` as LangGraph's."""
    update, goto = asked.get("update"), asked.get("goto") or ()
    targets = goto if isinstance(goto, list | tuple) else [goto]
    return Command(
        resume=asked.get("resume"),
        update=[tuple(pair) for pair in update] if isinstance(update, list) else update,
        goto=[target if isinstance(target, str) else Send(target["node"], target.get("input")) for target in targets],
    )


def _config(source: Mapping[str, Any]) -> Mapping[str, Any]:
    return _part(source, "config")


def _part(source: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    return source.get(name) or {}


def _spoken(given: dict[str, Json], run_id: UUID) -> dict[str, Json]:
    """A person's messages. Their ids are the run's own, so that a run that is begun again says them once."""
    rest = {name: value for name, value in given.items() if name != "message"}
    said = rest.get("messages")
    if given.get("message") is not None:
        contents = [given["message"]]
    elif isinstance(said, list) and said and all(isinstance(one, dict) and one.get("role") == "user" for one in said):
        contents = [one["content"] for one in said]
    else:
        return given
    messages = [
        HumanMessage(content=_content(content), id=str(derived_id(run_id, index)))
        for index, content in enumerate(contents)
    ]
    return {**rest, "messages": messages}


def _content(content: Any) -> Any:
    if isinstance(content, str):
        return content
    # Clients may have said what a part has not; integrations go by the keys that there are.
    return [{key: value for key, value in part.items() if value is not None} for part in content]


@cache
def _version() -> str:
    return version("langgraph")
