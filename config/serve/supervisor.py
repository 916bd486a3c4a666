"""Brings everything up, keeps it up, takes it down: the engines, web, the workers, beat.

Up: PostgreSQL, Redis, the migrations, the roles. Down: workers drain and hand back, beat, web, Redis,
PostgreSQL. All of it happens in the main thread, because a child dies with the thread that started it; other
threads only wait for children and relay what they say.
"""

import http.client
import json
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from queue import Empty, SimpleQueue
from types import FrameType

import psycopg
import redis

from config.env import BASE_DIR, Environment
from config.serve import probes
from config.serve.announcement import announcement, base_url
from config.serve.data_dir import DataDir
from config.serve.engine import Engine
from config.serve.errors import ServeError
from config.serve.limits import raise_open_files_limit
from config.serve.output import Output
from config.serve.postgres import Postgres
from config.serve.processes import run
from config.serve.redis import Redis
from config.serve.reload import Code, Watcher, shown
from config.serve.role import Role, children_environment
from runs.notices import Process, tell_of_death

_READY_S = 60.0
_POLL_S = 0.05
# A signal that comes while a child is being forked is taken by another thread, and seen by this one as it next looks.
_LOOK_S = 1.0
_FAILURES_AT_START = 3
_WEB_PATIENCE_S = 10.0
_WORKER_MARGIN_S = 5.0  # on top of the grace period that the workers keep themselves
_SHOWN_LINES = 12  # of what keeps changed code from being imported: the end of its traceback
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Stop(BaseException):
    """Somebody asked us to end."""


