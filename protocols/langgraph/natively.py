"""What a native assistant takes of a request in LangGraph's protocol, and what it refuses."""

from typing import Any

from core.db import Row
from core.errors import Invalid
from core.ids import parse_id
from protocols.langgraph.messages import native_messages
from protocols.langgraph.run_bodies import StatelessRun

_ONLY_GRAPHS = "Only hosted graphs take this; the assistant is of the type {type}."


def refuse_what_natives_lack(body: StatelessRun, assistant: Row, max_steps: int | None = None) -> None:
    """Raise Invalid for what would not be carried out. A bound on steps that is above the assistant's own says nothing.

    `max_steps` is that one, for a body that has a `recursion_limit`.
    """
    config, command = body.config, body.command
    asked: dict[str, Any] = {
        "interrupt_before": body.interrupt_before,
        "interrupt_after": body.interrupt_after,
        "context": body.context,
        "config.configurable": config and config.configurable,
        "config.max_concurrency": config and config.max_concurrency,
        "stream_mode": "events" in body.modes,
        "command.update": command and command.update,
        "command.goto": command and command.goto,
    }
    for name, value in asked.items():
        if value:
            message = _ONLY_GRAPHS.format(type=assistant["type"])
            if name == "stream_mode":
                message = f"The mode events is not there: {message[0].lower()}{message[1:]}"
            raise Invalid.at(*name.split("."), message=message)
    if config is not None and config.recursion_limit and max_steps and config.recursion_limit < max_steps:
        message = f"The assistant's own max_steps is {max_steps}, and a run cannot have fewer."
        raise Invalid.at("config", "recursion_limit", message=message)
    if command is not None and command.resume is None:
        raise Invalid.at("command", message="There is nothing in it to resume with.")


def native_input(body: StatelessRun, assistant: Row) -> dict[str, Any]:
    """`input`, and `checkpoint_id` where the run begins at an earlier checkpoint, as `CreateRun` takes them.

    What LangGraph's clients give as messages is what people say: messages of another type are refused. Other input is
    that of assistants with a schema of their own. Raises Invalid.
    """
    place = body.begins_at
    given: dict[str, Any] = {"input": body.input}
    if place is not None:
        checkpoint_id = parse_id(str(place.get("checkpoint_id")))
        if checkpoint_id is None or set(place) - {"checkpoint_id", "checkpoint_ns"} or place.get("checkpoint_ns"):
            raise Invalid.at("checkpoint", message="A checkpoint of the thread is named by checkpoint_id.")
        given["checkpoint_id"] = str(checkpoint_id)
    if isinstance(body.input, dict) and "messages" in body.input:
        given["input"] = {**body.input, "messages": _said(body.input["messages"], "input", "messages")}
    elif isinstance(body.input, str | list):
        given["input"] = {"messages": _said(body.input, "input")}
    return given


def _said(given: Any, *place: str) -> list[dict[str, Any]]:
    said = []
    for index, message in enumerate(native_messages(given, *place)):
        if message["role"] != "user":
            raise Invalid.at(*place, index, message="A run of this assistant begins with messages of the type human.")
        said.append({"role": "user", "content": message["content"]})
    return said
