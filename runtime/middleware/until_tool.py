"""A run that ends by the call of a tool."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from runtime.contract import AgentSpec, Json, Message, ToolRecord
from runtime.errors import AgentError, ToolNotCalled
from runtime.middleware.base import Middleware, Misfit, Turn
from runtime.middleware.stack import Stack

# Under this key a reminder's metadata has the id of the middleware that gave it.
REMINDER = "until_tool"


class UntilToolSettings(BaseModel):
    """`tools`: any of these ends the run; `max_reminders`: how often a model that calls none of them is told to."""

    model_config = ConfigDict(extra="forbid")

    tools: list[str] = Field(min_length=1, max_length=64)
    max_reminders: int = Field(default=0, ge=0, le=20)


class UntilTool(Middleware):
    """Has the run end once one of the tools was called and carried out; the tool's result is the run's output."""

    name = "until_tool"
    Settings = UntilToolSettings

    @classmethod
    def unfit(cls, settings: UntilToolSettings, config: Mapping[str, Any]) -> Iterator[Misfit]:
        if config.get("mcp_servers"):
            return  # which tools they have is known when they are asked
        known = {use["name"] for use in config["tools"] if use["enabled"]} | _added(config)
        for index, name in enumerate(settings.tools):
            if name not in known:
                yield ("tools", index), f"The assistant has no tool {name!r}."

    def prompt(self, turn: Turn) -> str:
        return f"You are done only when you have called {self._names}: end with such a call."

    async def after_model(self, turn: Turn, answer: Message) -> None:
        if answer.tool_calls or turn.done or turn.said:
            return
        own = turn.state.messages[turn.state.run_start :]
        if sum(message.metadata.get(REMINDER) == self.id for message in own) >= self.settings.max_reminders:
            raise ToolNotCalled(f"The model ended without a call of {self._names}.")
        told = f"You are not done: end with a call of {self._names}."
        turn.go_on(Message(id=turn.io.new_id(), role="user", content=told, metadata={REMINDER: self.id}))

    async def after_tools(self, turn: Turn, records: Sequence[ToolRecord]) -> None:
        found = self._kept(turn) or next(
            ({"call_id": record.call.id, "result": record.result} for record in records if self._ends(record)), None
        )
        if found is None:
            return
        if turn.open_calls:
            # Its result waits for those of the calls beside it, which ask a person or are other runs.
            turn.values[self._key] = found
        else:
            result = found["result"]
            turn.finish(structured=result, text=result if isinstance(result, str) else None)

    def _kept(self, turn: Turn) -> dict[str, Json] | None:
        """What an earlier step of this run has left; what another run left that ended before is forgotten."""
        kept: dict[str, Json] | None = turn.values.pop(self._key, None)
        own = turn.state.messages[turn.state.run_start :]
        return kept if kept and any(message.tool_call_id == kept["call_id"] for message in own) else None

    def _ends(self, record: ToolRecord) -> bool:
        return record.status == "ok" and record.call.name in self.settings.tools

    @property
    def _key(self) -> str:
        return f"until_tool:{self.id}"

    @property
    def _names(self) -> str:
        return " or ".join(f"`{name}`" for name in self.settings.tools)


def _added(config: Mapping[str, Any]) -> set[str]:
    """The tools that the assistant's middleware adds; none, where it cannot be made, which other checks say."""
    try:
        return set(Stack(AgentSpec(config["type"], dict(config))).tools({}))
    except AgentError:
        return set()
