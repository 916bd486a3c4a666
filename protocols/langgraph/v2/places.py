"""Ids in the paths of this part of the door."""

from uuid import UUID

from core.errors import Invalid


def thread_id_of(text: str) -> UUID:
    """The thread that a path names, in any spelling of a UUID. Raises Invalid."""
    try:
        return UUID(text)
    except ValueError:
        raise Invalid("Invalid thread ID: must be a UUID") from None
