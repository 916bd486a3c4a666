"""The tool `file_read`."""

import os
from pathlib import PurePosixPath
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from core.text import whole_characters
from runtime.configuration import current
from runtime.contract import Json, Tool, ToolContext
from runtime.secrets import Secrets
from tools.builtin.file_read.beneath import Unreadable, open_beneath, steps_of
from tools.registry import register

Extension = Annotated[str, StringConstraints(pattern=r"^\.[A-Za-z0-9_-]{1,32}$")]
_LONGEST = 4  # bytes of one character


class FileReadArgs(BaseModel):
    model_config = ConfigDict(extra="forbid")

    path: str = Field(min_length=1, max_length=1_000, description="Relative to the folder: reports/2026.csv.")
    offset: int = Field(default=0, ge=0, le=2**53, description="The byte to begin at: the `next_offset` before.")
    limit: int | None = Field(default=None, ge=_LONGEST, description="At most so many bytes.")


class FileReadParameters(BaseModel):
    """`root`: the folder, which is one of `FILE_READ_ROOTS` or below one; without it the first of them. `max_bytes`
    bounds what one call gives."""

    model_config = ConfigDict(extra="forbid")

    root: str | None = Field(default=None, min_length=1, max_length=1_000)
    allowed_extensions: list[Extension] = Field(default=[".txt", ".md", ".csv", ".json"], max_length=64)
    max_bytes: int = Field(default=64 * 1024, ge=1024, le=1024 * 1024)


class FileRead(Tool):
    """Text files of a folder that the operator has opened. See `tools.builtin.file_read.beneath`."""

    name = "file_read"
    description = (
        "Reads a text file. Gives its content, or of a long one the part from `offset` on and the `next_offset` to go "
        "on with, which is null at the end."
    )
    read_only = True
    timeout_s = 30
    Args = FileReadArgs
    Parameters = FileReadParameters

    def check(self, parameters: dict[str, Any], secrets: Secrets) -> list[str]:
        try:
            _place(parameters.get("root"))
        except Unreadable as fault:
            return [str(fault)]
        return []

    def call(self, args: FileReadArgs, context: ToolContext) -> Json:
        parameters = FileReadParameters.model_validate(context.parameters)
        steps = steps_of(args.path)
        suffix = PurePosixPath(steps[-1]).suffix
        if suffix.lower() not in {extension.lower() for extension in parameters.allowed_extensions}:
            allowed = ", ".join(parameters.allowed_extensions) or "none"
            raise Unreadable(f"Files that end in {suffix or 'nothing'!r} are not read here; allowed: {allowed}.")
        top, below = _place(parameters.root)
        limit = min(args.limit or parameters.max_bytes, parameters.max_bytes)
        with open_beneath(top, (*below, *steps)) as file:
            size = os.fstat(file.fileno()).st_size
            file.seek(args.offset)
            read = file.read(limit)
        try:
            text, taken = whole_characters(read, begins=args.offset == 0)
        except ValueError as fault:
            raise Unreadable(f"{args.path!r} cannot be read: {fault}") from None
        end = args.offset + taken
        return {"path": args.path, "content": text, "size": size, "next_offset": end if end < size and taken else None}


def _place(root: str | None) -> tuple[str, tuple[str, ...]]:
    """The operator's folder in which `root` is, and the names from there on; raises `Unreadable`."""
    roots = current().file_read_roots
    if not roots:
        raise Unreadable("FILE_READ_ROOTS opens no folder of this server.")
    if root is None:
        return roots[0], ()
    wanted = PurePosixPath(root)
    if "\0" not in root and ".." not in wanted.parts:
        for top in roots:
            if wanted.is_relative_to(top):
                return top, wanted.relative_to(top).parts
    raise Unreadable(f"{root!r} is in no folder of FILE_READ_ROOTS.")


register(FileRead())
