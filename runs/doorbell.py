"""The doorbell of runs: see `core.doorbell`. Every worker looks at the table by itself, too."""

from kombu import Producer, Queue

from core.doorbell import Doorbell
from core.redis import key


def queue() -> Queue:
    """Where the bell rings; every worker listens, one hears."""
    return Queue(key("doorbell"), durable=False)


def _send(producer: Producer) -> None:
    producer.publish({}, routing_key=queue().name, retry=False)


doorbell = Doorbell("doorbell", lambda: queue().name, _send)
