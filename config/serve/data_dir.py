"""The data folder: everything that the server keeps on this machine lies in it."""

import fcntl
import hashlib
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from config.serve.errors import ServeError

_LONGEST_SOCKET_PATH = 107  # bytes, of the kernel's sockaddr_un
_LONGEST_SOCKET_NAME = len("/.s.PGSQL.5432.lock")
_LARGEST_LOG = 10_000_000  # bytes


class DataDir:
    """Paths in the data folder, and files in it that only its owner may read."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def create(self) -> None:
        """Make the folder, closed to others. Raises `ServeError` where it cannot be written."""
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            for name in ("logs", "static"):
                (self.path / name).mkdir(exist_ok=True)
            if not os.access(self.path, os.R_OK | os.W_OK | os.X_OK):
                raise PermissionError(13, "Permission denied")
        except OSError as fault:
            raise self._not_writable(fault) from None

    def _not_writable(self, fault: OSError) -> ServeError:
        return ServeError(
            f"Cannot write to {fault.filename or self.path} ({fault.strerror}). "
            "Set DATA_DIR to a folder of your own, or give this one to the user you are."
        )

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the folder for one `serve`. The kernel lets go of it however that process ends.

        Raises `ServeError` where another one holds it.
        """
        try:
            descriptor = os.open(self.path / "serve.lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        except OSError as fault:
            raise self._not_writable(fault) from None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(descriptor, 32).decode().strip()
            os.close(descriptor)
            raise ServeError(
                f"Another serve (process {holder}) is using {self.path}. Stop it, or set DATA_DIR and PORT."
            ) from None
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"{os.getpid()}\n".encode())
        try:
            yield
        finally:
            os.close(descriptor)

    def log(self, name: str) -> Path:
        """Where a process's output goes. One older file is kept when it has grown large."""
        path = self.path / "logs" / f"{name}.log"
        if path.exists() and path.stat().st_size > _LARGEST_LOG:
            path.replace(path.with_suffix(".log.1"))
        return path

    def sockets(self) -> Path:
        """A folder for Unix sockets that only we may enter; a short one where this folder lies too deep."""
        folder = self.path / "sockets"
        if len(os.fsencode(folder)) + _LONGEST_SOCKET_NAME > _LONGEST_SOCKET_PATH:
            digest = hashlib.sha256(os.fsencode(self.path)).hexdigest()[:12]
            folder = Path(f"/tmp/agent-server-{os.geteuid()}-{digest}")  # noqa: S108 - checked below
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o077:
            raise ServeError(f"{folder} must be a folder of mode 700 that is yours. Remove it, or move DATA_DIR.")
        return folder

    def write_private(self, name: str, text: str) -> None:
        """Replace a file as a whole; only its owner may read it."""
        fresh = self.path / f".{name}.new"
        fresh.unlink(missing_ok=True)
        with open(os.open(fresh, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as file:
            file.write(text)
        fresh.replace(self.path / name)

    def read(self, name: str) -> str:
        """A file's text without surrounding space; empty where there is none."""
        path = self.path / name
        return path.read_text().strip() if path.is_file() else ""

    def keep(self, name: str, make: Callable[[], str]) -> str:
        """The secret of that name, made once."""
        if not (secret := self.read(name)):
            secret = make()
            self.write_private(name, secret + "\n")
        return secret

    def forget(self, name: str) -> None:
        (self.path / name).unlink(missing_ok=True)
