"""What clients post to threads: every field that the official SDKs send."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from core.validation import Body, Metadata
from sessions.bodies import MAX_TTL_S
from sessions.models import TtlStrategy
from sessions.threads import Ttl

MAX_FOUND = 1_000
MAX_EXTRACTED = 10
MAX_SUPERSTEPS = 1_000

Status = Literal["idle", "busy", "interrupted", "error"]


def _without_nothing(metadata: dict[str, Any]) -> dict[str, Any]:
    # The JavaScript SDK cannot leave the key out; a graph is never None.
    return {key: value for key, value in metadata.items() if key != "graph_id" or value is not None}


ThreadMetadata = Annotated[Metadata, AfterValidator(_without_nothing)]


class TtlBody(Body):
    """How long a thread is kept after its last use, in minutes."""

    ttl: float | int | None = Field(default=None, gt=0, le=MAX_TTL_S / 60)
    strategy: Literal["delete", "keep_latest"] = "delete"

    def read(self) -> Ttl | None:
        """As the sessions keep it, in whole seconds."""
        if self.ttl is None:
            return None
        return Ttl(max(1, round(self.ttl * 60)), TtlStrategy(self.strategy))


class CommandBody(Body):
    """A LangGraph `Command`, as far as it changes a state."""

    update: Any = None
    resume: Any = None
    goto: Any = None


class Update(Body):
    """What one node wrote."""

    values: list[Any] | dict[str, Any] | None = None
    command: CommandBody | None = None
    as_node: str


class Superstep(Body):
    updates: list[Update] = Field(min_length=1, max_length=MAX_SUPERSTEPS)


class CreateThread(Body):
    """POST /threads"""

    thread_id: str | None = None
    metadata: ThreadMetadata | None = None
    if_exists: Literal["raise", "do_nothing"] | None = None
    ttl: TtlBody | None = None
    supersteps: list[Superstep] | None = Field(default=None, max_length=MAX_SUPERSTEPS)


class PatchThread(Body):
    """PATCH /threads/{id}"""

    metadata: Metadata | None = None
    ttl: TtlBody | None = None


class CountThreads(Body):
    """POST /threads/count"""

    metadata: ThreadMetadata | None = None
    values: dict[str, Any] | None = None
    status: Status | None = None


Selected = Literal[
    "thread_id",
    "created_at",
    "updated_at",
    "state_updated_at",
    "metadata",
    "config",
    "context",
    "status",
    "values",
    "interrupts",
    "error",
]


class SearchThreads(CountThreads):
    """POST /threads/search"""

    ids: list[str] | None = Field(default=None, max_length=MAX_FOUND)
    limit: int | None = Field(default=None, ge=1, le=MAX_FOUND)
    offset: int | None = Field(default=None, ge=0, le=2_147_483_647)
    sort_by: Literal["thread_id", "status", "created_at", "updated_at", "state_updated_at"] | None = None
    sort_order: Literal["asc", "desc"] | None = None
    select: list[Selected] | None = None
    extract: dict[str, str] | None = Field(default=None, max_length=MAX_EXTRACTED)


class PruneThreads(Body):
    """POST /threads/prune"""

    thread_ids: list[str] = Field(max_length=MAX_FOUND)
    strategy: Literal["delete", "keep_latest"] | None = None


class CheckpointBody(Body):
    """A place in a thread's history, or in that of a subgraph of it."""

    thread_id: str | None = None
    checkpoint_ns: str | None = None
    checkpoint_id: str | None = None
    checkpoint_map: dict[str, Any] | None = None


class UpdateState(Body):
    """POST /threads/{id}/state"""

    values: list[Any] | dict[str, Any] | None = None
    checkpoint_id: str | None = None
    checkpoint: CheckpointBody | None = None
    as_node: str | None = None


class ReadState(Body):
    """POST /threads/{id}/state/checkpoint"""

    checkpoint: CheckpointBody
    subgraphs: bool | None = None
    select: list[str] | None = None


class Before(CheckpointBody):
    """A checkpoint, or the config that has it."""

    configurable: dict[str, Any] | None = None


class ReadHistory(Body):
    """POST /threads/{id}/history"""

    limit: int | None = Field(default=None, ge=1, le=MAX_FOUND)
    before: str | Before | None = None
    metadata: dict[str, Any] | None = None
    checkpoint: CheckpointBody | None = None
    select: list[str] | None = None
