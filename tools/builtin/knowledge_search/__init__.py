"""The tool `knowledge_search`, until there are knowledge bases to search."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from runtime.contract import Json, Tool, ToolContext
from runtime.secrets import Secrets
from tools.registry import register

_NONE = "This server has no knowledge bases yet."


class KnowledgeSearchArgs(BaseModel):
    model_config = ConfigDict(extra="forbid")

    query: str = Field(min_length=1, max_length=2_000, description="What to look for, in words.")
    max_results: int | None = Field(default=None, ge=1, description="At most so many passages.")


class KnowledgeSearchParameters(BaseModel):
    """`knowledge_bases`: those to search; empty: all of the assistant's. `max_results` bounds what the model gets."""

    model_config = ConfigDict(extra="forbid")

    knowledge_bases: list[str] = Field(default_factory=list, max_length=64)
    max_results: int = Field(default=5, ge=1, le=50)


class KnowledgeSearch(Tool):
    """Passages of the assistant's knowledge bases. Its name and its settings stand; no assistant can use it yet."""

    name = "knowledge_search"
    description = "Searches the knowledge bases and returns the passages that fit best."
    read_only = True
    Args = KnowledgeSearchArgs
    Parameters = KnowledgeSearchParameters

    def check(self, parameters: dict[str, Any], secrets: Secrets) -> list[str]:
        return [_NONE]

    async def acall(self, args: KnowledgeSearchArgs, context: ToolContext) -> Json:
        raise LookupError(_NONE)


register(KnowledgeSearch())
