"""An assistant's whole configuration, and the bodies that carry it."""

from typing import Annotated, Any, Literal

from django.conf import settings
from pydantic import AfterValidator, Field, StringConstraints

from assistants.config.blocks import (
    Block,
    Count,
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
    llm: LLMConfig
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
