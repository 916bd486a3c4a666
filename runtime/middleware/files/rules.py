"""What files may be called, how large they may be, and how a session keeps them; for the model and for clients."""

from typing import Any

KEY = "files:"  # the session's state has one key a file: this and its path
MAX_PATH = 1_024
MAX_FILE_BYTES = 1_048_576
# Of all files of one scope: of the session, of the user, of the assistant.
MAX_FILES = 1_000
MAX_BYTES = 20_971_520


class FileFault(Exception):
    """What is wrong with a wish to read or to change a file, as a sentence."""


class BadPathError(FileFault):
    """Nothing may be called that."""


class TooMuchError(FileFault):
    """The content, or all files together, would be larger than they may be."""


def check_path(path: str) -> str:
    """The path itself; raises `BadPathError`."""
    if not path.startswith("/"):
        raise BadPathError("A path starts with /.")
    if len(path) > MAX_PATH:
        raise BadPathError(f"A path has at most {MAX_PATH} characters.")
    if any(ord(character) < 32 or character == "\x7f" for character in path):
        raise BadPathError("A path has no control characters.")
    if ".." in path or "~" in path:
        raise BadPathError("A path has no .. and no ~.")
    if any(part in {"", "."} for part in path[1:].split("/")):
        raise BadPathError("A path names a file: no part of it is empty or a dot.")
    return path


def size_of(content: str) -> int:
    """How many bytes it has, in UTF-8. Raises `TooMuchError` for more than a file may have."""
    size = len(content.encode())
    if size > MAX_FILE_BYTES:
        raise TooMuchError(f"A file has at most {MAX_FILE_BYTES} bytes; this would have {size}.")
    return size


def check_room(files: int, total: int) -> None:
    """Raises `TooMuchError` where so many files of so many bytes together are more than there may be."""
    if files > MAX_FILES:
        raise TooMuchError(f"There may be at most {MAX_FILES} files.")
    if total > MAX_BYTES:
        raise TooMuchError(f"All files together have at most {MAX_BYTES} bytes; these would have {total}.")


def session_file(content: str, now: str, before: dict[str, Any] | None) -> dict[str, Any]:
    """What the state's key of a file holds; `before` is what it held, `now` the moment as the API writes it.

    Raises `TooMuchError`.
    """
    created_at = now if before is None else before["created_at"]
    return {"content": content, "size": size_of(content), "created_at": created_at, "updated_at": now}
