"""The files of sessions as clients reach them: read and changed by the rules that hold for their agents.

A session's own files are keys of its state: a change of one is a checkpoint, so that the history holds it. What
sessions share is in rows of its own (`sessions.shared_files`).
"""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from accounts.identity import Identity
from accounts.scoping import parameters_of, visible
from core.clock import isoformat
from core.db import Operation, Query, Row, jsonb, operation
from core.errors import AlreadyExists, Conflict, Forbidden, Invalid, NotFound, SessionBusy, SessionClosed
from core.ids import new_id
from runtime.middleware.files.rules import KEY, FileFault, check_path, check_room, session_file, size_of
from runtime.middleware.files.settings import FilesSettings, Scope
from sessions.models import CheckpointSource, Status
from sessions.shared_files import EVERYBODY, file_row, read_shared, write_shared

NAME = "files"  # of the middleware

_SESSION = f"""
SELECT s.id, s.user_id, s.assistant_id, s.status, s.expires_at <= clock_timestamp() AS expired, s.head_run_id,
    s.checkpoint_id, s.step, s.message_count, v.config->'middleware' AS middleware, clock_timestamp() AS now
FROM sessions s LEFT JOIN assistant_versions v ON v.assistant_id = s.assistant_id AND v.number = s.assistant_version
WHERE s.id = %(session)s AND {visible("s")}
"""  # noqa: S608

# Without their contents: all of them together may be large.
_ENTRIES = """
SELECT substr(e.key, %(from)s) AS path, (e.value->'size')::int AS size, e.value->>'created_at' AS created_at,
    e.value->>'updated_at' AS updated_at
FROM sessions s CROSS JOIN jsonb_each(s.state) e WHERE s.id = %(session)s AND starts_with(e.key, %(key)s)
"""

_STORE = """
WITH stored AS (
    INSERT INTO checkpoints (id, session_id, parent_id, step, source, next, message_count, changes, removed)
    VALUES (%(id)s, %(session)s, %(parent)s, %(step)s, %(source)s, '[]', %(count)s, %(changes)s, %(removed)s)
)
UPDATE sessions SET state = (state - %(gone)s::text[]) || %(changes)s, step = %(step)s, checkpoint_id = %(id)s,
    last_activity_at = clock_timestamp(), updated_at = clock_timestamp()
WHERE id = %(session)s
"""


@dataclass(frozen=True, slots=True)
class _Place:
    """A session that has files: its row, and what its assistant says of them."""

    session: Row
    settings: FilesSettings

    def scope(self, path: str) -> Scope:
        return self.settings.directory_of(path).scope

    def owner(self, scope: Scope) -> str | None:
        """Whose the shared files are; None where this session has none of the scope."""
        owner: str | None = EVERYBODY if scope == "assistant" else self.session["user_id"]
        return owner

    def row(self, path: str, found: Row) -> Row:
        """What `sessions.documents` makes a document of."""
        directory = self.settings.directory_of(path)
        return {**found, "path": path, "scope": directory.scope, "read_only": directory.read_only}


# -- reading -----------------------------------------------------------------------------------------------------------


@operation()
def files_of(identity: Identity, session_id: UUID) -> Operation[list[Row]]:
    """The files that the session's agent sees, without their content. Raises NotFound."""
    place = yield from _place(identity, session_id)
    found = []
    for scope in sorted(place.settings.scopes):
        entries = yield from _entries(place, scope)
        # One that is kept where its path does not lead (any more) is nowhere.
        found += [place.row(entry["path"], entry) for entry in entries if place.scope(entry["path"]) == scope]
    return found


@operation()
def file_of(identity: Identity, session_id: UUID, path: str) -> Operation[Row]:
    """One of them, with its `content`. Raises NotFound, or Invalid for what is no path."""
    place = yield from _place(identity, session_id)
    return (yield from _found(place, _sound(path, "path")))


# -- writing -----------------------------------------------------------------------------------------------------------


@operation(atomic=True)
def put_file(identity: Identity, session_id: UUID, path: str, content: str) -> Operation[tuple[Row, bool]]:
    """Set the content of a file; gives it, and whether it is new.

    Raises NotFound, Invalid (the path, or more than there may be), SessionClosed, SessionBusy (a file of the session,
    while it has a run that has not ended), Forbidden (`read_only`), Conflict (a user's file, of a session without one).
    """
    place = yield from _place(identity, session_id, locked=True)
    _refuse_read_only(identity, place, _sound(path, "path"))
    before = yield from _find(place, path)
    yield from _write(place, {path: content})
    return (yield from _found(place, path)), before is None


@operation(atomic=True)
def delete_file(identity: Identity, session_id: UUID, path: str) -> Operation[None]:
    """Delete a file. Raises as `put_file`."""
    place = yield from _place(identity, session_id, locked=True)
    _refuse_read_only(identity, place, _sound(path, "path"))
    yield from _found(place, path)
    yield from _write(place, {path: None})


