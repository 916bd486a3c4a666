"""The rows of files that sessions share: read and written by the steps of runs and by clients alike.

Several are locked in the order of their keys, whoever writes them. So what is deleted is first written as nothing,
together with all else, and then taken out.
"""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from core.db import Operation, Query, Row, jsonb, operation
from core.ids import new_id

EVERYBODY = ""  # the owner of an assistant's files; a user's have the user's id

# What `jsonb_to_recordset` makes of `file_row`.
FILE_COLUMNS = "file uuid, assistant_id uuid, user_id text, path text, content text"

# `new` has these columns, and each file once.
SET_FILES = """
INSERT INTO shared_files (id, workspace_id, assistant_id, user_id, path, content, size)
SELECT new.file, a.workspace_id, new.assistant_id, new.user_id, new.path, new.content,
    coalesce(octet_length(new.content), 0)
FROM new JOIN assistants a ON a.id = new.assistant_id ORDER BY new.assistant_id, new.user_id, new.path
ON CONFLICT (assistant_id, user_id, path) DO UPDATE SET content = excluded.content, size = excluded.size,
    version = shared_files.version + 1, updated_at = clock_timestamp()
"""

TAKE_OUT_FILES = f"""
DELETE FROM shared_files f USING jsonb_to_recordset(%(files)s) AS g({FILE_COLUMNS})
WHERE f.content IS NULL AND f.assistant_id = g.assistant_id AND f.user_id = g.user_id AND f.path = g.path
"""  # noqa: S608 - a constant

_WRITE = f"""
WITH new AS (SELECT * FROM jsonb_to_recordset(%(files)s) AS g({FILE_COLUMNS})) {SET_FILES}
"""  # noqa: S608 - a constant

_READ = """
SELECT path, size, created_at, updated_at, CASE WHEN path = ANY(%(paths)s) THEN content END AS content
FROM shared_files WHERE assistant_id = %(assistant)s AND user_id = %(owner)s ORDER BY path COLLATE "C"
"""


def file_row(assistant_id: UUID | str, owner: str, path: str, content: str | None) -> dict[str, Any]:
    """What is to be written for a file; without content it is deleted."""
    return {
        "file": str(new_id()),
        "assistant_id": str(assistant_id),
        "user_id": owner,
        "path": path,
        "content": content,
    }


@operation()
def read_shared(assistant_id: UUID, owner: str, paths: Sequence[str]) -> Operation[list[Row]]:
    """The files of one owner with the assistant, in the order of their paths; of `paths` with their content."""
    return (yield Query(_READ, {"assistant": assistant_id, "owner": owner, "paths": list(paths)}))


def write_shared(rows: Sequence[dict[str, Any]]) -> Operation[None]:
    """Write these (`file_row`, each file once) inside the caller's transaction."""
    yield Query(_WRITE, {"files": jsonb(rows)})
    if any(row["content"] is None for row in rows):
        yield Query(TAKE_OUT_FILES, {"files": jsonb(rows)})
