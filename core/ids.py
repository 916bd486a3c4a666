"""UUIDv7 identifiers (RFC 9562): rows made later sort later."""

from hashlib import sha256
from uuid import UUID

import uuid_utils

from core.errors import NotFound


def new_id() -> UUID:
    """A new UUIDv7."""
    return UUID(int=uuid_utils.uuid7().int)


def derived_id(parent: UUID, index: int) -> UUID:
    """The UUIDv7 of `parent`'s part number `index`: the same each time, and sorted beside its parent."""
    digest = sha256(parent.bytes + index.to_bytes(4)).digest()
    # Time and version are the parent's; the 62 random bits behind the variant are the part's own.
    return UUID(int=(parent.int >> 62 << 62) | (int.from_bytes(digest[:8]) >> 2))


def parse_id(text: str) -> UUID | None:
    """The identifier that `text` spells in the canonical form, else None (braces, urn: and upper case too)."""
    try:
        value = UUID(text)
    except ValueError:
        return None
    return value if str(value) == text else None


def path_id(text: str) -> UUID:
    """The identifier in a path; raises `NotFound` for a malformed one, as for an unknown one."""
    value = parse_id(text)
    if value is None:
        raise NotFound
    return value
