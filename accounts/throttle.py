"""Slows the guessing of passwords and links down, without locking anybody out for long."""

import logging

import redis

from accounts.credentials import digest_of
from core.counting import Counts, neighbourhood
from core.redis import client, key

log = logging.getLogger(__name__)

# (wrong tries, seconds): for one name from one address, and from one address whatever the name.
OF_A_NAME = 5, 30
OF_AN_ADDRESS = 30, 60
# Who guesses at one door is not kept from another.
LOGINS = "logins"
# What this process counts while Redis is away: logins matter most when something is broken, and guessing must not
# become easy then.
AWAY = Counts()


def try_to_get_in(address: str, name: str | None = None, *, door: str = LOGINS) -> int:
    """Count a try from `address`, with a password for `name` or with a link (None), at this door.

    Gives 0 when it may be made, else the seconds after which another one may. Tries are counted before it is known
    that they are wrong: many at once would pass otherwise. `was_right` takes one back.
    """
    waits = [0]
    for counter, bound in _counters(address, name, door).items():
        count, left = _add(counter, *bound)
        if count > bound[0]:
            waits.append(left)
    return max(waits)


def was_right(address: str, name: str | None = None, *, door: str = LOGINS) -> None:
    """The try was no guess; with the right password, those before it were none either."""
    for counter, bound in _counters(address, name, door).items():
        try:
            if bound is OF_A_NAME:
                AWAY.forget(counter)
                client().delete(counter)
            else:
                AWAY.take_back(counter)
                # It may have been forgotten meanwhile, and one without an end would never be.
                pipeline = client().pipeline()
                pipeline.set(counter, 0, ex=bound[1], nx=True)
                pipeline.decr(counter)
                pipeline.execute()
        except redis.RedisError as fault:
            log.warning("A login was not taken off the tries: %s", fault)


def _add(counter: str, allowed: int, pause_s: int) -> tuple[int, int]:
    try:
        pipeline = client().pipeline()
        pipeline.set(counter, 0, ex=pause_s, nx=True)
        pipeline.incr(counter)
        pipeline.ttl(counter)
        _, count, left = pipeline.execute()
        if int(count) == allowed:
            client().expire(counter, pause_s)  # the pause begins with the last try
    except redis.RedisError as fault:
        log.warning("Login attempts are counted in this process only: %s", fault)
        return AWAY.add(counter, pause_s)
    return int(count), max(1, int(left))


def _counters(address: str, name: str | None, door: str) -> dict[str, tuple[int, int]]:
    # Digests, since both come from outside; the case of a name does not make another one.
    place = neighbourhood(address)
    counters = {key(f"{door}:{digest_of(place)}"): OF_AN_ADDRESS}
    if name is not None:
        counters[key(f"login:{digest_of(f'{name.casefold()}|{place}')}")] = OF_A_NAME
    return counters
