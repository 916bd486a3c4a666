"""The middleware of one assistant, in its order."""

from collections.abc import Iterator, Sequence
from typing import Any

from pydantic import ValidationError

from runtime.contract import AgentSpec, BoundTool, Json, Message, ToolCall, ToolContext, ToolRecord
from runtime.errors import AgentError, MessageRejected
from runtime.faults import faults_of
from runtime.middleware import middleware_class
from runtime.middleware.base import Middleware, Proceed, ToolOutcome, Turn
from runtime.middleware.human_approval import HumanApproval, HumanApprovalSettings
from runtime.middleware.structured_output import StructuredOutput, StructuredOutputSettings
from runtime.values import Values


class Stack:
    """Calls each hook of all middleware, in order.

    Raises `AgentError` where the configuration names a middleware that is not here, or settings that do not fit it.
    """

    def __init__(self, spec: AgentSpec):
        self.all = list(_made(spec))

    def tools(self, own: dict[str, BoundTool]) -> dict[str, BoundTool]:
        """The assistant's own tools with those that middleware adds. Raises AgentError where two have one name."""
        tools = dict(own)
        for middleware in self.all:
            for tool in middleware.tools():
                if tool.name in tools:
                    raise AgentError(f"The middleware {middleware.id!r} adds a second tool {tool.name!r}.")
                tools[tool.name] = BoundTool(tool)
        return tools

    def prompt(self, own: str | None, turn: Turn) -> str:
        """The system prompt with what middleware adds to it."""
        return "\n\n".join(filter(None, [own, *(middleware.prompt(turn) for middleware in self.all)]))

    async def before_model(self, turn: Turn) -> None:
        for middleware in self.all:
            await middleware.before_model(turn)

    async def after_model(self, turn: Turn, answer: Message) -> None:
        for middleware in self.all:
            await middleware.after_model(turn, answer)

    async def before_tools(self, turn: Turn, calls: Sequence[ToolCall]) -> dict[str, Json] | None:
        """What the first of them that asks wants to know."""
        for middleware in self.all:
            if (interrupt := await middleware.before_tools(turn, calls)) is not None:
                return interrupt
        return None

    async def around_tool(self, call: ToolCall, context: ToolContext, proceed: Proceed) -> ToolOutcome:
        """The call through all of them: the first one is the outermost."""
        for middleware in reversed(self.all):
            proceed = _wrapped(middleware, context, proceed)
        return await proceed(call)

    async def after_tools(self, turn: Turn, records: Sequence[ToolRecord]) -> None:
        for middleware in self.all:
            await middleware.after_tools(turn, records)

    def incoming(self, message: Message) -> Message:
        """The message through all of them. Raises MessageRejected, or what else one of them raises."""
        for middleware in self.all:
            try:
                message = middleware.incoming(message)
            except ValueError as error:
                raise MessageRejected(str(error) or "The message is not taken.") from None
        return message

    def handle_message(self, middleware_id: str, message: Json, values: Values) -> None:
        """Give the message to the one that has this id; raises LookupError where none has."""
        known = {middleware.id: middleware for middleware in self.all}
        if middleware_id not in known:
            raise LookupError(f"There is no middleware {middleware_id!r}, only {', '.join(known) or 'none'}.")
        known[middleware_id].handle_message(message, values)

    def handle_resume(self, turn: Turn) -> None:
        for middleware in self.all:
            middleware.handle_resume(turn)


def _made(spec: AgentSpec) -> Iterator[Middleware]:
    for entry in spec.config.get("middleware") or ():
        try:
            cls = middleware_class(entry["name"])
            settings = cls.Settings.model_validate(entry.get("settings") or {})
        except LookupError as error:
            raise AgentError(str(error.args[0])) from None
        except ValidationError as error:
            raise AgentError(f"The settings of {entry['name']!r} are not valid: {faults_of(error)}") from None
        yield cls(settings, id=entry.get("id") or entry["name"], spec=spec)
    if (schema := spec.config.get("output_schema")) is not None:
        shape = StructuredOutputSettings(output_schema=schema)
        yield StructuredOutput(shape, id=StructuredOutput.name, spec=spec)
    interrupt_on: dict[str, Any] = spec.config.get("interrupt_on") or {}
    if any(interrupt_on.values()):
        settings = HumanApprovalSettings.model_validate({"interrupt_on": interrupt_on})
        yield HumanApproval(settings, id=HumanApproval.name, spec=spec)


def _wrapped(middleware: Middleware, context: ToolContext, proceed: Proceed) -> Proceed:
    async def around(call: ToolCall) -> ToolOutcome:
        return await middleware.wrap_tool(call, context, proceed)

    return around
