"""The API's answers as `/openapi.json` describes them.

Bodies and answers are pydantic models (drf-spectacular reads them): one description of a configuration serves
validation, storage and documentation.
"""

from typing import Annotated, Any, Literal, get_args, get_origin
from uuid import UUID

from pydantic import BaseModel, Field, create_model

from assistants.config import AssistantConfig, UpdateOptions
from assistants.config.blocks import Block
from assistants.config.llm import LLMConfig


class CheckDocument(BaseModel):
    """One automatic check."""

    name: str
    ok: bool
    message: str


class ValidationDocument(BaseModel):
    """The automatic checks of the current version."""

    status: Literal["passed", "failed"]
    checked_at: str
    checks: list[CheckDocument]


class AssistantDocument(AssistantConfig):
    """An assistant: its current configuration, and what the server knows of it."""

    id: UUID
    status: Literal["created", "active", "archived"]
    version: int = Field(description="The version that new sessions use.")
    tags: dict[str, int] = Field(description="Labels, and the versions that they point at.")
    endpoint: str
    validation: ValidationDocument
    created_at: str
    updated_at: str
    created_by: str


class VersionDocument(BaseModel):
    """An immutable snapshot of an assistant's configuration."""

    version: int
    config: AssistantConfig
    created_at: str
    created_by: str
    change_note: str
    source_version: int | None
    tags: list[str]


class ChangeDocument(BaseModel):
    """One difference. `from` is null where the value was added, `to` where it was removed."""

    path: str = Field(description="As `llm.temperature`.")
    op: Literal["add", "remove", "replace"]
    from_: Any = Field(alias="from")
    to: Any


class DiffDocument(BaseModel):
    """What differs between two versions."""

    from_: int = Field(alias="from")
    to: int
    changes: list[ChangeDocument]
    from_config: AssistantConfig
    to_config: AssistantConfig


class AssistantTypeDocument(BaseModel):
    """An agent type that an assistant may choose."""

    name: str
    description: str
    config_schema: dict[str, Any]


class MiddlewareTypeDocument(BaseModel):
    """A middleware that an assistant may list."""

    name: str
    description: str
    settings_schema: dict[str, Any]


class ToolDocument(BaseModel):
    """A tool that an assistant may list."""

    name: str
    description: str
    args_schema: dict[str, Any]
    parameters_schema: dict[str, Any]
    read_only: bool = Field(description="A call changes nothing anywhere.")
    once: bool = Field(description="A call is never begun twice, whatever crashes.")
    cacheable: bool = Field(description="Of two calls with the same arguments in a session, one is carried out.")
    timeout_s: float | None = Field(description="How many seconds a call may take, if it has a bound of its own.")
    problems: list[str] = Field(
        description="What keeps it from working on this server where no parameters are given; empty: nothing."
    )


def _partial(model: type[BaseModel], name: str) -> type[BaseModel]:
    """`model` as a PATCH takes it: every field may be left out or null, in its blocks too."""
    fields: dict[str, Any] = {}
    for key, field in model.model_fields.items():
        kind: Any = field.annotation
        if isinstance(kind, type) and issubclass(kind, Block):
            kind = _partial(kind, f"Update{kind.__name__}")
        elif get_origin(kind) is dict:
            # Null takes a key away.
            names, values = get_args(kind)
            kind = dict[names, values | None]  # type: ignore[valid-type]
        elif field.metadata:
            kind = Annotated[kind, *field.metadata]
        fields[key] = (kind | None, Field(default=None, description=field.description))
    return create_model(name, **fields)


# Null to assistants of hosted graphs, and for all others there to be merged into.
_LLM: Any = (_partial(LLMConfig, "UpdateLLMConfig") | None, AssistantConfig.model_fields["llm"])
_Changes: Any = create_model(
    "UpdateAssistantConfig", __base__=_partial(AssistantConfig, "UpdateAssistantConfig"), llm=_LLM
)


class UpdateAssistant(UpdateOptions, _Changes):  # type: ignore[misc]
    """The body of `PATCH /assistants/{id}`: objects merge, lists are replaced, null returns to the default."""
