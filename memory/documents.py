"""The JSON shape of a document of the store."""

from typing import Any

from core.clock import isoformat
from core.db import Row


def item_document(row: Row) -> dict[str, Any]:
    """A row of `memory.services`."""
    return {
        "namespace": row["namespace"],
        "key": row["key"],
        "value": row["value"],
        "created_at": isoformat(row["created_at"]),
        "updated_at": isoformat(row["updated_at"]),
    }
