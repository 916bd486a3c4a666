"""The tool `artifact_read`."""

from pydantic import BaseModel, ConfigDict, Field

from core.text import whole_characters
from runtime.contract import Json, Tool, ToolContext
from tools.registry import register


class ArtifactReadArgs(BaseModel):
    model_config = ConfigDict(extra="forbid")

    artifact_id: str = Field(max_length=100)
    offset: int = Field(default=0, ge=0, le=2**53, description="The byte to begin at: the `next_offset` before.")
    limit: int | None = Field(default=None, ge=4, description="At most so many bytes.")


class ArtifactReadParameters(BaseModel):
    """`max_bytes` bounds what one call gives."""

    model_config = ConfigDict(extra="forbid")

    max_bytes: int = Field(default=8 * 1024, ge=1024, le=64 * 1024)


class ArtifactRead(Tool):
    """What is kept of a result that was too large, and other texts that tools of this session have made."""

    name = "artifact_read"
    description = (
        "Reads on in a result that was too large to be shown, by `artifact_id`. Gives the part from `offset` on and "
        "the `next_offset` to go on with, null at the end."
    )
    read_only = True
    Args = ArtifactReadArgs
    Parameters = ArtifactReadParameters

    async def acall(self, args: ArtifactReadArgs, context: ToolContext) -> Json:
        most = ArtifactReadParameters.model_validate(context.parameters).max_bytes
        found = await context.io.read_artifact(args.artifact_id, args.offset, min(args.limit or most, most))
        if found is None:
            raise LookupError("This session has no such artifact.")
        piece, size = found
        text, taken = whole_characters(piece, begins=args.offset == 0)
        end = args.offset + taken
        return {"content": text, "size": size, "next_offset": end if end < size and taken else None}


register(ArtifactRead())
