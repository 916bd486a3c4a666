"""The blocks of an assistant's configuration. All but `llm` are optional."""

from types import UnionType
from typing import Annotated, Any, Literal, get_args

from django.conf import settings
from pydantic import (
    AfterValidator,
    ConfigDict,
    Field,
    SerializeAsAny,
    StringConstraints,
    WithJsonSchema,
    WrapValidator,
    model_validator,
)
from pydantic import ValidatorFunctionWrapHandler as Inner

from core.canonical import shortest
from core.validation import Body


def _not_blank(text: str) -> str:
    if not text.strip():
        raise ValueError("must not be blank")
    return text


Name = Annotated[str, StringConstraints(min_length=1, max_length=200), AfterValidator(_not_blank)]
Variable = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,127}$")]
Reference = Annotated[
    str, StringConstraints(pattern=r"^([A-Za-z_][A-Za-z0-9_]{0,127}|secret:[A-Za-z][A-Za-z0-9_.-]{0,63})$")
]
Url = Annotated[str, StringConstraints(pattern=r"^https?://[^\s/?#@]+([/?#]\S*)?$", max_length=2_000)]
# 1 and 1.0 are one number in JSON, so they are stored as one.
Number = Annotated[float, AfterValidator(shortest)]
Label = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
Count = Annotated[int, Field(ge=1, le=2_147_483_647)]


class Block(Body):
    """A part of the configuration; numbers in it are finite, because JSON knows no others."""

    model_config = ConfigDict(allow_inf_nan=False)


def block_of(annotation: Any) -> type[Block] | None:
    """The block that a field holds, also where it may be null; None for a field of another kind."""
    kinds = get_args(annotation) if isinstance(annotation, UnionType) else (annotation,)
    return next((kind for kind in kinds if isinstance(kind, type) and issubclass(kind, Block)), None)


class ToolConfig(Block):
    """A tool that the model may call."""

    name: Name
    enabled: bool = Field(default=True, description="Whether the model is offered the tool.")
    parameters: dict[str, Any] = Field(
        default_factory=dict,
        description="The tool's settings for this assistant; see `parameters_schema` in `/tools`.",
    )
    # Left out where it is not set, as in the versions that are older than it.
    timeout_s: Number | None = Field(
        default=None,
        gt=0,
        le=3_600,
        exclude_if=lambda value: value is None,
        description="How many seconds a call may take; not given: as the tool says, else as long as its step.",
    )


class SkillConfig(Block):
    """A skill of the registry."""

    skill_id: Name
    version: Annotated[str, StringConstraints(min_length=1, max_length=64)] = Field(
        default="latest", description="A version as `2.0.0`, or `latest`."
    )


class MemorySettings(Block):
    """How much long-term memory keeps, what it recalls, and for how long."""

    max_memories: Count | None = None
    relevance_threshold: Number | None = Field(default=None, ge=0, le=1)
    ttl_days: Count | None = None


class MemoryConfig(Block):
    """What the model sees beside the run's input."""

    scope: Literal["none", "session", "user", "group"] = Field(
        default="session",
        description="`none`: this run's input only. `session`: the session's messages. `user` and `group`: "
        "also memories of the user's other sessions, or of all the assistant's users.",
    )
    provider: Name | None = Field(default=None, description="Where long-term memories are kept (`user` and `group`).")
    settings: MemorySettings = Field(default_factory=MemorySettings)


class MCPAuth(Block):
    """A bearer token; the token itself is never stored here."""

    type: Literal["bearer"]
    token_env: Reference = Field(
        description="The environment variable that holds the token, or `secret:<name>` for a secret of the workspace."
    )


class MCPConfig(Block):
    """A provider of tools that speaks MCP: at a `url`, or started by a `command` (stdio)."""

    name: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,47}$")] = Field(
        description="Begins the names of its tools: `mcp__<name>__<tool>`."
    )
    transport: Literal["sse", "streamable_http", "stdio"]
    url: Url | None = None
    command: Name | None = None
    args: list[Annotated[str, StringConstraints(max_length=2_000)]] = Field(default_factory=list, max_length=100)
    env: dict[Variable, Annotated[str, StringConstraints(max_length=2_000)]] = Field(default_factory=dict)
    auth: MCPAuth | None = None

    @model_validator(mode="after")
    def _reachable(self) -> "MCPConfig":
        if self.transport == "stdio" and (self.command is None or self.url is not None):
            raise ValueError("stdio needs command, and takes no url")
        if self.transport != "stdio" and (self.url is None or self.command is not None):
            raise ValueError(f"{self.transport} needs url, and takes no command")
        return self


class MiddlewareConfig(Block):
    """A piece of behaviour around model and tool calls; `id` tells two of one name apart."""

    name: Name
    id: Label | None = Field(default=None, description="What messages to it are sent to; by default its name.")
    settings: dict[str, Any] = Field(default_factory=dict)


class ReviewConfig(Block):
    """What a person may decide about a call of the tool."""

    allowed_decisions: list[Literal["approve", "edit", "reject", "respond"]] = Field(min_length=1, max_length=4)


def _flag_or_review(value: Any, review: Inner) -> Any:
    return value if isinstance(value, bool) else review(value)


# Not a union: a fault's place would then hold the name of the alternative beside the keys of the body.
Interrupt = Annotated[
    SerializeAsAny[ReviewConfig],
    WrapValidator(_flag_or_review),
    WithJsonSchema({"anyOf": [{"type": "boolean"}, ReviewConfig.model_json_schema()]}),
]


class RetryConfig(Block):
    """When a failed step of a run is tried again, and after how many seconds."""

    max_attempts: int = Field(default=settings.RUN_ATTEMPTS, ge=1, le=100)
    backoff: Literal["exponential", "fixed"] = "exponential"
    initial_interval_s: Number = Field(default=1, ge=0, le=86_400)
    max_interval_s: Number = Field(default=60, ge=0, le=86_400)
    retry_on: list[Literal["rate_limit", "timeout", "connection", "server_error"]] = Field(
        default=["rate_limit", "timeout", "connection", "server_error"], max_length=4
    )


class RateLimitConfig(Block):
    """Requests that the assistant takes."""

    requests_per_minute: Count


class QuotaConfig(Block):
    """What the assistant may use up in a day."""

    runs_per_day: Count | None = None
    tokens_per_day: Annotated[int, Field(ge=1, le=2**53)] | None = None


class GraphConfig(Block):
    """What each run of a hosted graph is configured with (LangGraph's `RunnableConfig`), unless it says otherwise."""

    tags: list[Annotated[str, StringConstraints(max_length=1_000)]] | None = Field(
        default=None, max_length=100, exclude_if=lambda value: value is None
    )
    recursion_limit: Count | None = Field(
        default=None, exclude_if=lambda value: value is None, description="How many steps of the graph a run may take."
    )
    configurable: dict[str, Any] | None = Field(default=None, exclude_if=lambda value: value is None)


class ResourcesConfig(Block):
    """Where the assistant's runs may be carried out."""

    labels: list[Label] = Field(default_factory=list, max_length=32, description="Labels that a worker must have.")