class Supervisor:
    """One `serve`. `run` returns when it has been told to end and everything has ended.

    `reload`: web, workers and beat are started again when code has changed that they run.
    """

    def __init__(self, env: Environment, output: Output, *, reload: bool = False) -> None:
        self.env = env
        self.output = output
        self.data = DataDir(env.data_dir)
        self.engines: list[Engine] = []
        self.workers: list[Role] = []
        self.beat: Role | None = None
        self.web: Role | None = None
        self._began = time.monotonic()
        self._news: SimpleQueue[Role | Engine | Watcher] = SimpleQueue()
        self._starts_at: dict[Role | Engine, float] = {}
        self._asked_to_stop = 0
        self._redis_url = ""
        self._children_env: dict[str, str] = {}
        self._watcher = Watcher(Code(env.agent_modules, env.langgraph), self._note_change) if reload else None

    def run(self) -> None:
        """Raises `ServeError` for what the person at the keyboard has to mend."""
        self.data.create()
        with self.data.locked():
            raise_open_files_limit()
            for each in _SIGNALS:
                signal.signal(each, self._on_signal)
            try:
                self._up()
                self._keep_up()
            except Stop:
                self.output.line("Stopping ... (Ctrl-C again: at once)")
            finally:
                # Whatever ended it, a signal does not interrupt the way down any more.
                self._asked_to_stop = max(self._asked_to_stop, 1)
                self._down()

    def _on_signal(self, signum: int, frame: FrameType | None) -> None:
        self._asked_to_stop += 1
        if self._asked_to_stop == 1:
            raise Stop

    # Up

    def _up(self) -> None:
        probes.check_bootstrap_key(self.env.bootstrap_key)
        probes.check_port(self.env.host, self.env.port)
        database_url = self._database()
        redis_url = self._redis_url = self._redis()
        env = children_environment(DATABASE_URL=database_url, REDIS_URL=redis_url, DATA_DIR=str(self.env.data_dir))
        self._children_env = env
        self._say("Preparing the database")
        credentials = self._bootstrap(env)
        self._start_roles(env)
        self._wait_until_ready(self.env.database_direct_url or database_url)
        url = (self.env.public_url or base_url(self.env.host, self.env.port)) + self.env.mount_prefix
        for line in announcement(url, credentials):
            self.output.line(line)
        if self._watcher is not None:
            self._watcher.start()

    def _database(self) -> str:
        if self.env.database_url:
            probes.check_database(self.env.database_url)
            return self.env.database_url
        return self._engine(Postgres(self.data))

    def _redis(self) -> str:
        if self.env.redis_url:
            probes.check_redis(self.env.redis_url)
            return self.env.redis_url
        return self._engine(Redis(self.data))

    def _engine(self, engine: Engine) -> str:
        self._say(f"Starting {engine.title} in {engine.folder}")
        self.engines.append(engine)
        engine.start()
        self._watch(engine)
        return engine.url

    def _bootstrap(self, env: dict[str, str]) -> dict[str, str | None]:
        """Migrate and make the first rows, in a process that ends: this one never opens the database."""
        command: list[str | Path] = [sys.executable, BASE_DIR / "manage.py", "bootstrap", "--json"]
        done = run(command, env=env)
        lines = [line for line in done.output.splitlines() if line.strip()] or ["it said nothing"]
        if done.code != 0:
            log = self.data.log("bootstrap")
            log.write_text(done.output)
            raise ServeError(f"The database could not be prepared: {lines[-1].strip()} (see {log})")
        credentials: dict[str, str | None] = json.loads(lines[-1])
        return credentials

    def _start_roles(self, env: dict[str, str]) -> None:
        count = self.env.workers
        self._say(f"Starting {self._names_of_roles()}")
        self.web = Role("web", "web", env, self.output)
        self.workers = [Role(f"worker-{n}", "worker", env, self.output) for n in range(1, count + 1)]
        self.beat = Role("beat", "beat", env, self.output)
        for role in self._roles():
            role.start()
            self._watch(role)

    def _names_of_roles(self) -> str:
        count = self.env.workers
        return f"web, {count} worker{'s' if count != 1 else ''} and beat"

    def _roles(self) -> list[Role]:
        return [role for role in (self.web, *self.workers, self.beat) if role is not None]

    def _wait_until_ready(self, database_url: str) -> None:
        deadline = time.monotonic() + _READY_S
        while not (self._web_answers() and self._workers_are_registered(database_url)):
            self._mend(_POLL_S)
            for role in self._roles():
                if role.failures >= _FAILURES_AT_START:
                    raise ServeError(f"{role.name} does not start; what it said is above.")
            if time.monotonic() > deadline:
                raise ServeError(f"Not ready after {_READY_S:.0f} s; what the processes said is above.")

    def _web_answers(self) -> bool:
        url = base_url(self.env.host, self.env.port).removeprefix("http://")
        connection = http.client.HTTPConnection(url, timeout=5)
        try:
            connection.request("GET", f"{self.env.mount_prefix}/healthz")
            return connection.getresponse().status == http.client.OK
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def _workers_are_registered(self, database_url: str) -> bool:
        pids = [role.process.pid for role in self.workers if role.process is not None]
        if not pids or not self.env.jobs_per_worker:  # without slots for runs a worker does not register
            return True
        question = "SELECT count(*) FROM workers WHERE state = 'active' AND pid = ANY(%s)"
        try:
            with psycopg.connect(database_url, connect_timeout=5) as connection:
                row = connection.execute(question, [pids]).fetchone()
        except psycopg.OperationalError:
            return False
        return row is not None and row[0] == len(pids)

    # Keeping it up

    def _watch(self, child: Role | Engine) -> None:
        """Have `child` in the news the moment it ends, unless it was told to."""
        process = child.process
        assert process is not None

        def wait() -> None:
            process.wait()
            if child.process is process and not (isinstance(child, Role) and child.is_leaving):
                self._news.put(child)
            if child in self.workers:
                self._tell_the_others(process.pid)

        threading.Thread(target=wait, daemon=True).start()

    def _tell_the_others(self, pid: int) -> None:
        """Have the other workers go on with the runs of one that has ended."""
        try:
            tell_of_death(self._redis_url, Process(socket.gethostname(), pid))
        except (redis.RedisError, OSError):
            return  # they find it by themselves within a second

    def _keep_up(self) -> None:
        while True:
            self._mend(_LOOK_S)

    def _mend(self, patience_s: float) -> None:
        """Wait up to `patience_s` for news or the end of a pause, and start again who is to be started."""
        now = time.monotonic()
        wait_s = min([patience_s, *(at - now for at in self._starts_at.values())])
        try:
            news = self._news.get(timeout=max(0.0, wait_s))
        except Empty:
            pass
        else:
            if isinstance(news, Watcher):
                self._reload(news)
            else:
                self._note_death(news)
        due = [child for child, at in self._starts_at.items() if at <= time.monotonic()]
        for child in due:
            del self._starts_at[child]
            self._start_again(child)

    def _note_death(self, child: Role | Engine) -> None:
        if isinstance(child, Role):
            pause_s = child.pause_after_death()
            again = f"in {pause_s:g} s" if pause_s else "now"
            self.output.line(f"{child.name} {child.how_it_ended()}; starting it again {again}")
        else:
            pause_s = 0.0
            self.output.line(f"{child.title} ended; starting it again now")
        self._starts_at[child] = time.monotonic() + pause_s

    def _start_again(self, child: Role | Engine) -> None:
        try:
            child.start()
        except ServeError as error:
            # Ten seconds later there may be room on the disk again.
            self.output.line(str(error))
            self._starts_at[child] = time.monotonic() + 10.0
        else:
            self._watch(child)

    # Changed code

    def _note_change(self) -> None:
        assert self._watcher is not None
        self._news.put(self._watcher)

    def _reload(self, watcher: Watcher) -> None:
        """Start the roles again with what has changed; where it cannot be imported the old ones go on."""
        if not (changed := watcher.take()):
            return  # what came in the meantime was taken along
        names = ", ".join(shown(changed))
        tried = watcher.check(changed, self._children_env)
        if tried.code != 0:
            self.output.line(f"Changed: {names}; it cannot be imported, so what runs goes on as it is:")
            for line in tried.output.rstrip().splitlines()[-_SHOWN_LINES:]:
                self.output.line(f"  {line}")
            return
        self.output.line(f"Changed: {names}; starting {self._names_of_roles()} again")
        for roles, patience_s in (
            ([self.web], _WEB_PATIENCE_S),
            (self.workers, self._workers_patience_s),
            ([self.beat], _WEB_PATIENCE_S),
        ):
            self._start_anew([role for role in roles if role is not None], patience_s)

    def _start_anew(self, roles: list[Role], patience_s: float) -> None:
        for role in roles:
            role.is_leaving = True
            self._starts_at.pop(role, None)
        self._end(roles, patience_s)
        for role in roles:
            role.start()
            self._watch(role)

    # Down

    @property
    def _workers_patience_s(self) -> float:
        return float(children_environment()["BG_JOB_SHUTDOWN_GRACE_PERIOD_SECS"]) + _WORKER_MARGIN_S

    def _down(self) -> None:
        self._end(self.workers, self._workers_patience_s)
        self._end([self.beat] if self.beat else [], _WEB_PATIENCE_S)
        self._end([self.web] if self.web else [], _WEB_PATIENCE_S)
        for engine in reversed(self.engines):
            engine.stop()

    def _end(self, roles: Iterable[Role], patience_s: float) -> None:
        """SIGTERM to all of them at once; SIGKILL when patience ends, or at a second Ctrl-C."""
        for role in roles:
            role.send(signal.SIGTERM)
        deadline = time.monotonic() + patience_s
        while running := [role for role in roles if role.running]:
            if time.monotonic() > deadline or self._asked_to_stop > 1:
                for role in running:
                    role.send(signal.SIGKILL)
            time.sleep(_POLL_S)

    def _say(self, text: str) -> None:
        self.output.line(f"[{time.monotonic() - self._began:5.1f} s] {text} ...")
