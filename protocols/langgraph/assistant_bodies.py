"""What clients post to assistants: every field that the official SDKs send."""

from typing import Any, Literal

from pydantic import Field, field_validator

from core.validation import Body, Metadata

MAX_FOUND = 1_000

Selected = Literal[
    "assistant_id",
    "graph_id",
    "name",
    "description",
    "config",
    "context",
    "created_at",
    "updated_at",
    "metadata",
    "version",
]


class CreateAssistant(Body):
    """POST /assistants"""

    graph_id: str
    assistant_id: str | None = None
    config: dict[str, Any] | None = None
    context: dict[str, Any] | None = None
    metadata: Metadata | None = None
    if_exists: Literal["raise", "do_nothing"] | None = None
    name: str | None = None
    description: str | None = None


class PatchAssistant(Body):
    """PATCH /assistants/{id}: what is null is not changed."""

    graph_id: str | None = None
    config: dict[str, Any] | None = None
    context: dict[str, Any] | None = None
    metadata: Metadata | None = None
    name: str | None = None
    description: str | None = None


class CountAssistants(Body):
    """POST /assistants/count"""

    metadata: dict[str, Any] | None = None
    graph_id: str | None = None
    name: str | None = None


class SearchAssistants(CountAssistants):
    """POST /assistants/search"""

    limit: int = Field(default=10, ge=1, le=MAX_FOUND)
    offset: int = Field(default=0, ge=0, le=2**31)
    sort_by: Literal["assistant_id", "created_at", "updated_at", "name", "graph_id"] | None = None
    sort_order: Literal["asc", "desc"] | None = None
    select: list[Selected] | None = None

    @field_validator("limit", "offset", mode="before")
    @classmethod
    def _given(cls, value: Any, info: Any) -> Any:
        # The JavaScript SDK writes null where nothing was asked for.
        return cls.model_fields[info.field_name].default if value is None else value


class ListVersions(Body):
    """POST /assistants/{id}/versions"""

    metadata: dict[str, Any] | None = None
    limit: int = Field(default=10, ge=1, le=MAX_FOUND)
    offset: int = Field(default=0, ge=0, le=2**31)


class SetLatest(Body):
    """POST /assistants/{id}/latest"""

    version: int | None = None
