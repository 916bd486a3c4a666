"""What a person can get wrong costs one line that says what to do."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from config.env import BadEnvironment, Environment
from config.serve.data_dir import DataDir
from config.serve.errors import ServeError
from config.serve.probes import check_bootstrap_key, check_database, check_port, check_redis
from tests.servers import ROOT, Engines, free_port

pytestmark = pytest.mark.servers


def serve(data_dir: Path, **settings: str) -> list[str]:
    """The lines of a `manage.py serve` that has to refuse."""
    inherited = {name: value for name, value in os.environ.items() if "_URL" not in name}
    env = {**inherited, "DATA_DIR": str(data_dir), "PORT": str(free_port()), **settings}
    done = subprocess.run(
        [sys.executable, "manage.py", "serve"], cwd=ROOT, env=env, capture_output=True, text=True, timeout=30
    )
    assert done.returncode == 1
    return done.stderr.strip().splitlines()


def read_wrong(monkeypatch: pytest.MonkeyPatch, **settings: str) -> str:
    """The line that such an environment ends a start with; one of these is tried with a whole `serve`."""
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(BadEnvironment) as refused:
        Environment()
    return str(refused.value)


def test_a_port_in_use(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        [line] = serve(tmp_path, PORT=str(port))
    assert f"Cannot listen on 127.0.0.1:{port} (Address already in use)" in line
    assert f"PORT={port + 1}" in line


def test_a_port_that_is_no_number(tmp_path: Path) -> None:
    assert serve(tmp_path, PORT="http") == ["PORT must be a whole number, not 'http'."]


def test_a_number_out_of_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    name = "AGENT_SERVER_SESSION_RETENTION_DAYS"
    assert read_wrong(monkeypatch, **{name: "40000"}) == f"{name} must be at most 36500, not 40000."
    assert read_wrong(monkeypatch, **{name: "-1"}) == f"{name} must be at least 0, not -1."


def test_a_public_address_with_a_path(monkeypatch: pytest.MonkeyPatch) -> None:
    line = read_wrong(monkeypatch, AGENT_SERVER_PUBLIC_URL="https://example.com/agents")
    assert line.startswith("AGENT_SERVER_PUBLIC_URL must be an address such as https://agents.example.com")


def test_a_proxy_that_is_no_address(monkeypatch: pytest.MonkeyPatch) -> None:
    line = read_wrong(monkeypatch, FORWARDED_ALLOW_IPS="127.0.0.1,proxy")
    assert line == "FORWARDED_ALLOW_IPS must hold addresses and networks such as 10.0.0.0/8, not 'proxy'."


def test_a_limit_that_cannot_be_meant(tmp_path: Path) -> None:
    name = "AGENT_SERVER_PROVIDER_LIMITS"
    [line] = serve(tmp_path, **{name: '{"openai": {"concurrent_calls": "many"}}'})
    assert line == f"{name}: concurrent_calls of 'openai' must be a whole number of at least 1, not \"many\"."


def test_a_folder_that_is_not_absolute(monkeypatch: pytest.MonkeyPatch) -> None:
    line = read_wrong(monkeypatch, FILE_READ_ROOTS="/srv/files,files")
    assert line == "FILE_READ_ROOTS must hold absolute paths of folders, without '..'; not 'files'."


def test_a_price_that_cannot_be_meant(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    table = tmp_path / "prices.json"
    table.write_text('{"openai/gpt-4o": {"input": 2.5}}')
    line = read_wrong(monkeypatch, AGENT_SERVER_PRICES=str(table))
    assert line.startswith("AGENT_SERVER_PRICES: 'openai/gpt-4o' must have input and output")
    missing = str(tmp_path / "nothing.json")
    assert "No such file" in read_wrong(monkeypatch, AGENT_SERVER_PRICES=missing)


def test_a_key_that_could_be_guessed(monkeypatch: pytest.MonkeyPatch) -> None:
    name = "AGENT_SERVER_ENCRYPTION_KEYS"
    line = read_wrong(monkeypatch, **{name: f"{'k' * 32},short"})
    assert line == f"{name} must hold keys of 32 characters or more, separated by commas."


def test_an_authentication_function_that_is_not_there(tmp_path: Path) -> None:
    [line] = serve(tmp_path, AGENT_SERVER_AUTH="no.such.module:function")
    assert line.startswith("AGENT_SERVER_AUTH: no.such.module cannot be imported")


def test_a_workspace_limit_that_cannot_be_meant(tmp_path: Path) -> None:
    name = "AGENT_SERVER_WORKSPACE_LIMITS"
    [line] = serve(tmp_path, **{name: "streams=many"})
    assert line == f"{name}: streams must be a whole number of at least 1, as in streams=100, not 'many'."


def test_a_host_that_is_not_ours() -> None:
    with pytest.raises(ServeError, match=r"Cannot listen on 203\.0\.113\.7"):
        check_port("203.0.113.7", free_port())


@pytest.mark.parametrize("settings", [{}, {"SECRET_KEY": ""}])
def test_a_data_folder_that_cannot_be_written(settings: dict[str, str]) -> None:
    [line] = serve(Path("/proc/agent-server"), **settings)
    assert "/proc/agent-server" in line
    assert "Set DATA_DIR to a folder of your own" in line


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("mysql://127.0.0.1/x", "must start with postgresql://"),
        ("postgresql://127.0.0.1:notaport/x", "DATABASE_URL"),
    ],
)
def test_a_database_url_that_is_none(tmp_path: Path, url: str, reason: str) -> None:
    [line] = serve(tmp_path, DATABASE_URL=url)
    assert "DATABASE_URL" in line
    assert reason in line


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("postgresql://user:secret@127.0.0.1:1/x", "Connection refused"),
        ("postgresql://127.0.0.1:1/x?nosuchoption=1", "nosuchoption"),
    ],
)
def test_a_database_url_that_leads_nowhere(url: str, reason: str) -> None:
    with pytest.raises(ServeError) as refused:
        check_database(url)
    line = str(refused.value)
    assert "DATABASE_URL" in line
    assert reason in line
    assert "secret" not in line


def test_a_database_that_refuses_us(tmp_path: Path, engines: Engines) -> None:
    [line] = serve(tmp_path, DATABASE_URL=engines.postgres.url.replace("postgres@", "stranger@"))
    assert 'role "stranger" does not exist' in line


@pytest.mark.parametrize("url", ["http://127.0.0.1", "redis://127.0.0.1:1", "redis://:secret@127.0.0.1:1/x"])
def test_a_redis_url_that_leads_nowhere(url: str) -> None:
    with pytest.raises(ServeError, match="REDIS_URL") as refused:
        check_redis(url)
    assert "secret" not in str(refused.value)


def test_a_redis_that_wants_another_password(tmp_path: Path, engines: Engines) -> None:
    url = f"redis://:wrong-one@127.0.0.1:{engines.redis.port}"
    [line] = serve(tmp_path, DATABASE_URL=engines.postgres.url, REDIS_URL=url)
    assert "invalid username-password pair" in line
    assert "wrong-one" not in line


@pytest.mark.parametrize("key", ["x" * 129, "with a space and more letters", "too-short"])
def test_a_key_that_no_request_could_carry(key: str) -> None:
    with pytest.raises(ServeError, match="AGENT_SERVER_BOOTSTRAP_KEY must be 20 to 128 characters"):
        check_bootstrap_key(key)


def test_a_log_level_that_does_not_exist(tmp_path: Path) -> None:
    assert serve(tmp_path, LOG_LEVEL="LOUD")[-1].startswith("LOG_LEVEL must be")


def test_a_second_serve_on_the_same_data(tmp_path: Path) -> None:
    data = DataDir(tmp_path)
    data.create()
    with data.locked():
        [line] = serve(tmp_path)
    assert f"Another serve (process {os.getpid()}) is using {tmp_path}" in line
