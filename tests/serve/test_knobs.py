"""What the environment says is checked when a process starts, and is what its runs begin with."""

import os
import subprocess
import sys

import pytest

from config.env import BadEnvironment, Environment
from tests.servers import ROOT

_SHOWN = """
import django; django.setup()
from assistants.config.assistant import AssistantConfig
from django.conf import settings
config = AssistantConfig.model_validate({"name": "x", "llm": {"provider": "fake", "model": "echo"}})
print(config.retry_policy.max_attempts, config.run_timeout_s, settings.LONGEST_RUN_S, settings.RUNNER_LEASE_S)
"""

pytestmark = pytest.mark.servers


def defaults(**settings: str) -> list[str]:
    env = {**os.environ, **settings}
    done = subprocess.run([sys.executable, "-c", _SHOWN], cwd=ROOT, env=env, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_runs_begin_with_what_the_environment_says() -> None:
    assert defaults(BG_JOB_MAX_RETRIES="7", BG_JOB_TIMEOUT_SECS="90", BG_JOB_HEARTBEAT="40") == [
        "7",
        "90",
        "90.0",
        "40",
    ]


def test_unset_they_have_three_attempts_and_an_hour_and_no_bound() -> None:
    assert defaults(BG_JOB_MAX_RETRIES="", BG_JOB_TIMEOUT_SECS="") == ["3", "3600", "inf", "15"]


@pytest.mark.parametrize(
    ("name", "text", "fault"),
    [
        ("BG_JOB_MAX_RETRIES", "0", "must be at least 1, not 0"),
        ("BG_JOB_MAX_RETRIES", "101", "must be at most 100"),
        ("BG_JOB_TIMEOUT_SECS", "0", "must be at least 1, not 0"),
        ("BG_JOB_TIMEOUT_SECS", "an hour", "must be a whole number"),
        ("BG_JOB_HEARTBEAT", "14", "must be at least 15, not 14"),
        ("CORS_ALLOW_ORIGINS", "https://a.example.com/", "not 'https://a.example.com/'"),
        ("CORS_ALLOW_ORIGINS", "*,a.example.com", "not 'a.example.com'"),
        ("CORS_ALLOW_ORIGINS", "https://A.example.com", "in lower case"),
        ("CORS_ALLOW_ORIGINS", "null", "not 'null'"),
        ("MOUNT_PREFIX", "agents-api", "must be a path such as /agents-api"),
        ("MOUNT_PREFIX", "/a//b", "not '/a//b'"),
        ("MOUNT_PREFIX", "/..", "not '/..'"),
    ],
)
def test_what_cannot_work_is_refused(monkeypatch: pytest.MonkeyPatch, name: str, text: str, fault: str) -> None:
    monkeypatch.setenv(name, text)
    with pytest.raises(BadEnvironment, match="^" + name) as refusal:
        Environment()
    assert fault in str(refusal.value)


def test_origins_are_as_browsers_write_them(monkeypatch: pytest.MonkeyPatch) -> None:
    origins = ["https://a.example.com", "http://localhost:3000", "http://[::1]:8080", "*"]
    monkeypatch.setenv("CORS_ALLOW_ORIGINS", " , ".join(origins))
    assert Environment().cors_origins == origins
