"""What the providers that are called over the network have in common."""

from abc import abstractmethod
from typing import Any, ClassVar

import httpx2
from pydantic import Field

from core.url_guard import AnswerTooLong, BlockedUrl
from runtime.errors import AgentError, ModelError, ModelServerError, ModelTimeout, ModelUnreachable
from runtime.providers.access import Home, check_access
from runtime.providers.base import LLM, Problem, Provider, Settings
from runtime.providers.failures import by_status, retry_after
from runtime.secrets import NO_SECRETS, Secrets


class HTTPSettings(Settings):
    """`timeout_s` bounds each wait for the model, not the whole call."""

    timeout_s: float = Field(default=120, gt=0, le=3600)


class HTTPProvider(Provider):
    """A provider that is called by its SDK, over a guarded connection."""

    Settings = HTTPSettings
    home: ClassVar[Home]

    def check(self, llm: LLM, secrets: Secrets = NO_SECRETS) -> list[Problem]:
        return [*super().check(llm, secrets), *check_access(llm, self.home, secrets)]

    def is_at_home(self, llm: LLM) -> bool:
        return not llm.get("base_url") or self.home.owns(llm["base_url"])

    @abstractmethod
    def sdk(self) -> Any:
        """The SDK's module, imported on first use. Both SDKs name their exceptions alike."""

    def failures(self) -> tuple[type[Exception], ...]:
        own = (self.sdk().APIError, httpx2.HTTPError, TimeoutError, AnswerTooLong, BlockedUrl)
        return (*own, *super().failures())

    def classify(self, error: Exception) -> AgentError:
        sdk = self.sdk()
        if blocked := _blocked(error):
            return ModelError(f"{self.name}: {blocked.message}")
        if isinstance(error, sdk.APIStatusError):
            return self._refused(error)
        if isinstance(error, sdk.APITimeoutError | httpx2.TimeoutException | TimeoutError):
            return ModelTimeout(f"{self.name} did not answer in time.")
        if isinstance(error, sdk.APIConnectionError | httpx2.HTTPError):
            return ModelUnreachable(f"{self.name} could not be reached.")
        if isinstance(error, sdk.APIError):
            return self._broken_off(error)
        return ModelError(f"{self.name}: {error}")

    def _refused(self, error: Any) -> AgentError:
        status = _status_of_type(error.body) or error.status_code
        message = f"{self.name} answered {status}: {_said(error)}"
        return by_status(status, message, retry_after(error.response.headers))

    def _broken_off(self, error: Any) -> AgentError:
        code = error.body.get("code") if isinstance(error.body, dict) else None
        message = f"{self.name} broke off: {_said(error)}"
        # Some compatible servers put the status here.
        if isinstance(code, int) and code >= 400:
            return by_status(code, message)
        return ModelServerError(message)


def _blocked(error: BaseException | None) -> BlockedUrl | None:
    # The SDKs take whatever a connection raises for a connection error, and keep it as the cause.
    while error is not None:
        if isinstance(error, BlockedUrl):
            return error
        error = error.__cause__
    return None


_STATUS_OF_TYPE = {"overloaded_error": 529, "rate_limit_error": 429, "api_error": 500, "timeout_error": 504}


def _status_of_type(body: Any) -> int | None:
    """Anthropic reports an error in the middle of a stream by its type, under the stream's status 200."""
    inner = body.get("error") if isinstance(body, dict) else None
    return _STATUS_OF_TYPE.get(str(inner.get("type"))) if isinstance(inner, dict) else None


def _said(error: Any) -> str:
    body = error.body
    if isinstance(body, dict):
        inner = body.get("error")
        message = (inner if isinstance(inner, dict) else body).get("message")
        if message:
            return str(message)
    return str(error.message)
