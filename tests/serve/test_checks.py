"""What must not start does not, and everything else does."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from django.core.management import call_command

from config import checks
from config.checks import fault_of_key, fault_of_password, fault_of_secret_key, faults, is_loopback
from config.env import BadEnvironment, Environment
from tests.servers import PASSWORD, ROOT

GOOD = "kP3xZ0vTq8WmB1nYc5LrJ7hD2gFs9aXeU4iOwQtRzVbNdMlC6jKy"
GOOD_PASSWORD = "Wm8-vTq0xZ3k"

Faults = Callable[..., list[str]]


@pytest.fixture
def found(monkeypatch: pytest.MonkeyPatch) -> Faults:
    """What is wrong with these settings, by the numbers of the checks."""

    def ask(secret_key: str = GOOD, **settings: str) -> list[str]:
        for name, value in settings.items():
            monkeypatch.setenv(name, value)
        env = Environment()
        return [str(fault.id).removeprefix("agent_server.") for fault in faults(env, secret_key, env.host)]

    return ask


@pytest.mark.parametrize("exposed", [{"HOST": "0.0.0.0"}, {"HOST": "::"}, {"AGENT_SERVER_ENV": "production"}])
@pytest.mark.parametrize(
    ("settings", "number"),
    [
        ({"DEBUG": "1"}, "E001"),
        ({"AGENT_SERVER_BOOTSTRAP_KEY": "your-api-key-0123456789"}, "E003"),
        ({"AGENT_SERVER_ADMIN_PASSWORD": PASSWORD}, "E004"),
    ],
)
def test_what_is_for_this_machine_alone(
    found: Faults, exposed: dict[str, str], settings: dict[str, str], number: str
) -> None:
    assert found(**settings) == []
    assert found(**settings, **exposed) == [number]


def test_a_secret_key_that_can_be_guessed_is_refused_everywhere(found: Faults) -> None:
    assert found("only-for-tests", HOST="127.0.0.1") == ["E002"]


def test_good_secrets_start(found: Faults) -> None:
    settings = {"AGENT_SERVER_BOOTSTRAP_KEY": GOOD, "AGENT_SERVER_ADMIN_PASSWORD": GOOD_PASSWORD, "HOST": "0.0.0.0"}
    assert found(**settings) == []


def test_a_server_that_makes_its_own_secrets_starts(
    found: Faults, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SECRET_KEY")
    monkeypatch.setenv("DATA_DIR", str(tmp_path))
    assert found(Environment().secret_key(), HOST="0.0.0.0", CORS_ALLOW_ORIGINS="*") == []


@pytest.mark.parametrize(
    "key",
    [
        "short",
        "x" * 64,
        GOOD[:49],
        "django-insecure-" + GOOD,
        "changeme" * 8,
        "please-change-me-" + GOOD,
        "01234567890123456789012345678901234567890123456789",
    ],
)
def test_secret_keys_that_can_be_guessed(key: str) -> None:
    assert fault_of_secret_key(key)


@pytest.mark.parametrize(
    "key", ["a" * 20, "my-changeme-key-8472", "sk_aaaaaaaaaaaaaaaaaaaa", "your-api-key-0123456789"]
)
def test_keys_that_can_be_guessed(key: str) -> None:
    assert fault_of_key(key)


@pytest.mark.parametrize("password", [PASSWORD, "admin", "short-1", "password123", "9471038562190", "Correct Horse"])
def test_passwords_that_can_be_guessed(password: str) -> None:
    assert fault_of_password(password)


@pytest.mark.parametrize(
    ("host", "own"),
    [
        ("127.0.0.1", True), ("127.8.0.1", True), ("localhost", True), ("::1", True), ("[::1]", True),
        ("0.0.0.0", False), ("::", False), ("192.168.1.7", False), ("agents.example.com", False),
    ],
)  # fmt: skip
def test_which_addresses_are_this_machines_own(host: str, own: bool) -> None:
    assert is_loopback(host) == own


@pytest.mark.parametrize("role", ["serve", "web --host 0.0.0.0", "worker", "beat"])
def test_no_role_starts(monkeypatch: pytest.MonkeyPatch, role: str) -> None:
    monkeypatch.setenv("DEBUG", "1")
    monkeypatch.setenv("HOST", "0.0.0.0")
    monkeypatch.setattr(checks, "ENV", Environment())
    with pytest.raises(BadEnvironment) as refused:
        call_command(*role.split())
    assert str(refused.value).splitlines() == [
        "DEBUG is on while HOST is 0.0.0.0: its error pages show settings and code to anybody. Unset DEBUG."
    ]


def test_web_looks_at_the_address_that_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEBUG", "1")
    monkeypatch.setattr(checks, "ENV", Environment())
    with pytest.raises(BadEnvironment, match=r"while HOST is 192\.0\.2\.1"):
        call_command("web", "--host", "192.0.2.1")


def test_each_fault_has_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEBUG", "1")
    monkeypatch.setenv("SECRET_KEY", "short")
    monkeypatch.setattr(checks, "ENV", Environment())
    with pytest.raises(BadEnvironment) as refused:
        checks.refuse_start("0.0.0.0")
    assert len(str(refused.value).splitlines()) == 2
    assert len(checks.check_what_must_not_start()) == 1  # of its own HOST, which is this machine's


def test_an_environment_that_nobody_knows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AGENT_SERVER_ENV", "prodcution")
    with pytest.raises(BadEnvironment, match="AGENT_SERVER_ENV must be production, or not set, not 'prodcution'"):
        Environment()


_EXAMPLE = re.compile(r"\b(SECRET_KEY|AGENT_SERVER_BOOTSTRAP_KEY|AGENT_SERVER_ADMIN_PASSWORD)[=:] ?[\"']?([\w-]{4,})")


def test_no_example_is_good_enough() -> None:
    judges = {
        "SECRET_KEY": fault_of_secret_key,
        "AGENT_SERVER_BOOTSTRAP_KEY": fault_of_key,
        "AGENT_SERVER_ADMIN_PASSWORD": fault_of_password,
    }
    for page in (ROOT / "README.md", ROOT / "docker-compose.yml", *(ROOT / "docs").glob("*.md")):
        for name, value in _EXAMPLE.findall(page.read_text()):
            assert judges[name](value), f"{page.name}: {name}={value}"


def test_compose_has_no_secrets_of_its_own() -> None:
    text = (ROOT / "docker-compose.yml").read_text()
    assert re.findall(r"\$\{(\w*(?:PASSWORD|SECRET|KEY)\w*):-[^}]+\}", text) == []
    assert "${POSTGRES_PASSWORD:?" in text
