"""What is too large for a run's documents, or no document at all: kept beside them, and named there by its id."""

import json
import re
from dataclasses import dataclass
from uuid import UUID

from django.conf import settings

from core.db import Operation, Query, operation
from core.ids import new_id, parse_id
from core.redaction import Redactor
from core.text import clean
from runtime.contract import ToolRecord

MAX_BYTES = 50 * 1024 * 1024
# Of all that a step makes: until it is stored, the worker holds it in memory.
MAX_STEP_BYTES = 2 * MAX_BYTES
# Characters of it that a model is shown of a result that became one.
SHOWN = 2_000
MAX_NAME = 255

_MIME_TYPE = re.compile(
    r"[a-z0-9][a-z0-9!#$&^_.+-]{0,99}/[a-z0-9][a-z0-9!#$&^_.+-]{0,99}(; ?charset=[a-z0-9_-]{1,40})?"
)
_TEXT = re.compile(r"text/|application/(json|xml|yaml|x-ndjson)\b|.*\+(json|xml)\b")


@dataclass(slots=True, frozen=True)
class NewArtifact:
    """One that is to be stored with its step."""

    id: str
    call_id: str | None
    name: str
    mime_type: str
    content: bytes


class Artifacts:
    """Gathers what the step in flight makes. Tools that run in threads may use it, too."""

    def __init__(self, session_id: str, redactor: Redactor):
        self._session_id = session_id
        self._redactor = redactor
        self._made: list[NewArtifact] = []
        self._on_its_way: list[NewArtifact] = []

    def add(self, name: str, mime_type: str, content: bytes, call_id: str | None = None) -> str:
        """Keep `content` with the step, text without secrets; gives its id.

        Raises ValueError for a name or type that cannot be one, and where it is too large.
        """
        name = re.sub(r"[\x00-\x1f\x7f/\\]", "_", clean(name)).strip()[:MAX_NAME]
        if not name:
            raise ValueError("An artifact needs a name.")
        if not _MIME_TYPE.fullmatch(mime_type.lower()):
            raise ValueError(f"{mime_type[:100]!r} is not a type such as text/csv.")
        if len(content) > MAX_BYTES:
            raise ValueError(f"{name!r} has {len(content)} bytes; {MAX_BYTES} can be kept.")
        if sum(len(made.content) for made in self._made) + len(content) > MAX_STEP_BYTES:
            raise ValueError(f"A step keeps {MAX_STEP_BYTES} bytes of artifacts; {name!r} would be more.")
        made = NewArtifact(str(new_id()), call_id, name, mime_type.lower(), self._redacted(content, mime_type.lower()))
        self._made.append(made)
        return made.id

    def shorten(self, record: ToolRecord) -> None:
        """Make an artifact of a result that is too large for documents; the record then refers to it.

        A result that is too large for that too becomes an error, and a long error ends early.
        """
        if record.error is not None and len(record.error) > settings.TOOL_RESULT_MAX_BYTES:
            record.error = f"{record.error[:SHOWN]}…"
        if record.status != "ok" or record.artifact_id is not None:
            return
        is_text = isinstance(record.result, str)
        text = record.result if is_text else json.dumps(record.result, ensure_ascii=False)
        content = text.encode(errors="replace")
        if len(content) <= settings.TOOL_RESULT_MAX_BYTES:
            return
        kind, suffix = ("text/plain; charset=utf-8", "txt") if is_text else ("application/json", "json")
        try:
            record.artifact_id = self.add(f"{record.call.name}.{suffix}", kind, content, record.call.id)
        except ValueError as error:
            record.status, record.result, record.error = "error", None, f"The result is too large: {error}"
            return
        record.result = {
            "artifact_id": record.artifact_id,
            "mime_type": kind,
            "size": len(content),
            "beginning": text[:SHOWN],
        }

    def take(self) -> list[NewArtifact]:
        """Those of the step that has ended; the next one begins with none."""
        taken, self._made = self._made, []
        self._on_its_way += taken
        return taken

    def written(self) -> None:
        """What was taken so far is on disk."""
        self._on_its_way = []

    async def read(self, artifact_id: str, offset: int, limit: int) -> tuple[bytes, int] | None:
        """A piece of one of the session's, stored or not, and the size of the whole; None where there is none."""
        for made in (*self._made, *self._on_its_way):
            if made.id == artifact_id:
                return made.content[offset : offset + limit], len(made.content)
        if (known := parse_id(artifact_id)) is None:
            return None
        return await _piece(known, self._session_id, offset, limit).arun()

    def _redacted(self, content: bytes, mime_type: str) -> bytes:
        if not _TEXT.match(mime_type):
            return content
        # What is no UTF-8 stays as it is.
        return self._redactor.text(content.decode(errors="surrogateescape")).encode(errors="surrogateescape")


@operation()
def _piece(artifact_id: UUID, session_id: str, offset: int, limit: int) -> Operation[tuple[bytes, int] | None]:
    rows = yield Query(
        "SELECT substring(a.content FROM %(first)s FOR %(limit)s) AS piece, a.size FROM artifacts a "
        "JOIN runs r ON r.id = a.run_id WHERE a.id = %(artifact)s AND r.session_id = %(session)s",
        # Bytes are counted from 1, by an integer.
        {"artifact": artifact_id, "session": session_id, "first": min(offset, MAX_BYTES) + 1, "limit": limit},
    )
    return (bytes(rows[0]["piece"]), rows[0]["size"]) if rows else None
