"""The fake provider: models that answer without a network, for tests and benchmarks.

`runtime.testing` says how its models behave.
"""

import json
from hashlib import blake2s
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field

from runtime.errors import AgentError
from runtime.providers.base import LLM, Problem, Provider, Settings
from runtime.providers.failures import by_status
from runtime.secrets import NO_SECRETS, Secrets

if TYPE_CHECKING:
    from langchain_core.language_models.chat_models import BaseChatModel

MODELS = ("echo", "prompt", "script")


class FakeFailure(Exception):
    """The error that a turn asks for."""

    def __init__(self, status: int, retry_after_s: float | None):
        super().__init__(f"fake: the script's error with status {status}")
        self.status = status
        self.retry_after_s = retry_after_s


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)


class TurnCall(_Part):
    """A tool call that the model makes."""

    name: str
    args: dict[str, Any] = {}


class TurnError(_Part):
    """The call fails as a provider's answer with this HTTP status does; `retry_after` in seconds."""

    status: int = Field(ge=400, le=599)
    retry_after: float | None = Field(default=None, ge=0)


class TurnUsage(_Part):
    """The tokens that the call is said to have taken."""

    input_tokens: int = Field(default=0, ge=0)
    output_tokens: int = Field(default=0, ge=0)


class Turn(_Part):
    """What one model call answers. `delay_ms` is waited before each token, or once where there is no text."""

    text: str = ""
    tool_calls: list[TurnCall] = []
    delay_ms: float = Field(default=0, ge=0, le=3_600_000)
    error: TurnError | None = None
    usage: TurnUsage | None = None


class Script(Settings):
    """`llm.settings` of the fake provider; `turns` belongs to the model `script`, `delay_ms` to the others."""

    turns: list[Turn] = []
    delay_ms: float = Field(default=0, ge=0, le=3_600_000)


class FakeProvider(Provider):
    """Models `echo`, `prompt` and `script`."""

    name = "fake"
    Settings = Script
    counts_turns = True

    def check(self, llm: LLM, secrets: Secrets = NO_SECRETS) -> list[Problem]:
        model = llm.get("model")
        problems = super().check(llm, secrets)
        if model not in MODELS:
            problems.append(Problem(("model",), f"fake has the models {', '.join(MODELS)}, not {model!r}."))
        elif model == "script" and not problems and not (llm.get("settings") or {}).get("turns"):
            problems.append(Problem(("settings", "turns"), "A script has at least one turn."))
        return problems

    def build(self, llm: LLM, secrets: Secrets = NO_SECRETS) -> "BaseChatModel":
        from runtime.testing import FakeChatModel  # noqa: PLC0415  (imports langchain)

        return FakeChatModel(model=llm["model"], script=Script.model_validate(llm.get("settings") or {}))

    def place(self, llm: LLM) -> str:
        # A script that fails on purpose says nothing of the others.
        written = json.dumps(llm.get("settings") or {}, sort_keys=True)
        return blake2s(written.encode(), digest_size=8).hexdigest()

    def failures(self) -> tuple[type[Exception], ...]:
        return (FakeFailure, *super().failures())

    def classify(self, error: Exception) -> AgentError:
        if isinstance(error, FakeFailure):
            return by_status(error.status, str(error), error.retry_after_s)
        return super().classify(error)
