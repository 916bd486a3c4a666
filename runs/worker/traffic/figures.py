"""What stands in Redis about the calls of all workers, for `/metrics`."""

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from core.redis import client
from runs.worker.traffic.breaker import CIRCUITS
from runs.worker.traffic.shared import shared_key


@dataclass(frozen=True, slots=True)
class Figures:
    """By the name of a limit: the calls under way, and the runs that wait. By provider: open circuits.

    Models are not named: everybody with a key reads the figures, and whoever writes an assistant names its model.
    """

    calls: dict[str, int]
    waiting: dict[str, int]
    open_circuits: dict[str, int]


def figures(limits: Iterable[str]) -> Figures:
    """The figures of this moment. Raises redis.RedisError or OSError."""
    names, redis = list(limits), client()
    seconds, micros = redis.time()
    now = seconds * 1000 + micros // 1000
    pipe = redis.pipeline(transaction=False)
    for name in names:
        pipe.zcount(shared_key(name, "slots"), now, "+inf")
        pipe.zcount(shared_key(name, "waiting"), now, "+inf")
    pipe.zrangebyscore(shared_key(CIRCUITS), now, "+inf")
    *counts, circuits = pipe.execute()
    providers = Counter(provider for provider, _ in map(json.loads, circuits))
    return Figures(
        calls=dict(zip(names, counts[::2], strict=True)),
        waiting=dict(zip(names, counts[1::2], strict=True)),
        open_circuits=dict(providers),
    )
