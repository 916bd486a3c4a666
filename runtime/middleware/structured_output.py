"""Output that fits a JSON Schema (`output_schema`)."""

import asyncio
import re
from collections.abc import Sequence
from typing import Any

import orjson
from pydantic import BaseModel, ConfigDict

from core.errors import FieldError
from core.schemas import faults
from runtime.contract import Json, Message, State, ToolRecord
from runtime.errors import OutputInvalid
from runtime.middleware.base import Middleware, Turn
from runtime.providers import shaped

# Under this key the message that tells the model what is wrong holds it, each fault with its place.
FAULTS = "output_faults"
# How many more times the model is asked in one run.
MAX_CORRECTIONS = 2

_FENCED = re.compile(r"```(?:json)?[ \t]*\n(.*?)```", re.DOTALL)


class StructuredOutputSettings(BaseModel):
    """`output_schema`: a JSON Schema that `core.schemas.check_schema` has passed."""

    model_config = ConfigDict(extra="forbid")

    output_schema: dict[str, Any]


class StructuredOutput(Middleware):
    """Has the run end with an answer whose text is JSON that fits the schema.

    An answer that does not fit is stored with a message after it that says what is wrong, and the model is asked again.
    """

    name = "structured_output"
    Settings = StructuredOutputSettings

    def prompt(self, turn: Turn) -> str:
        # Providers with a way of their own are told by that, but not what may answer in their stead.
        llm = self.spec.config["llm"]
        schema = self.settings.output_schema
        if all(shaped(block, schema) for block in (llm, *(llm.get("fallbacks") or ()))):
            return ""
        written = orjson.dumps(schema).decode()
        return f"Your final answer must be JSON that fits this JSON Schema, and nothing else:\n{written}"

    async def before_model(self, turn: Turn) -> None:
        found = _corrections(turn.state)
        if len(found) > MAX_CORRECTIONS:
            raise OutputInvalid(f"The model's answers do not fit the output_schema: {_told(found[-1])}")

    async def after_model(self, turn: Turn, answer: Message) -> None:
        if answer.tool_calls or turn.done or turn.said:
            return
        value, wrong = await self._read(answer.text)
        if not wrong:
            turn.finish(structured=value)
            return
        request = "" if len(_corrections(turn.state)) >= MAX_CORRECTIONS else " Answer again, with JSON that fits."
        told = _documents(wrong)
        content = f"The answer does not fit the schema of the output: {_told(told)}{request}"
        turn.go_on(Message(id=turn.io.new_id(), role="user", content=content, metadata={FAULTS: told}))

    async def after_tools(self, turn: Turn, records: Sequence[ToolRecord]) -> None:
        if turn.done and (wrong := await self._faults(turn.structured)):
            raise OutputInvalid(f"The result does not fit the output_schema: {_told(_documents(wrong))}")

    async def _read(self, text: str) -> tuple[Json, list[FieldError]]:
        """The value that the text holds, and what is wrong with it."""
        fenced = _FENCED.search(text)
        try:
            value = orjson.loads(text if fenced is None else fenced[1])
        except orjson.JSONDecodeError as error:
            return None, [FieldError((), f"It is not JSON: {error}.")]
        return value, await self._faults(value)

    async def _faults(self, value: Json) -> list[FieldError]:
        # In a thread: one user's schema may take half a second, in which a loop would serve nobody else.
        return await asyncio.to_thread(faults, self.settings.output_schema, value)


def _corrections(state: State) -> list[list[dict[str, Any]]]:
    """What was wrong with each answer of this run that did not fit."""
    return [message.metadata[FAULTS] for message in state.messages[state.run_start :] if FAULTS in message.metadata]


def _documents(wrong: Sequence[FieldError]) -> list[dict[str, Any]]:
    return [{"loc": list(fault.loc), "message": fault.message} for fault in wrong]


def _told(found: Sequence[dict[str, Any]]) -> str:
    return " ".join(f"{'.'.join(map(str, fault['loc']))}: {fault['message']}".removeprefix(": ") for fault in found)
