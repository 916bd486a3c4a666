"""What a provider of models is."""

from abc import ABC, abstractmethod
from base64 import b64decode
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import BaseModel, ConfigDict, ValidationError

from runtime.errors import AgentError, MediaNotSupported, ModelError
from runtime.secrets import NO_SECRETS, Secrets

if TYPE_CHECKING:
    # A web server checks configurations and builds no model: it does not import langchain.
    from langchain_core.language_models.chat_models import BaseChatModel

Part = dict[str, Any]

LLM = Mapping[str, Any]
"""The `llm` block of an assistant: `provider`, `model`, `temperature`, `max_tokens`, `top_p`,
`stop_sequences`, `base_url`, `api_key_env`, `settings`, `fallbacks`. What is not given is absent or None."""


@dataclass(frozen=True, slots=True)
class Problem:
    """Why an `llm` block cannot work. `loc` starts inside the block.

    With `environment` the block may be right, but the server lacks something that its operator has to set.
    """

    loc: tuple[str | int, ...]
    message: str
    environment: bool = False


class Settings(BaseModel):
    """The keys of `llm.settings`: an allow-list for each provider, for they are passed on."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)


class Provider(ABC):
    """One provider of chat models. `Settings` lists what it takes in `llm.settings`."""

    name: ClassVar[str]
    Settings: ClassVar[type[BaseModel]] = Settings
    # The fake model plays its script by the number of the session's calls, which only the agent knows.
    counts_turns: ClassVar[bool] = False

    def check(self, llm: LLM, secrets: Secrets = NO_SECRETS) -> list[Problem]:
        """What is wrong with `llm`, as far as it shows without a call. `secrets`: those that it may name."""
        try:
            self.Settings.model_validate(llm.get("settings") or {})
        except ValidationError as error:
            return [self._problem(fault["type"], fault["loc"], fault["msg"]) for fault in error.errors()]
        return []

    def _problem(self, kind: str, loc: tuple[str | int, ...], message: str) -> Problem:
        if kind == "extra_forbidden" and len(loc) == 1:
            message = f"{self.name} takes only {', '.join(self.Settings.model_fields)} here."
        return Problem(("settings", *loc), message)

    @abstractmethod
    def build(self, llm: LLM, secrets: Secrets = NO_SECRETS) -> "BaseChatModel":
        """The model, ready to be asked; raises `AgentError`, `MissingSecret` among them."""

    def place(self, llm: LLM) -> str:
        """Where `llm` is called, for telling apart what may fail each by itself; empty for the usual place."""
        return str(llm.get("base_url") or "")

    def media(self, part: Part) -> Part:
        """An image, a file or audio of a person's message, as the provider's integration takes it.

        `part` has `type`, and `url` or `base64` and `mime_type`. Raises `MediaNotSupported`.
        """
        return part

    def is_at_home(self, llm: LLM) -> bool:
        """Whether `llm` is called at the provider itself, or where the operator sends all its calls: there its own
        prices hold."""
        return False

    def shaped(self, llm: LLM, schema: dict[str, Any]) -> LLM | None:
        """`llm` that is told, in the provider's own way, of the JSON Schema that answers have to fit, and which may
        call tools all the same; None where there is no such way."""
        return None

    def failures(self) -> tuple[type[Exception], ...]:
        """The exceptions by which this provider's model says that a call failed."""
        return (ValueError, TypeError, KeyError)

    def classify(self, error: Exception) -> AgentError:
        """The failed call as one of our errors."""
        return ModelError(f"{self.name}: {error}")


def described(part: Part) -> str:
    """The part in words, without what it holds."""
    return f"{part['type']} as base64 of the type {part['mime_type']}" if "base64" in part else f"{part['type']} by url"


def text_of(part: Part) -> str:
    """The text that an inline part holds; raises `MediaNotSupported` where it is none."""
    try:
        return b64decode(part["base64"], validate=True).decode()
    except ValueError:
        raise MediaNotSupported(f"What a {part['type']} of the type {part['mime_type']} holds is no text.") from None
