"""What a deployment's langgraph.json says of this door."""

from typing import NamedTuple

from graphs.registry import config


class StoreTtl(NamedTuple):
    """For how many minutes a document is kept where its writer does not say, and whether reading begins that anew."""

    default_minutes: float | None
    refresh_on_read: bool


def store_ttl() -> StoreTtl:
    """The defaults of the store."""
    given = config().store.get("ttl", {})
    return StoreTtl(given.get("default_ttl"), given.get("refresh_on_read", True))
