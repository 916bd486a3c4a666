"""An assistant's tools: how the model sees them, and how its calls are carried out."""

import asyncio
import json
import time
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError
from pydantic_core import PydanticSerializationError, to_jsonable_python

from core.text import clean
from runtime.contract import BoundTool, Json, Message, StepIO, ToolCall, ToolContext, ToolRecord
from runtime.errors import AgentError
from runtime.messages import STATUS

_SHOWN = 200


class Toolbox:
    """The tools that one assistant may use, with their parameters' defaults filled in.

    Raises `AgentError` where the parameters of a tool are not valid.
    """

    def __init__(self, tools: Mapping[str, BoundTool]):
        self._tools = {name: _with_defaults(name, bound) for name, bound in tools.items()}

    @property
    def schemas(self) -> list[dict[str, Any]]:
        """The tools as functions in OpenAI's form, which every integration of langchain understands."""
        return [_schema(name, bound) for name, bound in self._tools.items()]

    def has(self, name: str) -> bool:
        """Whether there is such a tool."""
        return name in self._tools

    def args_schema(self, name: str) -> dict[str, Any]:
        """The JSON Schema of a tool's arguments. Raises KeyError where there is no such tool."""
        return self._tools[name].tool.Args.model_json_schema()

    async def carry_out(self, calls: Sequence[ToolCall], unreadable: Mapping[str, str], io: StepIO) -> list[ToolRecord]:
        """Carry out all calls at once; records in the order of the calls. Whatever fails becomes an
        observation.

        `unreadable` holds, by call id, arguments that were not a JSON object.
        """
        if len(calls) == 1:
            return [await self._carry_out(calls[0], unreadable.get(calls[0].id), io)]
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._carry_out(call, unreadable.get(call.id), io)) for call in calls]
        return [task.result() for task in tasks]

    async def _carry_out(self, call: ToolCall, unreadable: str | None, io: StepIO) -> ToolRecord:
        begun = time.perf_counter()
        record = ToolRecord(call, "ok")
        try:
            record.result = _json(await self._call(call, unreadable, io))
        except Exception as error:  # noqa: BLE001  (a tool is anybody's code)
            record.status = "error"
            record.error = clean(_explain(error))
        record.duration_ms = (time.perf_counter() - begun) * 1000
        io.tool_result(record)
        return record

    async def _call(self, call: ToolCall, unreadable: str | None, io: StepIO) -> Json:
        bound = self._tools.get(call.name)
        if bound is None:
            raise _Refused(f"Tool {call.name!r} is not available.")
        if unreadable is not None:
            raise _Refused(f"The arguments are not a JSON object: {unreadable[:_SHOWN]}")
        try:
            args = bound.tool.Args.model_validate(call.args)
        except ValidationError as error:
            raise _Refused(f"The arguments are not valid: {_faults(error)}") from None
        return await bound.tool.acall(args, ToolContext(io, call.id, bound.parameters))


class _Refused(Exception):
    """The call was not carried out."""


def tool_message(record: ToolRecord, message_id: str) -> Message:
    """The record as the model sees it: text as it is, anything else as JSON, a failure or a rejection as its
    message."""
    failed = record.status in {"error", "rejected"}
    if failed:
        content = record.error or ""
    elif isinstance(record.result, str):
        content = record.result
    else:
        content = json.dumps(record.result, ensure_ascii=False)
    return Message(
        id=message_id,
        role="tool",
        content=content,
        tool_call_id=record.call.id,
        name=record.call.name,
        metadata={STATUS: record.status} if failed else {},
    )


def _with_defaults(name: str, bound: BoundTool) -> BoundTool:
    try:
        parameters = bound.tool.Parameters.model_validate(bound.parameters)
    except ValidationError as error:
        raise AgentError(f"The parameters of tool {name!r} are not valid: {_faults(error)}") from None
    return BoundTool(bound.tool, parameters.model_dump(mode="json"))


def _schema(name: str, bound: BoundTool) -> dict[str, Any]:
    parameters = bound.tool.Args.model_json_schema()
    return {
        "type": "function",
        "function": {"name": name, "description": bound.tool.description, "parameters": parameters},
    }


def _json(value: Any) -> Json:
    try:
        return clean(to_jsonable_python(value, inf_nan_mode="null"))
    except PydanticSerializationError:
        raise _Refused(f"The tool returned a {type(value).__name__}, which is not JSON.") from None


def _explain(error: Exception) -> str:
    return str(error) or type(error).__name__


def _faults(error: ValidationError) -> str:
    return "; ".join(
        ": ".join(filter(None, [".".join(map(str, fault["loc"])), fault["msg"]]))
        for fault in error.errors(include_url=False, include_input=False)
    )