@operation(atomic=True)
def move_file(identity: Identity, session_id: UUID, path: str, to: str) -> Operation[Row]:
    """Move a file to where there is none; gives it. Raises as `put_file`, and AlreadyExists."""
    place = yield from _place(identity, session_id, locked=True)
    _refuse_read_only(identity, place, _sound(path, "from"))
    _refuse_read_only(identity, place, _sound(to, "to"))
    moved = yield from _found(place, path)
    if (yield from _find(place, to)) is not None:
        raise AlreadyExists(f"There is a file {to}.")
    yield from _write(place, {path: None, to: moved["content"]})
    return (yield from _found(place, to))


# -- how ---------------------------------------------------------------------------------------------------------------


def _place(identity: Identity, session_id: UUID, *, locked: bool = False) -> Operation[_Place]:
    """The session; for a write its row is locked, and it must be open."""
    sql = f"{_SESSION} FOR UPDATE OF s" if locked else _SESSION
    found = yield Query(sql, {"session": session_id, **parameters_of(identity)})
    if not found:
        raise NotFound("There is no such session.")
    (session,) = found
    listed = next((entry for entry in session["middleware"] or () if entry["name"] == NAME), None)
    if listed is None:
        raise NotFound(f"The session has no assistant that lists the middleware {NAME!r}.")
    if locked and (session["status"] != Status.ACTIVE or session["expired"]):
        raise SessionClosed("The session is closed or expired.")
    return _Place(session, FilesSettings.model_validate(listed["settings"]))


def _sound(path: str, name: str) -> str:
    try:
        return check_path(path)
    except FileFault as fault:
        raise Invalid.at(name, message=str(fault)) from None


def _refuse_read_only(identity: Identity, place: _Place, path: str) -> None:
    """What the agent only reads is as much a part of its making as its prompt."""
    if place.settings.directory_of(path).read_only:
        identity.require("assistants:write")
        if identity.user_id is not None:
            raise Forbidden("A key that is bound to a user does not change files that the assistant only reads.")


def _entries(place: _Place, scope: Scope) -> Operation[list[Row]]:
    if scope == "session":
        return (yield Query(_ENTRIES, {"session": place.session["id"], "key": KEY, "from": len(KEY) + 1}))
    owner = place.owner(scope)
    return [] if owner is None else (yield from read_shared(place.session["assistant_id"], owner, ()).start())


def _find(place: _Place, path: str) -> Operation[Row | None]:
    scope = place.scope(path)
    if scope == "session":
        rows = yield Query(
            "SELECT state->%(key)s AS file FROM sessions WHERE id = %(session)s",
            {"key": KEY + path, "session": place.session["id"]},
        )
        file: Row | None = rows[0]["file"]
        return file
    owner = place.owner(scope)
    if owner is None:
        return None
    rows = yield from read_shared(place.session["assistant_id"], owner, (path,)).start()
    return next((row for row in rows if row["path"] == path), None)


def _found(place: _Place, path: str) -> Operation[Row]:
    found = yield from _find(place, path)
    if found is None:
        raise NotFound("There is no such file.")
    return place.row(path, found)


def _write(place: _Place, changes: dict[str, str | None]) -> Operation[None]:
    """Set these files' contents; None deletes."""
    of_session: dict[str, str | None] = {}
    shared: list[dict[str, Any]] = []
    for scope in {place.scope(path) for path in changes}:
        wanted = {path: content for path, content in changes.items() if place.scope(path) == scope}
        entries = yield from _entries(place, scope)
        _refuse_too_much([entry["size"] for entry in entries if entry["path"] not in wanted], wanted)
        if scope == "session":
            of_session = wanted
        elif (owner := place.owner(scope)) is None:
            raise Conflict("This session is no user's, so there are no files of its user.")
        else:
            assistant = place.session["assistant_id"]
            shared += [file_row(assistant, owner, path, content) for path, content in wanted.items()]
    if of_session:
        yield from _store(place, of_session)
    if shared:
        yield from write_shared(shared)


def _refuse_too_much(others: list[int], wanted: dict[str, str | None]) -> None:
    try:
        sizes = [*others, *(size_of(content) for content in wanted.values() if content is not None)]
        check_room(len(sizes), sum(sizes))
    except FileFault as fault:
        raise Invalid.at("content", message=str(fault)) from None


def _store(place: _Place, changes: dict[str, str | None]) -> Operation[None]:
    """A checkpoint of the session's own files. What a run has begun with it would not see, and write over."""
    session = place.session
    if session["head_run_id"] is not None:
        raise SessionBusy
    now, kept = isoformat(session["now"]), {}
    for path, content in changes.items():
        if content is not None:
            before = yield from _find(place, path)
            kept[KEY + path] = session_file(content, now, before)
    gone = [KEY + path for path, content in changes.items() if content is None]
    yield Query(
        _STORE,
        {
            "id": new_id(),
            "session": session["id"],
            "parent": session["checkpoint_id"],
            "step": session["step"] + 1,
            "source": str(CheckpointSource.UPDATE),
            "count": session["message_count"],
            "changes": jsonb(kept),
            "removed": jsonb(gone),
            "gone": gone,
        },
    )
