"""`manage.py doctor` finds what is wrong, and says so although everything is down."""

import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.core.management import call_command
from django.utils import timezone
from pytest_django import Settings

from accounts.models import ApiKey, User
from accounts.services import create_api_key, create_workspace
from assistants.models import Assistant, AssistantVersion
from config import asgi
from config.doctor import machine, postgres, service
from config.doctor.findings import Check, Finding, State, make, ok
from config.env import Environment
from runs.models import Worker
from tests.api import Api
from tests.servers import ROOT, Server

NOTHING = {
    "DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none",
    "DATABASE_DIRECT_URL": "",
    "REDIS_URL": "redis://127.0.0.1:1/0",
}
ALL = [check.name for check in (*postgres.CHECKS, *service.CHECKS, *machine.CHECKS)]


def doctor(env: dict[str, str]) -> tuple[int, dict[str, Any]]:
    done = subprocess.run(
        [sys.executable, "manage.py", "doctor", "--json"], cwd=ROOT, env=env, capture_output=True, text=True, timeout=90
    )
    assert done.stderr == ""
    document = json.loads(done.stdout)
    return done.returncode, {check["name"]: check for check in document["checks"]}


@pytest.mark.servers
def test_a_healthy_server_is_told_so(server: Server) -> None:
    code, checks = doctor(server._env)
    broken = {name: check for name, check in checks.items() if check["status"] == "failed"}
    assert (code, broken) == (0, {})
    for name in ("postgresql", "migrations", "locks", "clock", "durability", "redis", "redis memory", "workers"):
        assert checks[name]["status"] == "ok", checks[name]
    assert "127.0.0.1" in checks["allow-list"]["detail"]
    assert list(checks) == ALL


def test_with_everything_down_each_check_still_has_its_line(tmp_path: Path) -> None:
    code, checks = doctor({**os.environ, **NOTHING, "DATA_DIR": str(tmp_path / "none")})
    assert code == 1
    assert list(checks) == ALL
    assert checks["postgresql"]["status"] == checks["redis"]["status"] == "failed"
    assert checks["postgresql"]["fix"]
    for name in ("migrations", "locks", "clock", "durability", "connections", "workers", "beat", "models", "people"):
        assert (checks[name]["status"], checks[name]["detail"]) == ("warning", "Not known without PostgreSQL.")
    assert checks["secrets"]["status"] == "ok"


def test_people_read_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres, "CHECKS", (Check("one", lambda: ok("It works.")),))
    monkeypatch.setattr(service, "CHECKS", (Check("two", lambda: (State.FAILED, "It does not.", "Mend it.")),))
    monkeypatch.setattr(machine, "CHECKS", (Check("three", lambda: (State.WARNING, "Hm.", "")),))
    out = StringIO()
    with pytest.raises(SystemExit) as ended:
        call_command("doctor", stdout=out)
    assert ended.value.code == 1
    assert out.getvalue().splitlines() == [
        "✓ one              It works.",
        "✗ two              It does not. Mend it.",
        "! three            Hm.",
    ]


def test_a_check_that_hangs_or_breaks_costs_its_own_line_only() -> None:
    released = threading.Event()

    def hang() -> Any:
        released.wait(20)

    def broken() -> Any:
        raise RuntimeError("a bug")

    found = make([Check("a", hang), Check("b", broken), Check("c", lambda: ok("Well."))], timeout_s=0.2)
    released.set()
    assert [finding.state for finding in found] == [State.FAILED, State.FAILED, State.OK]
    assert found[0].detail == "No answer within 0.2 s."
    assert "RuntimeError" in found[1].detail


def finding(name: str) -> Finding:
    checks = [check for check in (*postgres.CHECKS, *service.CHECKS, *machine.CHECKS) if check.name == name]
    return make(checks, timeout_s=60)[0]


@pytest.mark.django_db(transaction=True)
def test_what_is_right_with_the_database() -> None:
    for name in ("postgresql", "migrations", "locks", "clock"):
        assert finding(name).state == State.OK, finding(name)
    # The tests' own waits for no disk; one that does is the healthy server's above.
    assert finding("durability") == Finding(
        "durability", State.FAILED, "fsync is off: a crash of its machine can destroy the database.", "Set fsync = on."
    )


def test_a_pooler_that_shares_connections_is_found(monkeypatch: pytest.MonkeyPatch, settings: Settings) -> None:
    with postgres.connect() as shared:

        @contextmanager
        def pooled(url: str) -> Iterator[psycopg.Connection[dict[str, Any]]]:
            yield shared

        monkeypatch.setattr(postgres, "connect", pooled)
        assert finding("locks").state == State.FAILED


@pytest.mark.django_db(transaction=True)
def test_a_missing_migration_is_named() -> None:
    _rename("contenttypes", "0002_remove_content_type_name", "0000_hidden")
    try:
        found = finding("migrations")
    finally:
        _rename("contenttypes", "0000_hidden", "0002_remove_content_type_name")
    assert (found.state, found.fix) == (State.FAILED, "Run: python manage.py migrate")
    assert found.detail == "Not applied: contenttypes.0002_remove_content_type_name."


def _rename(app: str, old: str, new: str) -> None:
    with postgres.connect() as connection:
        connection.execute("UPDATE django_migrations SET name = %s WHERE app = %s AND name = %s", [new, app, old])


def test_an_empty_database_has_no_migrations(settings: Settings) -> None:
    settings.DATABASE_URL = re.sub(r"/test_\w+", "/postgres", settings.DATABASE_URL)
    assert finding("people").fix == "Run: python manage.py migrate"


