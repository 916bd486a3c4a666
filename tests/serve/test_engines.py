"""The embedded engines, driven as `serve` drives them."""

import os
import signal
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
import redis

from config.serve.data_dir import DataDir
from config.serve.engine import Engine
from config.serve.postgres import Postgres
from config.serve.processes import launch
from config.serve.redis import Redis, ping
from tests.servers import ROOT, Engines, begin_with_template, using, wait_for

NOBODY = 65534

pytestmark = pytest.mark.servers


@pytest.fixture
def data() -> Iterator[DataDir]:
    with tempfile.TemporaryDirectory(prefix="engines-") as folder:
        data = DataDir(Path(folder))
        data.create()
        yield data
        wait_for(lambda: not using(data.path))


def engine_in(data: DataDir, kind: type[Engine] = Postgres) -> Engine:
    """One for tests of what comes after its first start: PostgreSQL has a database already."""
    if kind is Postgres:
        begin_with_template(data)
    return kind(data)


def restarted(engine: Engine) -> Engine:
    """Another process's view of the same data, in service."""
    again = type(engine)(engine.data)
    again.start()
    return again


def remember(url: str) -> None:
    with psycopg.connect(url) as connection:
        connection.execute("CREATE TABLE kept (word text)")
        connection.execute("INSERT INTO kept VALUES ('still here')")


def remembered(url: str) -> str:
    with psycopg.connect(url) as connection:
        row = connection.execute("SELECT word FROM kept").fetchone()
    assert row
    return str(row[0])


def test_postgres_brings_pgvector(engines: Engines) -> None:
    with psycopg.connect(engines.postgres.url) as connection:
        connection.execute("CREATE EXTENSION vector")
        assert connection.execute("SELECT '[1,2]'::vector <-> '[1,3]'::vector").fetchone() == (1.0,)
        connection.rollback()


def test_postgres_listens_on_no_port(engines: Engines) -> None:
    with psycopg.connect(engines.postgres.url) as connection:
        assert connection.execute("SHOW listen_addresses").fetchone() == ("",)


def test_only_the_owner_reaches_the_engines(engines: Engines) -> None:
    data = engines.data
    assert stat.S_IMODE(data.sockets().stat().st_mode) == 0o700
    for name in ("redis.conf", "redis_password", "redis.url", "postgres.url"):
        assert stat.S_IMODE((data.path / name).stat().st_mode) == 0o600
    with pytest.raises(redis.AuthenticationError):
        ping(f"redis://127.0.0.1:{engines.redis.port}")


def test_stop_ends_the_processes_and_removes_the_addresses(data: DataDir) -> None:
    for engine in (engine_in(data), Redis(data)):
        engine.start()
        assert data.read(f"{engine.name}.url") == engine.url
        engine.stop()
        assert not data.read(f"{engine.name}.url")
    assert not using(data.path)


def test_commits_are_durable_and_a_second_start_keeps_the_data(data: DataDir) -> None:
    first = engine_in(data)
    first.start()
    with psycopg.connect(first.url) as connection:
        for setting in ("fsync", "synchronous_commit", "full_page_writes"):
            assert connection.execute(f"SHOW {setting}").fetchone() == ("on",)
    remember(first.url)
    first.stop()
    second = restarted(first)
    assert remembered(second.url) == "still here"
    second.stop()


@pytest.mark.parametrize("kind", [Postgres, Redis])
def test_a_server_left_behind_is_taken_over(data: DataDir, kind: type[Engine]) -> None:
    left_behind = engine_in(data, kind)
    left_behind.start()
    second = restarted(left_behind)
    assert left_behind.process
    assert left_behind.process.wait(5) == 0
    assert second.answers()
    second.stop()


@pytest.mark.parametrize("kind", [Postgres, Redis])
def test_kill_9_of_the_server_does_not_keep_it_from_starting(data: DataDir, kind: type[Engine]) -> None:
    engine = engine_in(data, kind)
    engine.start()
    assert engine.process
    # Nobody reaps it: to the system, the number is still taken.
    engine.process.send_signal(signal.SIGKILL)
    second = restarted(engine)
    engine.process.wait()
    assert second.answers()
    second.stop()


@pytest.mark.parametrize("kind", [Postgres, Redis])
def test_a_pid_that_is_someone_elses_by_now_does_not_block(data: DataDir, kind: type[Engine]) -> None:
    first = engine_in(data, kind)
    first.start()
    first.stop()
    first.pid_file().write_text(f"{os.getpid()}\n{first.folder}\n")
    restarted(first).stop()


def test_an_interrupted_initdb_is_done_again(data: DataDir) -> None:
    (data.path / "postgres.new").mkdir()
    (data.path / "postgres.new" / "PG_VERSION").write_text("18")
    engine = Postgres(data)
    engine.start()
    engine.stop()


def test_the_engines_end_with_the_process_that_started_them(data: DataDir) -> None:
    begin_with_template(data)
    script = f"""
import time
from pathlib import Path
from config.serve.data_dir import DataDir
from config.serve.postgres import Postgres
from config.serve.redis import Redis, ping
for kind in (Postgres, Redis):
    kind(DataDir(Path({str(data.path)!r}))).start()
print("started", flush=True)
time.sleep(60)
"""
    process = subprocess.Popen([sys.executable, "-c", script], cwd=ROOT, stdout=subprocess.PIPE)
    assert process.stdout
    assert process.stdout.readline() == b"started\n"
    process.kill()
    process.wait()
    process.stdout.close()
    wait_for(lambda: not using(data.path))


def test_a_folder_too_deep_for_sockets() -> None:
    with tempfile.TemporaryDirectory() as folder:
        data = DataDir(Path(folder) / ("deep" * 20) / ("deeper" * 10))
        data.create()
        begin_with_template(data)
        engine = Postgres(data)
        engine.start()
        engine.stop()
        engine.sockets.rmdir()


def test_a_socket_folder_that_others_may_enter_is_refused(data: DataDir) -> None:
    data.sockets().chmod(0o755)
    with pytest.raises(Exception, match="mode 700"):
        Postgres(data)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_root_leaves_its_folders_closed(data: DataDir) -> None:
    closed = data.path / "closed"
    inner = DataDir(closed / "data")
    inner.create()
    closed.chmod(0o700)
    engine = Postgres(inner)
    engine.start()
    assert engine.process
    status = Path(f"/proc/{engine.process.pid}/status").read_text()
    assert f"Uid:\t{NOBODY}" in status
    assert "CapEff:\t0000000000000002" in status
    assert stat.S_IMODE(closed.stat().st_mode) == 0o700
    engine.stop()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_an_ordinary_user_runs_the_engines_as_themselves(data: DataDir) -> None:
    for path in (data.path, *data.path.iterdir()):
        os.chown(path, NOBODY, NOBODY)
    script = f"""
import os, sys
sys.path.insert(0, {str(ROOT)!r})
from pathlib import Path
from config.serve.data_dir import DataDir
from config.serve.postgres import Postgres
engine = Postgres(DataDir(Path({str(data.path)!r})))
engine.start()
print(os.geteuid(), engine.folder.stat().st_uid)
engine.stop()
"""
    process = launch([sys.executable, "-c", script], output=subprocess.PIPE, uid=NOBODY)
    assert process.communicate()[0].decode().split() == [str(NOBODY), str(NOBODY)]
