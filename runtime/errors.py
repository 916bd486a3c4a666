"""How an agent fails."""

from runtime.contract import ModelRecord


class AgentError(Exception):
    """The step failed. `code` is stable and documented; `retryable` lets the retry policy try again.

    `kind` is the class that `retry_policy.retry_on` names: rate_limit, timeout, connection, server_error, or
    other. `retry_after_s` is what the other side asked for, in seconds. `record` is the model call of the step that
    failed, if there was one, and what it had taken by then.
    """

    code = "agent_error"
    kind = "other"
    retryable = False
    record: ModelRecord | None = None

    def __init__(self, message: str, *, code: str | None = None, retry_after_s: float | None = None):
        self.say(message)
        self.code = code or type(self).code
        self.retry_after_s = retry_after_s

    @property
    def type_name(self) -> str:
        """The class of what went wrong, as clients are told it."""
        return type(self).__name__

    def say(self, message: str) -> None:
        """Say it otherwise."""
        self.message = message
        self.args = (message,)


class ModelError(AgentError):
    """The model's provider answered with an error; not worth another try."""

    code = "model_error"


class MediaNotSupported(ModelError):
    """A message has an image, a file or audio that the provider does not take."""

    code = "media_not_supported"


class ModelRateLimited(ModelError):
    code, kind, retryable = "model_rate_limited", "rate_limit", True


class ModelTimeout(ModelError):
    code, kind, retryable = "model_timeout", "timeout", True


class ModelUnreachable(ModelError):
    code, kind, retryable = "model_unreachable", "connection", True


class ModelServerError(ModelError):
    code, kind, retryable = "model_server_error", "server_error", True


class ModelUnavailable(ModelServerError):
    """The provider has been failing, so it was not called at all; `retry_after_s` says when it will be."""

    code = "provider_unavailable"


class MustWait(AgentError):
    """The provider takes no more calls now. Let it pass: the step is carried out again after `retry_after_s`.

    It is no failure and is charged to nobody.
    """

    code, retryable = "must_wait", True

    def __init__(self, message: str, *, retry_after_s: float):
        super().__init__(message, retry_after_s=retry_after_s)
        self.wait_s = retry_after_s


class MissingSecret(AgentError):
    """The variable or the secret that holds a key is not there, or may not be used here."""

    code = "missing_secret"


class MaxStepsExceeded(AgentError):
    """The run made as many model calls as it may."""

    code = "max_steps_exceeded"


class LimitExceeded(AgentError):
    """The run took as many tokens, cost as much or called as many tools as it may; `code` says which."""

    code = "limit_exceeded"


class ToolNotCalled(AgentError):
    """The model ended without the tool call that the run has to end with."""

    code = "until_tool_not_called"


class OutputInvalid(AgentError):
    """The run's output does not fit the assistant's `output_schema`."""

    code = "output_invalid"


class MessageRejected(AgentError):
    """The run's message is not taken; it is not in the conversation."""

    code = "message_rejected"


class NotSupported(AgentError):
    """The assistant asks for something that this server does not carry out yet."""

    code = "not_supported"
