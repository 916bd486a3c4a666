"""A server in its parts: engines of its own, and each web, worker and beat a process that can be hurt by itself.

Everything is started from the main thread: to the kernel the thread that forks is the parent, and the children die
with it.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psycopg
import redis

from config.serve.engine import Engine
from config.serve.processes import launch, run
from config.serve.role import children_environment
from tests.servers import KEY, PASSWORD, ROOT, Engines, free_port, wait_for

AGENTS = "tests.stubs.agents,tests.faults.agents"
START_S = 60.0
STARTING_S = 10.0


class Process:
    """One `manage.py <role>`: its process, its log, and for a web its address and a client with the first key."""

    def __init__(self, role: str, name: str, log: Path, env: dict[str, str]) -> None:
        self.role, self.name, self.log = role, name, log
        command: list[str | Path] = [sys.executable, ROOT / "manage.py", role]
        self.port = 0
        if role == "web":
            self.port = free_port()
            command += ["--port", str(self.port)]
            self.url = f"http://127.0.0.1:{self.port}"
            self.client = httpx.Client(
                base_url=self.url,
                headers={"Authorization": f"Bearer {KEY}"},
                timeout=60,
                limits=httpx.Limits(max_connections=400, max_keepalive_connections=20),
            )
        with log.open("ab") as output:
            self.process: subprocess.Popen[bytes] = launch(command, output=output, env=env)
        self.pid = self.process.pid
        self.started = time.monotonic()
        self.stopped = False
        self.is_to_end = False

    @property
    def alive(self) -> bool:
        return self.process.poll() is None

    def send(self, signum: signal.Signals) -> None:
        os.kill(self.pid, signum)

    def kill(self) -> None:
        """kill -9, and wait until it is gone."""
        self.is_to_end = True
        if self.alive:
            self.send(signal.SIGKILL)
        self.process.wait()

    def term(self) -> None:
        """SIGTERM, as a deployment sends it; it goes on for as long as it drains."""
        self.is_to_end = True
        self.send(signal.SIGTERM)

    def stop(self) -> None:
        """SIGSTOP: it stands still, and its connections stay open."""
        self.send(signal.SIGSTOP)
        self.stopped = True

    def cont(self) -> None:
        self.send(signal.SIGCONT)
        self.stopped = False

    def wait(self, timeout_s: float = 60.0) -> int:
        """Wait for its end; gives its exit code."""
        return self.process.wait(timeout_s)

    @property
    def files(self) -> int:
        """How many file handles it has open."""
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    @property
    def memory_mib(self) -> float:
        pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


@dataclass(frozen=True)
class Level:
    """What the cluster held at a moment; processes by their pid."""

    connections: int
    redis_keys: int
    files: dict[int, int]
    memory_mib: dict[int, float]


class Cluster:
    """Engines, and `webs` webs, `workers` workers and `beats` beats, which use them. A context manager.

    `settings` are environment variables of all its processes; `lease_s` shortens the workers' lease (15 s).
    It looks like `tests.servers.Server` to `tests.runs.conftest.make_assistant` and its like: `client` is the first
    web's.
    """

    def __init__(
        self, *, webs: int = 2, workers: int = 2, beats: int = 1, lease_s: int | None = None, **settings: str
    ) -> None:
        self.counts = {"web": webs, "worker": workers, "beat": beats}
        self.engines = Engines()
        self.key = KEY
        self.processes: list[Process] = []
        self._made: Counter[str] = Counter()
        self.lease_s = lease_s or 15
        self._settings = {"FAULTS_LEASE_S": str(self.lease_s), **settings}
        self.since: Any = None
        self.level: Level | None = None

    # -- up and down --------------------------------------------------------------------------------------------------

    def __enter__(self) -> "Cluster":
        self.engines.start()
        url = self.engines.postgres.url
        self.env = children_environment(
            **{
                "DATA_DIR": str(self.engines.data.path),
                "DATABASE_URL": url,
                "DATABASE_DIRECT_URL": url,
                "REDIS_URL": self.engines.redis.url,
                "DJANGO_SETTINGS_MODULE": "tests.faults.settings",
                "AGENT_SERVER_AGENTS": AGENTS,
                "AGENT_SERVER_BOOTSTRAP_KEY": KEY,
                "AGENT_SERVER_ADMIN_PASSWORD": PASSWORD,
                "AGENT_SERVER_URL_ALLOWLIST": "127.0.0.1",
                **self._settings,
            }
        )
        try:
            self.manage("bootstrap")
            self.heal()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for process in self.processes:
            if process.role == "web":
                process.client.close()
            process.kill()
        self.engines.stop()

    def manage(self, *command: str) -> str:
        """Run `manage.py <command>` to its end; gives what it said."""
        done = run([sys.executable, ROOT / "manage.py", *command], env=self.env)
        assert done.code == 0, done.output
        return done.output

    def start(self, role: str, **settings: str) -> Process:
        """Start another `web`, `worker` or `beat`; it is not waited for (`wait_until_ready`).

        `settings` are environment variables of this one alone.
        """
        self._made[role] += 1
        name = f"{role}-{self._made[role]}"
        process = Process(role, name, self.engines.data.log(name), self.env | settings)
        self.processes.append(process)
        return process

    def heal(self) -> None:
        """Bring it back to its beginning: engines up, as many of each role as at first, all of them ready."""
        for engine in (self.postgres, self.redis):
            if engine.process is None or engine.process.poll() is not None:
                engine.start()
        for process in self.processes:
            if process.stopped and process.alive:
                process.cont()
        self.processes = [process for process in self.processes if process.alive]
        for role, count in self.counts.items():
            alive = self.role(role)
            for surplus in alive[count:]:
                surplus.kill()
                self.processes.remove(surplus)
            for _ in range(count - len(alive)):
                self.start(role)
        self.wait_until_ready()

    def replace_dead(self) -> None:
        """Start another process for each that has died, as a supervisor does, without waiting for it."""
        for role, count in self.counts.items():
            for _ in range(count - len(self.role(role))):
                self.start(role)

    def wait_until_ready(self, processes: Sequence[Process] | None = None) -> None:
        """Wait until these (or all that live) take work."""
        for process in self.processes if processes is None else processes:
            if process.role != "beat":
                wait_for(lambda p=process: self._is_ready(p), START_S)

    def _is_ready(self, process: Process) -> bool:
        assert process.alive, f"{process.name} ended with {process.process.returncode}:\n{self.said(process)}"
        if process.role == "web":
            try:
                return process.client.get("/readyz").status_code == 200
            except httpx.HTTPError:
                return False
        return bool(
            self.sql(
                "SELECT 1 FROM workers WHERE pid = %s AND state = 'active' AND lease_expires_at > clock_timestamp()",
                process.pid,
            )
        )

    def said(self, process: Process, lines: int = 60) -> str:
        """The end of its log."""
        return "\n".join(process.log.read_text(errors="replace").splitlines()[-lines:])

    # -- its parts ----------------------------------------------------------------------------------------------------

    def role(self, role: str) -> list[Process]:
        return [process for process in self.processes if process.role == role and process.alive]

    @property
    def webs(self) -> list[Process]:
        return self.role("web")

    @property
    def workers(self) -> list[Process]:
        return self.role("worker")

    @property
    def client(self) -> httpx.Client:
        """The first web's client."""
        return self.webs[0].client

    @property
    def postgres(self) -> Engine:
        return self.engines.postgres

    @property
    def redis(self) -> Engine:
        return self.engines.redis

    def ready_workers(self) -> list[Process]:
        """Those that take runs now."""
        pids = {pid for (pid,) in self.sql("SELECT pid FROM workers WHERE state = 'active'")}
        return [process for process in self.workers if process.pid in pids]

    def held(self) -> dict[str, int]:
        """The runs that are carried out now, and the process that each is in."""
        rows = self.sql("SELECT r.id, w.pid FROM runs r JOIN workers w ON w.id = r.lease_owner")
        return {str(run): pid for run, pid in rows}

    def worker_of(self, run_id: str) -> Process | None:
        """The process that holds the run; None while nobody does."""
        rows = self.sql("SELECT w.pid FROM runs r JOIN workers w ON w.id = r.lease_owner WHERE r.id = %s", run_id)
        return next((process for process in self.workers if rows and process.pid == rows[0][0]), None)

    def died(self) -> list[str]:
        """The names of the processes that have ended and were not meant to."""
        return [process.name for process in self.processes if not process.alive and not process.is_to_end]

    def kill_engine(self, engine: Engine) -> None:
        """kill -9 of PostgreSQL's or Redis's first process."""
        assert engine.process is not None
        engine.process.kill()
        engine.process.wait()

    def start_redis_empty(self) -> None:
        """Bring a killed Redis back without anything that it knew, at its old address."""
        shutil.rmtree(self.redis.folder, ignore_errors=True)
        self.redis.start()

    @contextmanager
    def down(self, engine: Engine, for_s: float) -> Iterator[None]:
        """Kill the engine; the block runs meanwhile; it is started again `for_s` seconds after, or after the block."""
        self.kill_engine(engine)
        until = time.monotonic() + for_s
        try:
            yield
        finally:
            time.sleep(max(0.0, until - time.monotonic()))
            engine.start()

    # -- what it says -------------------------------------------------------------------------------------------------

    def sql(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        """Ask PostgreSQL itself; a query that gives no rows gives an empty list."""
        with psycopg.connect(self.postgres.url, autocommit=True, connect_timeout=5) as connection:
            cursor = connection.execute(query, values)  # type: ignore[arg-type]
            return cursor.fetchall() if cursor.description else []

    @contextmanager
    def redis_client(self) -> Iterator["redis.Redis"]:
        with redis.Redis.from_url(self.redis.url) as client:
            yield client

    def begin(self) -> None:
        """From now on: the runs that `checker.check` looks at, and the level that it compares with."""
        ((self.since,),) = self.sql("SELECT clock_timestamp()")
        self.level = self.measure()

    def measure(self) -> Level:
        ((connections,),) = self.sql("SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'")
        with self.redis_client() as client:
            keys = int(client.dbsize())
        alive = [process for process in self.processes if process.alive]
        # One that is still starting has no level yet.
        grown = [process for process in alive if time.monotonic() - process.started > STARTING_S]
        return Level(connections, keys, {p.pid: p.files for p in grown}, {p.pid: p.memory_mib for p in grown})

    # -- work ---------------------------------------------------------------------------------------------------------

    def assistant(self, **config: Any) -> str:
        """An active assistant of the type Stepper (see `tests.faults.agents`) where no other is given; gives its id."""
        body = {"name": f"faults {time.time_ns()}", "type": "Stepper", "llm": {"provider": "fake", "model": "echo"}}
        answer = self.client.post("/assistants", json={**body, **config})
        if answer.status_code == 503:  # the first after an outage may be
            answer = self.client.post("/assistants", json={**body, **config})
        assert answer.status_code == 201, answer.text
        assert answer.json()["status"] == "active", answer.text
        return str(answer.json()["id"])

    def session(self, assistant_id: str) -> str:
        answer = self.client.post(f"/assistants/{assistant_id}/sessions")
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])

    def run(self, plan: dict[str, Any], *, assistant: str = "", session: str = "", web: int = 0, **body: Any) -> str:
        """Accept a run of a Stepper with this plan, in a session of its own where none is given; gives its id."""
        body = {"input": {"message": json.dumps(plan)}, **body}
        path = f"/sessions/{session}/runs" if session else "/runs"
        if not session:
            body["assistant_id"] = assistant
        answer = self.webs[web].client.post(path, json=body)
        assert answer.status_code == 202, answer.text
        return str(answer.json()["id"])

    def status(self, runs: Sequence[str]) -> Counter[str]:
        """How many of the runs are in which status."""
        return Counter(dict(self.sql("SELECT status, count(*) FROM runs WHERE id = ANY(%s) GROUP BY 1", list(runs))))

    def wait_for_end(self, runs: Sequence[str], timeout_s: float = 60.0) -> Counter[str]:
        """Wait until all of them have ended; gives how."""
        deadline = time.monotonic() + timeout_s
        while True:
            found = self.status(runs)
            if not found["pending"] + found["running"]:
                return found
            assert time.monotonic() < deadline, f"after {timeout_s:g} s: {dict(found)}\n{self._why(runs)}"
            time.sleep(0.1)

    def _why(self, runs: Sequence[str]) -> str:
        """What may keep some of the runs from their end."""
        waiting = self.sql(
            "SELECT id, status, ready, crashes, attempt, next_attempt_at, lease_owner, clock_timestamp() FROM runs "
            "WHERE id = ANY(%s) AND finished_at IS NULL LIMIT 10",
            list(runs),
        )
        workers = self.sql("SELECT id, pid, state, used, lease_expires_at FROM workers ORDER BY started_at")
        locks = self.sql(
            "SELECT pid, pg_blocking_pids(pid), state, left(query, 80) FROM pg_stat_activity "
            "WHERE backend_type = 'client backend' AND state <> 'idle'"
        )
        logs = [f"{process.name} ({process.pid}): {self.said(process, 8)}" for process in self.workers]
        return "\n".join(map(str, [*waiting, *workers, *locks, *logs]))
