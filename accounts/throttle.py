"""Slows the guessing of passwords down, without locking anybody out for long."""

import logging

import redis

from accounts.credentials import digest_of
from core.redis import client, key

log = logging.getLogger(__name__)

MAX_FAILURES = 5
PAUSE_S = 30


def pause_left(name: str, address: str) -> int:
    """Seconds until `name` may be tried from `address` again; 0 for now.

    Where Redis is away nobody is slowed down: logins matter most when something is broken.
    """
    try:
        pipeline = client().pipeline()
        pipeline.get(_key(name, address))
        pipeline.ttl(_key(name, address))
        failures, left = pipeline.execute()
    except redis.RedisError as fault:
        log.warning("Login attempts are not counted: %s", fault)
        return 0
    return max(1, left) if int(failures or 0) >= MAX_FAILURES else 0


def note_failure(name: str, address: str) -> None:
    """Count a wrong password. The count is forgotten when there was none for the length of the pause."""
    try:
        pipeline = client().pipeline()
        pipeline.incr(_key(name, address))
        pipeline.expire(_key(name, address), PAUSE_S)
        pipeline.execute()
    except redis.RedisError as fault:
        log.warning("A failed login was not counted: %s", fault)


def _key(name: str, address: str) -> str:
    # A digest, since both come from outside; the case of a name does not make another one.
    return key(f"login:{digest_of(f'{name.casefold()}|{address}')}")
