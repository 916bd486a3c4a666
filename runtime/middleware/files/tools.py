"""The tools by which the model uses its files."""

import asyncio
from fnmatch import fnmatchcase
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from runtime.contract import Json, Tool, ToolContext
from runtime.middleware.files.rules import MAX_PATH
from runtime.middleware.files.settings import FilesSettings
from runtime.middleware.files.text import MAX_FOUND, found_in, numbered, replaced_lines, replaced_text
from runtime.middleware.files.view import Files

MAX_LINES = 2_000


class _Args(BaseModel):
    model_config = ConfigDict(extra="forbid")


class PathArgs(_Args):
    path: str = Field(description="From the root, such as /notes/plan.md.")


class FileTool(Tool):
    """A tool of the files that the settings describe."""

    def __init__(self, settings: FilesSettings):
        self.settings = settings

    async def files(self, context: ToolContext, *paths: str) -> Files:
        """The files as the call sees them, with these at hand."""
        files = Files(self.settings, context)
        await files.load(*paths)
        return files


class ListArgs(_Args):
    pattern: str = Field(
        default="*", max_length=MAX_PATH, description="* stands for any characters, ? for one: /notes/*, *.md"
    )


class ListFiles(FileTool):
    name, description, read_only = "list_files", "List the files whose path fits a pattern.", True
    Args = ListArgs

    async def acall(self, args: ListArgs, context: ToolContext) -> Json:
        files = await self.files(context)
        return [
            {"path": file.path, "size": file.size, **({"read_only": True} if file.read_only else {})}
            for file in files.entries()
            if fnmatchcase(file.path, args.pattern) or fnmatchcase(file.path, f"/{args.pattern}")
        ]


class ReadArgs(PathArgs):
    start_line: int = Field(default=1, ge=1)
    limit: int = Field(default=MAX_LINES, ge=1, le=MAX_LINES, description="How many lines.")


class ReadFile(FileTool):
    name, read_only = "read_file", True
    description = "Read a file, or a part of it. Each line comes after its number and a tab, which are not in the file."
    Args = ReadArgs

    async def acall(self, args: ReadArgs, context: ToolContext) -> Json:
        files = await self.files(context, args.path)
        return numbered(files.read(args.path), args.start_line, args.limit)


class CreateArgs(PathArgs):
    content: str


class CreateFile(FileTool):
    name, description = "create_file", "Create a file that does not exist yet."
    Args = CreateArgs

    async def acall(self, args: CreateArgs, context: ToolContext) -> Json:
        files = await self.files(context, args.path)
        files.refuse_existing(args.path)
        files.write(args.path, args.content)
        return f"Created {args.path}."


class ReplaceTextArgs(PathArgs):
    old_text: str = Field(min_length=1, description="As it is in the file, without line numbers.")
    new_text: str
    replace_all: bool = Field(default=False, description="Replace it everywhere; else it must occur once.")


class ReplaceFileText(FileTool):
    name, description = "replace_file_text", "Replace a text in a file by another one."
    Args = ReplaceTextArgs

    async def acall(self, args: ReplaceTextArgs, context: ToolContext) -> Json:
        files = await self.files(context, args.path)
        old = files.read(args.path)
        content, count = replaced_text(old, args.old_text, args.new_text, everywhere=args.replace_all)
        files.write(args.path, content)
        return f"Replaced it in {args.path}{f' {count} times' if count > 1 else ''}."


class ReplaceLinesArgs(PathArgs):
    start_line: int = Field(ge=1)
    end_line: int = Field(ge=1, description="The last line that is replaced.")
    new_text: str = Field(description="One or more lines; nothing takes the lines out.")


class ReplaceFileLines(FileTool):
    name, description = "replace_file_lines", "Replace lines of a file, counted from 1, by others."
    Args = ReplaceLinesArgs

    async def acall(self, args: ReplaceLinesArgs, context: ToolContext) -> Json:
        files = await self.files(context, args.path)
        content = replaced_lines(files.read(args.path), args.start_line, args.end_line, args.new_text)
        files.write(args.path, content)
        return f"Replaced lines {args.start_line} to {args.end_line} of {args.path}."


class FindArgs(PathArgs):
    pattern: str = Field(min_length=1, max_length=1_000, description="A regular expression, without look-around.")


class FindInFile(FileTool):
    name, read_only = "find_in_file", True
    description = f"Find the lines of a file in which a regular expression occurs; the first {MAX_FOUND} of them."
    Args = FindArgs

    async def acall(self, args: FindArgs, context: ToolContext) -> Json:
        files = await self.files(context, args.path)
        # A million short lines take a second: not on the event loop, which others' runs share.
        found, more = await asyncio.to_thread(found_in, files.read(args.path), args.pattern)
        lines = [{"line": number, "text": text} for number, text in found]
        return {"found": lines, "more": more}


class DeleteFile(FileTool):
    name, description = "delete_file", "Delete a file."
    Args = PathArgs

    async def acall(self, args: PathArgs, context: ToolContext) -> Json:
        files = await self.files(context, args.path)
        files.delete(args.path)
        return f"Deleted {args.path}."


class MoveArgs(PathArgs):
    new_path: str


class MoveFile(FileTool):
    name, description = "move_file", "Move a file to a path where there is none yet."
    Args = MoveArgs

    async def acall(self, args: MoveArgs, context: ToolContext) -> Json:
        files = await self.files(context, args.path, args.new_path)
        files.move(args.path, args.new_path)
        return f"Moved {args.path} to {args.new_path}."


TOOLS: tuple[type[FileTool], ...] = (
    ListFiles,
    ReadFile,
    CreateFile,
    ReplaceFileText,
    ReplaceFileLines,
    FindInFile,
    DeleteFile,
    MoveFile,
)


def tools_of(settings: FilesSettings) -> list[Tool]:
    """Those that the settings enable."""
    enabled: set[Any] = set(settings.enabled_tools)
    return [tool(settings) for tool in TOOLS if tool.name in enabled]
