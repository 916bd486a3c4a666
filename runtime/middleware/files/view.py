"""The files as one tool call sees and changes them."""

from dataclasses import dataclass

from runtime.contract import ToolContext
from runtime.middleware.files.rules import KEY, FileFault, check_path, check_room, session_file, size_of
from runtime.middleware.files.settings import FilesSettings, Scope
from runtime.shared_files import FileEntry


class Files:
    """After `load` nothing is waited for: what a call reads and then writes no other call of the turn comes between.

    The methods raise `FileFault` with a sentence for the model.
    """

    def __init__(self, settings: FilesSettings, context: ToolContext):
        self._settings = settings
        self._values = context.values
        self._io = context.io

    async def load(self, *paths: str) -> None:
        """Have these files at hand, and the list of all that are where they are; without paths the list of all."""
        wanted: dict[Scope, list[str]] = {} if paths else {scope: [] for scope in self._settings.scopes}
        for path in paths:
            wanted.setdefault(self._scope(check_path(path)), []).append(path)
        for scope, of_scope in wanted.items():
            if scope == "session":
                continue
            if scope != "user" or self._io.user_id is not None:
                await self._io.files.load(scope, *of_scope)
            elif of_scope:
                raise FileFault("This session is no user's, so there are no files of its user.")

    def entries(self) -> list["Listed"]:
        """The files that there are, in the order of their paths."""
        found = [
            Listed(entry.path, entry.size, self._settings.directory_of(entry.path).read_only)
            for scope in self._settings.scopes
            if scope != "user" or self._io.user_id is not None
            for entry in self._of(scope)
            # One that is kept where its path does not lead (any more) is nowhere.
            if self._scope(entry.path) == scope
        ]
        return sorted(found, key=lambda listed: listed.path)

    def find(self, path: str) -> str | None:
        """The content; None where there is no such file."""
        scope = self._scope(path)
        if scope != "session":
            return self._io.files.read(scope, path)
        kept = self._values.get(KEY + path)
        return None if kept is None else str(kept["content"])

    def read(self, path: str) -> str:
        """The content of a file that is there."""
        content = self.find(path)
        if content is None:
            raise FileFault(f"There is no file {path}.")
        return content

    def write(self, path: str, content: str) -> None:
        """Set the content of a file that may be new."""
        self._refuse_read_only(path)
        scope = self._scope(path)
        others = [entry.size for entry in self._of(scope) if entry.path != path]
        check_room(len(others) + 1, sum(others) + size_of(content))
        if scope != "session":
            self._io.files.write(scope, path, content)
        else:
            key = KEY + path
            self._values[key] = session_file(content, self._io.now(), self._values.get(key))

    def delete(self, path: str) -> None:
        """Delete a file that is there."""
        self._refuse_read_only(path)
        self.read(path)
        scope = self._scope(path)
        if scope != "session":
            self._io.files.write(scope, path, None)
        else:
            del self._values[KEY + path]

    def move(self, path: str, new_path: str) -> None:
        """Move a file that is there to where there is none."""
        content = self.read(path)
        self.refuse_existing(new_path)
        for either in (path, new_path):
            self._refuse_read_only(either)
        if self._scope(path) == self._scope(new_path):
            # Not the other way round: where there is no room for one file more this one can be moved all the same.
            self.delete(path)
            self.write(new_path, content)
        else:
            self.write(new_path, content)
            self.delete(path)

    def refuse_existing(self, path: str) -> None:
        """Raises `FileFault` where there is such a file."""
        if self.find(path) is not None:
            raise FileFault(f"{path} exists already.")

    def _scope(self, path: str) -> Scope:
        return self._settings.directory_of(path).scope

    def _refuse_read_only(self, path: str) -> None:
        directory = self._settings.directory_of(path)
        if directory.read_only:
            raise FileFault(f"What is in {directory.path} may only be read.")

    def _of(self, scope: Scope) -> list[FileEntry]:
        if scope != "session":
            return self._io.files.entries(scope)
        kept = {key.removeprefix(KEY): self._values[key] for key in self._values if key.startswith(KEY)}
        return [FileEntry(path, value["size"], value["updated_at"]) for path, value in kept.items()]


@dataclass(slots=True, frozen=True)
class Listed:
    """A file as the model finds it in the list."""

    path: str
    size: int
    read_only: bool
