"""UUIDv7 identifiers (RFC 9562): rows made later sort later."""

from uuid import UUID

import uuid_utils.compat


def new_id() -> UUID:
    """A new UUIDv7."""
    return UUID(int=uuid_utils.compat.uuid7().int)


def parse_id(text: str) -> UUID | None:
    """The identifier that `text` spells in the canonical form, else None (braces, urn: and upper case too)."""
    try:
        value = UUID(text)
    except ValueError:
        return None
    return value if str(value) == text else None
