"""Questions asked before anything starts, so that a mistake costs one line and not a traceback."""

import re
import socket
from urllib.parse import urlsplit

import psycopg
import redis

from accounts.credentials import KEY_FORM
from config.serve.errors import ServeError
from config.serve.redis import ping

_TIMEOUT_S = 5


def check_bootstrap_key(key: str) -> None:
    """Raises `ServeError` for a key that no request could be made with."""
    if key and not KEY_FORM.fullmatch(key):
        raise ServeError(
            "AGENT_SERVER_BOOTSTRAP_KEY must be 20 to 128 characters out of A-Z, a-z, 0-9, _ and -. "
            "Leave it out and the server makes one."
        )


def check_port(host: str, port: int) -> None:
    """Raises `ServeError` where nobody could listen there."""
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except socket.gaierror as fault:
        raise ServeError(f"HOST {host!r} is not an address of this machine ({fault.strerror}).") from None
    with socket.socket(family, kind) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(address)
            probe.listen()
        except OSError as fault:
            raise ServeError(
                f"Cannot listen on {host}:{port} ({fault.strerror}). Choose another: make serve PORT={port + 1}"
            ) from None


def check_database(url: str) -> None:
    """Raises `ServeError` where `DATABASE_URL` leads nowhere or is refused."""
    try:
        psycopg.connect(url, connect_timeout=_TIMEOUT_S).close()
    except psycopg.Error as fault:
        raise ServeError(f"DATABASE_URL ({shown(url)}) does not work: {reason(fault)}") from None


def check_redis(url: str) -> None:
    """Raises `ServeError` where `REDIS_URL` leads nowhere or is refused."""
    if urlsplit(url).scheme not in {"redis", "rediss"}:
        raise ServeError("REDIS_URL must start with redis:// or rediss://.")
    try:
        ping(url, _TIMEOUT_S)
    except (redis.RedisError, ValueError) as fault:
        raise ServeError(f"REDIS_URL ({shown(url)}) does not work: {reason(fault)}") from None


def shown(url: str) -> str:
    """The address without its password."""
    return re.sub(r"//[^@/]*@", "//", url.split("?")[0])


def reason(fault: Exception) -> str:
    """One line of it: the rest are hints and, for a name with several addresses, the other attempts."""
    lines = [line for line in str(fault).splitlines() if not line.startswith("Multiple connection attempts")]
    return lines[0].removeprefix("connection failed: ") if lines else type(fault).__name__
