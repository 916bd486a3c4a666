"""What an assistant may set of its files: which tools the model gets, and what kinds of directories there are."""

from typing import Annotated, Literal, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from runtime.middleware.files.rules import FileFault, check_path

ToolName = Literal[
    "list_files",
    "read_file",
    "create_file",
    "replace_file_text",
    "replace_file_lines",
    "find_in_file",
    "delete_file",
    "move_file",
]
TOOL_NAMES: tuple[ToolName, ...] = get_args(ToolName)
Scope = Literal["session", "user", "assistant"]


def _directory(path: str) -> str:
    if path == "/":
        return path
    try:
        return check_path(path)
    except FileFault as fault:
        raise ValueError(str(fault)) from None


class Directory(BaseModel):
    """Whose the files below `path` are, and whether the model may only read them."""

    model_config = ConfigDict(extra="forbid")

    path: Annotated[str, AfterValidator(_directory)]
    scope: Scope = "session"
    read_only: bool = False

    def holds(self, path: str) -> bool:
        """Whether the path is the directory's, or below it."""
        return self.path == "/" or path == self.path or path.startswith(f"{self.path}/")


_EVERYWHERE = Directory(path="/")


class FilesSettings(BaseModel):
    """`enabled_tools`: those that the model gets. Of several `directories` that hold a path the longest counts."""

    model_config = ConfigDict(extra="forbid")

    enabled_tools: list[ToolName] = Field(default=list(TOOL_NAMES), max_length=len(TOOL_NAMES))
    directories: list[Directory] = Field(default=[], max_length=20)

    @model_validator(mode="after")
    def _each_once(self) -> "FilesSettings":
        paths = [directory.path for directory in self.directories]
        if len(set(paths)) < len(paths):
            raise ValueError("a directory is listed twice")
        return self

    def directory_of(self, path: str) -> Directory:
        """What holds for the path: everything that is listed nowhere is the session's own."""
        holding = [directory for directory in self.directories if directory.holds(path)]
        return max(holding, key=lambda directory: len(directory.path), default=_EVERYWHERE)

    @property
    def scopes(self) -> set[Scope]:
        """Those that files may have."""
        return {"session", *(directory.scope for directory in self.directories)}
