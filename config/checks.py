"""What must not start: settings with which strangers would get in. Django's `check` shows the same.

The roles run these before anything listens, and end with a line for each fault.
"""

import ipaddress
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from django.contrib.auth.password_validation import (
    CommonPasswordValidator,
    MinimumLengthValidator,
    NumericPasswordValidator,
)
from django.core.checks import Error, register
from django.core.exceptions import ValidationError

from config.env import ENV, BadEnvironment, Environment

TAG = "agent_server"

SHORTEST_SECRET_KEY = 50
SHORTEST_PASSWORD = 8
# A random text of our lengths has more different characters than these.
_FEWEST_IN_SECRET_KEY = 10
_FEWEST_IN_KEY = 8
# What stands for a key until somebody puts one there.
_STAND_INS = (
    *("changeme", "change-me", "change_me", "replaceme", "replace-me", "replace_me", "placeholder"),
    *("your-secret", "your_secret", "your-key", "your_key", "your-api-key", "your_api_key"),
)
# Whoever tries secrets out begins with these.
_KNOWN_PARTS = (
    *_STAND_INS,
    *("django-insecure", "example", "test-key", "test_key", "123456789", "abcdefghij", "password"),
)
# Those of our own tests are known to everybody, too.
_KNOWN_PASSWORDS = {"test-password", "agent-server", "correct horse", "admin"}

_HOW_TO_MAKE = "python3 -c 'import secrets; print(secrets.token_urlsafe(48))'"


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach `host`, as HOST is written."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def faults(env: Environment, secret_key: str, host: str) -> Iterator[Error]:
    """Why a server that listens on `host` with these settings must not start. Each says what to do in its hint."""
    exposed = env.production or not is_loopback(host)
    where = f"while HOST is {host}" if not is_loopback(host) else "in production"
    if env.debug and exposed:
        yield Error(
            f"DEBUG is on {where}: its error pages show settings and code to anybody.",
            hint="Unset DEBUG.",
            id=f"{TAG}.E001",
        )
    if fault := fault_of_secret_key(secret_key):
        yield Error(
            f"SECRET_KEY {fault}: whoever guesses it signs in as anybody.",
            hint=f"Unset it, and one is made in DATA_DIR; or make one: {_HOW_TO_MAKE}",
            id=f"{TAG}.E002",
        )
    if env.bootstrap_key and exposed and (fault := fault_of_key(env.bootstrap_key)):
        yield Error(
            f"AGENT_SERVER_BOOTSTRAP_KEY {fault} {where}.",
            hint=f"Unset it, and one is made; or make one: {_HOW_TO_MAKE}",
            id=f"{TAG}.E003",
        )
    if env.admin_password and exposed and (fault := fault_of_password(env.admin_password)):
        yield Error(
            f"AGENT_SERVER_ADMIN_PASSWORD {fault} {where}.",
            hint="Unset it, and one is made in DATA_DIR; or choose a longer one.",
            id=f"{TAG}.E004",
        )


def fault_of_secret_key(key: str) -> str:
    """What is wrong with the key that signs cookies; empty for nothing."""
    if len(key) < SHORTEST_SECRET_KEY:
        return f"has {len(key)} characters and needs {SHORTEST_SECRET_KEY}"
    return _guessable(key, _KNOWN_PARTS, _FEWEST_IN_SECRET_KEY)


def fault_of_key(key: str) -> str:
    """What is wrong with an API key that somebody chose; empty for nothing. Its form is checked elsewhere."""
    return _guessable(key, _STAND_INS, _FEWEST_IN_KEY)


def fault_of_password(password: str) -> str:
    """What is wrong with the admin's password; empty for nothing."""
    if password.lower() in _KNOWN_PASSWORDS:
        return "is one that everybody knows"
    for validator in (MinimumLengthValidator(SHORTEST_PASSWORD), CommonPasswordValidator(), NumericPasswordValidator()):
        try:
            validator.validate(password)
        except ValidationError as error:
            return f"is weak ({error.messages[0].rstrip('.').removeprefix('This password ')})"
    return ""


def _guessable(text: str, known_parts: Iterable[str], fewest: int) -> str:
    lower = text.lower()
    if known := next((part for part in known_parts if part in lower), None):
        return f"has {known!r} in it, as examples do"
    return f"has {len(set(text))} different characters only" if len(set(text)) < fewest else ""


@register(TAG)
def check_what_must_not_start(app_configs: Sequence[Any] | None = None, **_: Any) -> list[Error]:
    """For `manage.py check`, and all commands that make it."""
    return list(faults(ENV, ENV.secret_key(), ENV.host))


def refuse_start(host: str | None = None) -> None:
    """Raises `BadEnvironment` with a line for each fault. `host`: where it is to listen, else what HOST says."""
    found = list(faults(ENV, ENV.secret_key(), host or ENV.host))
    if found:
        raise BadEnvironment("\n".join(f"{fault.msg} {fault.hint}" for fault in found))
