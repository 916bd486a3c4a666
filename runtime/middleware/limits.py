"""What one run may take."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, model_validator

from runtime.configuration import current
from runtime.contract import Json, State, ToolCall
from runtime.errors import LimitExceeded, NotSupported
from runtime.metadata import STATUS
from runtime.middleware.base import Middleware, Misfit, Turn
from runtime.prices import price_of
from runtime.providers import is_at_home
from runtime.providers.base import LLM


class LimitsSettings(BaseModel):
    """All of one run. `max_cost_usd` is in USD, `max_tool_calls_by_tool` by the tool's name."""

    model_config = ConfigDict(extra="forbid")

    max_tokens: int | None = Field(default=None, ge=1, description="Of all model calls, in and out.")
    max_cost_usd: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    max_tool_calls: NonNegativeInt | None = None
    max_tool_calls_by_tool: dict[str, NonNegativeInt] = Field(default_factory=dict, max_length=256)

    @model_validator(mode="after")
    def _any(self) -> "LimitsSettings":
        if not self.model_fields_set:
            raise ValueError(f"give at least one of {', '.join(type(self).model_fields)}")
        return self


class Limits(Middleware):
    """Ends a run that takes more than it may: tokens, USD, tool calls.

    Tokens and cost are looked at before each model call, because what one takes is known only when it has ended: the
    answer that goes beyond is kept, and no other is asked for. Tool calls are counted before they are carried out.
    """

    name = "limits"
    Settings = LimitsSettings

    @classmethod
    def unfit(cls, settings: LimitsSettings, config: Mapping[str, Any]) -> Iterator[Misfit]:
        if settings.max_cost_usd is not None:
            for name in _unpriced(config["llm"]):
                yield ("max_cost_usd",), f"The price of {name} is not known here, so its cost cannot be limited."

    async def before_model(self, turn: Turn) -> None:
        usage, settings = turn.state.usage, self.settings
        tokens = usage.input_tokens + usage.output_tokens
        if settings.max_tokens is not None and tokens >= settings.max_tokens:
            message = f"The run took {tokens} tokens; it may take {settings.max_tokens}."
            raise LimitExceeded(message, code="token_limit_exceeded")
        if settings.max_cost_usd is None:
            return
        # The table of prices may be another one than when the assistant was saved.
        if missing := list(_unpriced(self.spec.config["llm"])):
            raise NotSupported(f"The price of {missing[0]} is not known here, so its cost cannot be limited.")
        cost = usage.cost_usd or 0
        if cost >= settings.max_cost_usd:
            message = f"The run cost {cost:g} USD; it may cost {settings.max_cost_usd:g}."
            raise LimitExceeded(message, code="cost_limit_exceeded")

    async def before_tools(self, turn: Turn, calls: Sequence[ToolCall]) -> dict[str, Json] | None:
        wanted = _carried_out(turn.state) + Counter(call.name for call in calls)
        if self.settings.max_tool_calls is not None and wanted.total() > self.settings.max_tool_calls:
            message = f"The run wants {wanted.total()} tool calls; it may have {self.settings.max_tool_calls}."
            raise LimitExceeded(message, code="tool_limit_exceeded")
        for name, most in self.settings.max_tool_calls_by_tool.items():
            if wanted[name] > most:
                message = f"The run wants {wanted[name]} calls of {name!r}; it may have {most}."
                raise LimitExceeded(message, code="tool_limit_exceeded")
        return None


def _unpriced(llm: LLM) -> Iterator[str]:
    """The models among an `llm` block and its fallbacks that have no price, in words."""
    for block in (llm, *(llm.get("fallbacks") or ())):
        if price_of(block["provider"], block["model"], current().prices, at_home=is_at_home(block)) is None:
            yield f"{block['provider']}/{block['model']}"


def _carried_out(state: State) -> Counter[str]:
    """How often each tool was called in this run; what a person rejected was not."""
    return Counter(
        message.name or ""
        for message in state.messages[state.run_start :]
        if message.role == "tool" and message.metadata.get(STATUS) != "rejected"
    )
