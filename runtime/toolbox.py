"""An assistant's tools: how the model sees them, and how its calls are carried out."""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from pydantic import ValidationError
from pydantic_core import PydanticSerializationError, to_jsonable_python

from core.text import clean
from runtime.contract import Ask, BoundTool, Delegate, Json, Message, ToolCall, ToolContext, ToolRecord
from runtime.errors import AgentError
from runtime.faults import faults_of
from runtime.metadata import STATUS
from runtime.middleware.base import Proceed, ToolOutcome, Turn
from runtime.once import once
from runtime.secrets import NO_SECRETS
from runtime.tool_cache import ToolCache

_SHOWN = 200

Around = Callable[[ToolCall, ToolContext, Proceed], Awaitable[ToolOutcome]]


async def _straight(call: ToolCall, context: ToolContext, proceed: Proceed) -> ToolOutcome:
    return await proceed(call)


class Toolbox:
    """The tools that one assistant may use, with their parameters' defaults filled in.

    Raises `AgentError` where the parameters of a tool are not valid.
    """

    def __init__(self, tools: Mapping[str, BoundTool]):
        self.tools = {name: _with_defaults(name, bound) for name, bound in tools.items()}

    @property
    def schemas(self) -> list[dict[str, Any]]:
        """The tools as functions in OpenAI's form, which every integration of langchain understands."""
        return [_schema(name, bound) for name, bound in self.tools.items()]

    def has(self, name: str) -> bool:
        """Whether there is such a tool."""
        return name in self.tools

    async def carry_out(
        self,
        calls: Sequence[ToolCall],
        turn: Turn,
        *,
        unreadable: Mapping[str, str] = MappingProxyType({}),
        answers: Mapping[str, Json] = MappingProxyType({}),
        around: Around = _straight,
    ) -> list[ToolOutcome]:
        """Carry out all calls at once; what came of each, in the order of the calls. Whatever fails becomes an
        observation.

        `unreadable` holds, by call id, arguments that were not a JSON object, `answers` what persons answered to what
        calls asked. `around` is what each call passes (`Stack.around_tool`).
        """

        cache = ToolCache(turn.values)

        async def one(call: ToolCall) -> ToolOutcome:
            bound = self.tools.get(call.name)
            parameters, secrets = (bound.parameters, bound.secrets) if bound else ({}, NO_SECRETS)
            context = ToolContext(turn.io, call.id, parameters, turn.state, turn.values, answers.get(call.id), secrets)
            return await self._told(call, unreadable.get(call.id), context, around, cache)

        if len(calls) == 1:
            return [await one(calls[0])]
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one(call)) for call in calls]
        return [task.result() for task in tasks]

    async def _told(
        self, call: ToolCall, unreadable: str | None, context: ToolContext, around: Around, cache: ToolCache
    ) -> ToolOutcome:
        """Carry out one call, and tell its record; middleware may give another one than its tool."""

        async def proceed(call: ToolCall) -> ToolOutcome:
            begun = time.perf_counter()
            outcome = await self._carry_out(call, unreadable, context, cache)
            if isinstance(outcome, ToolRecord):
                outcome.duration_ms = (time.perf_counter() - begun) * 1000
            return outcome

        try:
            outcome = await around(call, context, proceed)
        except Exception as error:  # noqa: BLE001  (middleware is, too)
            outcome = _failed(call, error)
        if isinstance(outcome, ToolRecord):
            context.io.tool_result(outcome)
        return outcome

    async def _carry_out(
        self, call: ToolCall, unreadable: str | None, context: ToolContext, cache: ToolCache
    ) -> ToolOutcome:
        """What comes of the call, its tool being called at most once where it must be, and not where it need not be."""
        try:
            bound, args = self._understood(call, unreadable)
        except _Refused as refusal:
            return _failed(call, refusal)

        async def straight() -> ToolOutcome:
            return await _called(call, bound, args, context)

        async def only_once() -> ToolOutcome:
            return await once(call, context, straight)

        carry_out = only_once if bound.tool.once else straight
        return await (cache.through(call, bound, carry_out) if bound.tool.cacheable else carry_out())

    def _understood(self, call: ToolCall, unreadable: str | None) -> tuple[BoundTool, Any]:
        """The tool that is meant, and its arguments. Raises _Refused."""
        bound = self.tools.get(call.name)
        if bound is None:
            raise _Refused(f"Tool {call.name!r} is not available.")
        if unreadable is not None:
            raise _Refused(f"The arguments are not a JSON object: {unreadable[:_SHOWN]}")
        try:
            return bound, bound.tool.Args.model_validate(call.args)
        except ValidationError as error:
            raise _Refused(f"The arguments are not valid: {faults_of(error)}") from None


async def _called(call: ToolCall, bound: BoundTool, args: Any, context: ToolContext) -> ToolOutcome:
    """What comes of calling the tool, in the time that it has."""
    seconds = bound.tool.timeout_s if bound.timeout_s is None else bound.timeout_s
    try:
        async with asyncio.timeout(seconds) as time_of_it:
            result = await bound.tool.acall(args, context)
        return result if isinstance(result, Ask | Delegate) else ToolRecord(call, "ok", result=_json(result))
    except TimeoutError as error:
        late = time_of_it.expired() and seconds is not None
        return _failed(call, _Refused(f"The tool took longer than {seconds:g} s.") if late else error)
    except Exception as error:  # noqa: BLE001  (a tool is anybody's code)
        return _failed(call, error)


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
        raise AgentError(f"The parameters of tool {name!r} are not valid: {faults_of(error)}") from None
    return replace(bound, parameters=parameters.model_dump(mode="json"))


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


def _failed(call: ToolCall, error: Exception) -> ToolRecord:
    return ToolRecord(call, "error", error=clean(str(error) or type(error).__name__))
