"""Files that the model keeps: no disk, but rows of the session's state, or files that sessions share."""

from collections.abc import Sequence

from runtime.contract import Tool
from runtime.middleware.base import Middleware, Turn
from runtime.middleware.files.settings import Directory, FilesSettings
from runtime.middleware.files.tools import tools_of

_WHOSE = {
    "session": "this conversation's",
    "user": "shared by all conversations of this user",
    "assistant": "shared by all conversations",
}


class FileSystem(Middleware):
    """Files that the model lists, reads, creates, changes, moves and deletes.

    They are the session's, and as much a part of its state as its messages; directories may be shared with the other
    sessions of the user or of the assistant. Clients reach them at `/sessions/{id}/files`.
    """

    name = "files"
    Settings = FilesSettings

    def tools(self) -> Sequence[Tool]:
        return tools_of(self.settings)

    def prompt(self, turn: Turn) -> str:
        if not self.settings.enabled_tools:
            return ""
        lines = [
            "## Files",
            "",
            "You have a file system of your own, reached by the tools for files only. Paths start with /. Keep there "
            "what is long or needed again, and read a file before you change it.",
            *map(_told, self.settings.directories),
        ]
        return "\n".join(lines)


def _told(directory: Directory) -> str:
    return f"- {directory.path}: {_WHOSE[directory.scope]}{', read-only' if directory.read_only else ''}"
