"""Questions about this process's surroundings: secrets, the disk, the way out, what is open to the world."""

import asyncio
import os
import resource
import shutil
import socket
import zoneinfo
from collections.abc import Iterable

from accounts import hook, oidc
from accounts.jwks import KeysAway
from config.checks import fault_of_key, fault_of_password, fault_of_secret_key, is_loopback
from config.doctor.findings import Check, Found, fail, ok, warn
from config.env import ENV
from core.addresses import is_public, literal_address
from core.url_guard import BlockedUrl, UrlGuard

# The name that is kept for examples (RFC 2606), and that resolves wherever names do.
PUBLIC_NAME = "example.com"
FEWEST_FILES = 4_096
LEAST_ROOM = 1024**3


def _secrets() -> Found:
    faults = [f"SECRET_KEY {fault}" for fault in [fault_of_secret_key(ENV.secret_key())] if fault]
    if ENV.bootstrap_key and (fault := fault_of_key(ENV.bootstrap_key)):
        faults.append(f"AGENT_SERVER_BOOTSTRAP_KEY {fault}")
    if ENV.admin_password and (fault := fault_of_password(ENV.admin_password)):
        faults.append(f"AGENT_SERVER_ADMIN_PASSWORD {fault}")
    if not faults:
        return ok("Those of the environment cannot be guessed.")
    text, fix = f"{'; '.join(faults)}.", "Unset them, and random ones are made."
    exposed = ENV.production or not is_loopback(ENV.host) or fault_of_secret_key(ENV.secret_key())
    return fail(text, fix) if exposed else warn(text, fix)


def _authentication() -> Found:
    ways = [*(["a hook"] if hook.installed() else []), "API keys", "logins"]
    try:
        if oidc.fetch_at_start(0):
            ways.insert(-1, f"tokens of {ENV.oidc_issuer}")
    except KeysAway as fault:
        return fail(f"The issuer's keys cannot be had: {fault}", "Look at AGENT_SERVER_OIDC_ISSUER.")
    return ok(f"By {', '.join(ways)}.")


def _allow_list() -> Found:
    internal = [entry for entry in ENV.url_allowlist if _is_internal(entry)]
    if internal:
        return warn(
            f"Assistants reach internal hosts: {', '.join(internal)}.",
            "Take out of AGENT_SERVER_URL_ALLOWLIST what they do not need.",
        )
    return ok("AGENT_SERVER_URL_ALLOWLIST opens no internal host.")


def _is_internal(entry: str) -> bool:
    host = entry[1:].partition("]")[0] if entry.startswith("[") else entry.partition(":")[0]
    address = literal_address(host)
    if address is not None:
        return not is_public(address)
    try:
        found: Iterable[str] = {str(each[4][0]) for each in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)}
    except OSError:
        return False
    return any(not is_public(address) for each in found if (address := literal_address(each)))


def _names() -> Found:
    try:
        asyncio.run(UrlGuard().addresses(PUBLIC_NAME, 443))
    except BlockedUrl:
        return warn(f"{PUBLIC_NAME} resolves to an internal address.", "Look at this machine's DNS.")
    except OSError as fault:
        return warn(
            f"Names are not resolved ({fault}): models and tools out there are not reached.", "Look at its DNS."
        )
    return ok("The URL guard resolves names.")


def _data_dir() -> Found:
    path = ENV.data_dir
    if not path.is_dir():
        return warn(f"{path} does not exist yet.", "serve and bootstrap make it.")
    if not os.access(path, os.R_OK | os.W_OK | os.X_OK):
        return fail(f"{path} cannot be written.", "Set DATA_DIR to a folder of your own.")
    mode = path.stat().st_mode & 0o777
    if mode & 0o077:
        return fail(f"{path} has the mode {mode:o}: others may read its secrets.", f"Run: chmod 700 {path}")
    return ok(f"{path} is ours alone.")


def _disk() -> Found:
    path = next(each for each in (ENV.data_dir, *ENV.data_dir.parents) if each.exists())
    usage = shutil.disk_usage(path)
    text = f"{usage.free / 1024**3:.1f} GiB of {usage.total / 1024**3:.0f} are free at {path}."
    if usage.free < LEAST_ROOM:
        return fail(text, "Make room: without it PostgreSQL stops.")
    return warn(text, "Make room soon.") if usage.free < usage.total / 10 else ok(text)


def _open_files() -> Found:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    text = f"A process may have {'any number of' if hard == resource.RLIM_INFINITY else hard} files open."
    if hard != resource.RLIM_INFINITY and hard < FEWEST_FILES:
        return warn(text, f"Each stream takes one: set the limit (ulimit -Hn) to {FEWEST_FILES} or more.")
    return ok(text)


def _time_zone() -> Found:
    try:
        zoneinfo.ZoneInfo("Europe/Berlin")
    except zoneinfo.ZoneInfoNotFoundError:
        return warn("This machine knows no time zones; times are UTC.", "Install tzdata.")
    return ok("Times are UTC; the names of time zones are known.")


def _exposure() -> Found:
    if ENV.debug:
        return warn("DEBUG is on.", "Unset it outside of development.")
    if is_loopback(ENV.host):
        return ok(f"Only this machine reaches {ENV.host}:{ENV.port}.")
    return warn(
        f"Plain HTTP on {ENV.host}:{ENV.port}: keys can be read on their way.",
        "Put a proxy that speaks TLS before it, and let nobody past it.",
    )


CHECKS = (
    Check("secrets", _secrets),
    Check("who gets in", _authentication),
    Check("allow-list", _allow_list),
    Check("names", _names),
    Check("data folder", _data_dir),
    Check("disk", _disk),
    Check("open files", _open_files),
    Check("time zone", _time_zone),
    Check("exposure", _exposure),
)
