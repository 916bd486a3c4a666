"""Opening a file below a folder so that nothing leads out of it, whatever is swapped meanwhile.

Each folder on the way is opened inside the one before it (`openat`), and no symbolic link is followed on the way: what
is opened is below the folder where it begins, though names change hands between two looks.
"""

import errno
import os
import stat
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import PurePosixPath
from typing import BinaryIO

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
# Not to wait for the other end of a pipe, nor to take a terminal for ours.
_FILE = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_MISSING = {errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG, errno.EACCES, errno.ENXIO}


class Unreadable(Exception):
    """The file is not read. The message may be shown."""


def steps_of(path: str) -> tuple[str, ...]:
    """The names on the way to a relative `path`; raises `Unreadable` where it could lead out or to nothing."""
    if "\0" in path:
        raise Unreadable("The path is not valid.")
    parts = PurePosixPath(path).parts
    if path.startswith("/"):
        raise Unreadable("The path must be relative: it begins in the assistant's folder.")
    if ".." in parts:
        raise Unreadable("The path must not hold '..'.")
    if not parts:
        raise Unreadable("The path names no file.")
    return parts


def open_beneath(top: str, steps: Sequence[str]) -> BinaryIO:
    """The plain file at `steps` below the folder `top`, open for reading; symbolic links are followed in `top` alone.

    Raises `Unreadable`.
    """
    shown = "/".join(steps)
    with ExitStack() as stack:
        try:
            folder = _kept(stack, os.open(top, _FOLDER))
            for name in steps[:-1]:
                folder = _kept(stack, os.open(name, _FOLDER | os.O_NOFOLLOW, dir_fd=folder))
            # Looked at before, so that no device is opened, and after, so that it is still what was looked at.
            _refuse_unless_plain(os.stat(steps[-1], dir_fd=folder, follow_symlinks=False), shown)
            opened = os.open(steps[-1], _FILE | os.O_NOFOLLOW, dir_fd=folder)
        except OSError as error:
            if error.errno not in _MISSING:
                raise
            raise Unreadable(f"There is no file {shown!r} that may be read.") from None
    file = os.fdopen(opened, "rb", buffering=0)
    try:
        _refuse_unless_plain(os.fstat(opened), shown)
    except Unreadable:
        file.close()
        raise
    return file


def _kept(stack: ExitStack, descriptor: int) -> int:
    stack.callback(os.close, descriptor)
    return descriptor


def _refuse_unless_plain(found: os.stat_result, shown: str) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise Unreadable(f"{shown!r} is not a plain file.")
