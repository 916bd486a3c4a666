"""The files that sessions share, as the steps of one execution see and change them (`runtime.shared_files`).

They are read when a step needs them, and written in the step's transaction. Until that is on disk the run's next steps
see what it wrote here.
"""

from typing import Any

from core.clock import isoformat
from core.db import Row
from core.redaction import Redactor
from core.text import clean
from runs.worker.keeping import patiently
from runtime.shared_files import FileEntry, SharedScope
from sessions.shared_files import EVERYBODY, file_row, read_shared

Place = tuple[SharedScope, str]


class StepFiles:
    """What the step in flight has read (`_found`) and changed (`_changed`), and what earlier ones have (`_unwritten`).

    None as a content: there is no such file.
    """

    def __init__(self, claim: Row, redactor: Redactor):
        self._assistant_id = claim["assistant_id"]
        self._owners: dict[SharedScope, str | None] = {"assistant": EVERYBODY, "user": claim["user_id"]}
        self._redactor = redactor
        self._listed: dict[SharedScope, list[FileEntry]] = {}
        self._found: dict[Place, str | None] = {}
        self._changed: dict[Place, str | None] = {}
        self._unwritten: dict[Place, str | None] = {}

    def begin(self) -> None:
        """A step begins: what the one before saw or left undone is forgotten."""
        self._listed, self._found, self._changed = {}, {}, {}

    def take(self) -> list[dict[str, Any]]:
        """What the step that has ended changed, as rows to be written."""
        self._unwritten |= self._changed
        changed, self._changed = self._changed, {}
        return [file_row(self._assistant_id, self._owner(scope), path, text) for (scope, path), text in changed.items()]

    def written(self) -> None:
        """All that was taken is on disk."""
        self._unwritten = {}

    async def load(self, scope: SharedScope, *paths: str) -> None:
        """Have the list of the files at hand, and the content of these. Raises ValueError: the session is no user's."""
        wanted = [path for path in paths if (scope, path) not in self._found]
        if scope in self._listed and not wanted:
            return
        rows = await patiently(read_shared(self._assistant_id, self._owner(scope), wanted).arun)
        # Another call of the turn may have been faster: what was read first stays.
        self._listed.setdefault(scope, [FileEntry(r["path"], r["size"], isoformat(r["updated_at"])) for r in rows])
        contents = {row["path"]: row["content"] for row in rows}
        for path in wanted:
            self._found.setdefault((scope, path), contents.get(path))

    def entries(self, scope: SharedScope) -> list[FileEntry]:
        """The files that there are, in the order of their paths."""
        found = {entry.path: entry for entry in self._listed[scope]}
        for (of, path), content in {**self._unwritten, **self._changed}.items():
            if of == scope:
                found.pop(path, None)
                if content is not None:
                    found[path] = FileEntry(path, len(content.encode()), "")
        return sorted(found.values(), key=lambda entry: entry.path)

    def read(self, scope: SharedScope, path: str) -> str | None:
        """The content of a file that was loaded; None where there is none."""
        place = (scope, path)
        seen = next(seen for seen in (self._changed, self._unwritten, self._found) if place in seen)
        return seen[place]

    def write(self, scope: SharedScope, path: str, content: str | None) -> None:
        """Set the content, or with None delete the file."""
        self._owner(scope)
        self._changed[scope, path] = None if content is None else self._redactor.text(clean(content))

    def _owner(self, scope: SharedScope) -> str:
        owner = self._owners[scope]
        if owner is None:
            raise ValueError("This session is no user's, so there are no files of its user.")
        return owner
