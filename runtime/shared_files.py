"""Files that sessions share: what a step sees of them. The host keeps them (`StepIO.files`)."""

from dataclasses import dataclass
from typing import Literal, Protocol

# Of all sessions of one user with the assistant, or of all sessions with the assistant.
SharedScope = Literal["user", "assistant"]


@dataclass(slots=True, frozen=True)
class FileEntry:
    """A file without its content. `size` is in bytes of UTF-8, `updated_at` a moment as the API writes it."""

    path: str
    size: int
    updated_at: str


class SharedFiles(Protocol):
    """The files as one step sees and changes them: what it changes is stored with it, or not at all.

    The last writer wins. After `load` nothing is waited for, so that parallel tool calls see each other's changes.
    """

    async def load(self, scope: SharedScope, *paths: str) -> None:
        """Have the list of the files at hand, and the content of these."""

    def entries(self, scope: SharedScope) -> list[FileEntry]:
        """The files that there are, in the order of their paths."""

    def read(self, scope: SharedScope, path: str) -> str | None:
        """The content of a file that was loaded; None where there is none."""

    def write(self, scope: SharedScope, path: str, content: str | None) -> None:
        """Set the content, or with None delete the file."""
