"""An assistant's whole configuration, and the bodies that carry it."""

from typing import Annotated, Any, Literal

from django.conf import settings
from pydantic import AfterValidator, Field, StringConstraints, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from assistants.config.blocks import (
    Block,
    Count,
    GraphConfig,
    Interrupt,
    MCPConfig,
    MemoryConfig,
    MiddlewareConfig,
    Name,
    Number,
    QuotaConfig,
    RateLimitConfig,
    ResourcesConfig,
    RetryConfig,
    SkillConfig,
    ToolConfig,
)
from assistants.config.llm import LLMConfig
from core.ids import parse_id
from core.validation import Metadata

# The type of what LangGraph calls an assistant: a hosted graph and what it is configured with.
GRAPH = "Graph"


def _is_none(value: Any) -> bool:
    return value is None


def _known_id(text: str) -> str:
    if parse_id(text) is None:
        raise ValueError("not an id")
    return text


Note = Annotated[str, StringConstraints(max_length=10_000)]
KnowledgeBase = Annotated[str, AfterValidator(_known_id)]
Seconds = Annotated[Number, Field(gt=0, le=30 * 86_400)]


class AssistantConfig(Block):
    """What a version of an assistant is. Stored with its defaults filled in."""

    name: Name = Field(description="Unique in the workspace.")
    type: Name = Field("ReactAgent", description="One of `/assistant-types`.")
    description: Annotated[str, StringConstraints(max_length=10_000)] = ""
    # Assistants of hosted graphs alone have these three, and they alone no `llm`. What is not there is not stored.
    graph_id: Name | None = Field(
        default=None, exclude_if=_is_none, description="Which of the hosted graphs, for the type `Graph`."
    )
    config: GraphConfig | None = Field(default=None, exclude_if=_is_none, description="For the type `Graph`.")
    context: dict[str, Any] | None = Field(
        default=None, exclude_if=_is_none, description="What runs of a hosted graph have as their context."
    )
    llm: LLMConfig | None = Field(
        default=None,
        exclude_if=_is_none,
        validate_default=True,
        description="The model; needed for all types but `Graph`, whose graphs bring their own.",
    )
    system_prompt: Annotated[str, StringConstraints(max_length=200_000)] = Field(
        default="", description="The first message of every model call."
    )
    tools: list[ToolConfig] = Field(default_factory=list, max_length=256)
    skills: list[SkillConfig] = Field(default_factory=list, max_length=256)
    memory: MemoryConfig = Field(default_factory=MemoryConfig)
    mcp_servers: list[MCPConfig] = Field(default_factory=list, max_length=64)
    knowledge_bases: list[KnowledgeBase] = Field(default_factory=list, max_length=64)
    middleware: list[MiddlewareConfig] = Field(default_factory=list, max_length=64)
    interrupt_on: dict[Name, Interrupt] = Field(
        default_factory=dict,
        description="Tools that a person decides about; `true` allows to approve, edit and reject.",
    )
    input_schema: dict[str, Any] | None = Field(default=None, description="A JSON Schema that a run's input must fit.")
    output_schema: dict[str, Any] | None = Field(
        default=None, description="A JSON Schema that a run's output will fit."
    )
    retry_policy: RetryConfig = Field(default_factory=RetryConfig)
    max_steps: int = Field(default=50, ge=1, le=10_000, description="Model calls that a run may make.")
    run_timeout_s: Seconds = settings.RUN_TIMEOUT_S
    step_timeout_s: Seconds = 600
    queue_timeout_s: Seconds | None = Field(default=None, description="How long a run may wait for a worker.")
    interrupt_timeout_s: Seconds | None = Field(
        default=None, description="How long a run may wait for a person; then it is cancelled."
    )
    durability: Literal["sync", "async", "exit"] = Field(
        default="sync",
        description="When a step is stored: before the next begins, meanwhile, or when the run ends.",
    )
    priority: int = Field(default=0, ge=-1_000, le=1_000, description="Runs of higher priority are carried out first.")
    max_concurrent_runs: Count | None = Field(default=None, description="Further runs wait.")
    rate_limit: RateLimitConfig | None = None
    quota: QuotaConfig | None = None
    resources: ResourcesConfig = Field(default_factory=ResourcesConfig)
    session_ttl_seconds: Annotated[int, Field(ge=1, le=10 * 365 * 86_400)] | None = Field(
        default=None, description="How long a session lives after it was last used."
    )
    metadata: Metadata = Field(default_factory=dict)

    @field_validator("llm")
    @classmethod
    def _needed(cls, llm: LLMConfig | None, info: ValidationInfo) -> LLMConfig | None:
        # A type that is wrong itself is a fault of its own.
        if llm is None and info.data.get("type", GRAPH) != GRAPH:
            raise PydanticCustomError("missing", "Field required")
        return llm


class CreateAssistant(AssistantConfig):
    """The body of `POST /assistants`."""

    change_note: Note = Field(default="", description="Why this version was made.")
    status: Literal["created"] | None = Field(
        default=None, description="`created` holds back the activation that follows on passed checks."
    )


class UpdateOptions(Block):
    """What a PATCH's body holds beside the changes."""

    change_note: Note = ""
    expected_version: Annotated[int, Field(ge=1)] | None = Field(
        default=None, description="Refuse (409) unless this is the current version."
    )