@pytest.mark.django_db(transaction=True)
def test_clocks_that_differ_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres, "MOST_APART_S", -1)
    assert finding("clock").state == State.WARNING


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(("lease", "state"), [(timedelta(hours=1), State.OK), (-timedelta(hours=1), State.FAILED)])
def test_workers_are_alive_or_not(lease: timedelta, state: State) -> None:
    Worker.objects.create(host="h", pid=1, lock_key=1, slots=1, lease_expires_at=timezone.now() + lease)
    assert finding("workers").state == state


@pytest.mark.django_db(transaction=True)
def test_more_workers_need_more_connections() -> None:
    assert finding("connections").state == State.OK
    hour = timezone.now() + timedelta(hours=1)
    for number in range(20):
        Worker.objects.create(host="h", pid=number, lock_key=number, slots=1, lease_expires_at=hour)
    assert finding("connections").state == State.WARNING


def test_the_sum_of_connections_is_that_of_the_pools(settings: Settings) -> None:
    pool = settings.DATABASES["default"]["OPTIONS"]["pool"]["max_size"]
    assert asgi.POOL_SIZE + pool == postgres.WEB_CONNECTIONS


@pytest.mark.django_db(transaction=True)
def test_keys_that_nobody_uses_or_that_never_end() -> None:
    workspace = create_workspace("W", "w")
    assert finding("api keys").state == State.OK
    create_api_key(workspace, "short", ["*"], expires_at=timezone.now() + timedelta(days=1))
    assert finding("api keys").state == State.OK
    create_api_key(workspace, "endless", ["*"])
    assert "1 never expire" in finding("api keys").detail
    ApiKey.objects.update(created_at=timezone.now() - timedelta(days=91))
    assert "2 were not used for 90 days" in finding("api keys").detail


@pytest.mark.django_db(transaction=True)
def test_people_without_a_password() -> None:
    User.objects.create_user("ada", password="correct horse")
    assert finding("people").state == State.OK
    User.objects.create_user("bob")
    assert finding("people").state == State.WARNING


@pytest.mark.django_db(transaction=True)
def test_a_model_without_its_key(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    assistant = Assistant.objects.get(id=api.assistant())
    assert finding("models").state == State.OK
    config = {"llm": {"provider": "openai", "model": "m"}}
    AssistantVersion.objects.create(assistant=assistant, number=2, config=config)
    Assistant.objects.update(version=2)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    found = finding("models")
    assert (found.state, "OPENAI_API_KEY" in found.detail) == (State.WARNING, True), found


def test_redis_that_drops_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    assert finding("redis memory").state == State.OK
    monkeypatch.setattr(service, "_redis_info", lambda: {"maxmemory": 1, "maxmemory_policy": "allkeys-lru"})
    assert finding("redis memory").state == State.WARNING


Told = Callable[..., Finding]


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Told:
    """A finding in another environment."""

    def ask(name: str, **settings: str) -> Finding:
        for variable, value in settings.items():
            monkeypatch.setenv(variable, value)
        monkeypatch.setattr(machine, "ENV", Environment())
        return finding(name)

    return ask


@pytest.mark.parametrize(
    ("name", "settings", "state"),
    [
        ("secrets", {}, State.OK),
        ("secrets", {"SECRET_KEY": "short"}, State.FAILED),
        ("secrets", {"AGENT_SERVER_ADMIN_PASSWORD": "admin"}, State.WARNING),
        ("secrets", {"AGENT_SERVER_ADMIN_PASSWORD": "admin", "HOST": "0.0.0.0"}, State.FAILED),
        ("exposure", {}, State.OK),
        ("exposure", {"HOST": "0.0.0.0"}, State.WARNING),
        ("exposure", {"DEBUG": "1"}, State.WARNING),
        ("allow-list", {}, State.OK),
        ("allow-list", {"AGENT_SERVER_URL_ALLOWLIST": "8.8.8.8,8.8.4.4:443"}, State.OK),
        ("allow-list", {"AGENT_SERVER_URL_ALLOWLIST": "localhost:11434"}, State.WARNING),
        ("allow-list", {"AGENT_SERVER_URL_ALLOWLIST": "8.8.8.8,10.1.2.3:80"}, State.WARNING),
        ("allow-list", {"AGENT_SERVER_URL_ALLOWLIST": "[::1]:80"}, State.WARNING),
        ("who gets in", {}, State.OK),
        ("time zone", {}, State.OK),
    ],
)
def test_what_the_environment_says(told: Told, name: str, settings: dict[str, str], state: State) -> None:
    assert told(name, **settings).state == state


def test_a_data_folder_that_others_may_read(told: Told, tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    assert told("data folder", DATA_DIR=str(tmp_path)).state == State.OK
    tmp_path.chmod(0o750)
    assert told("data folder").state == State.FAILED
    assert told("data folder", DATA_DIR=str(tmp_path / "none")).state == State.WARNING


def test_a_full_disk(told: Told, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(machine, "LEAST_ROOM", 2**60)
    assert told("disk", DATA_DIR=str(tmp_path / "not" / "yet")).state == State.FAILED


def test_few_open_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "FEWEST_FILES", 2**40)
    monkeypatch.setattr("resource.getrlimit", lambda _: (1024, 1024))
    assert finding("open files").state == State.WARNING


def test_names_that_do_not_resolve(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "PUBLIC_NAME", "nowhere.invalid")
    assert finding("names").state == State.WARNING
    monkeypatch.setattr(machine, "PUBLIC_NAME", "localhost")
    assert "internal address" in finding("names").detail
