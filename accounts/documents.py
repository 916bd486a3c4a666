"""The JSON shapes of keys."""

from typing import Any

from accounts.models import ApiKey


def api_key_document(key: ApiKey) -> dict[str, Any]:
    """A key as it may be shown: never the key itself."""
    return {
        "id": key.id,
        "name": key.name,
        "prefix": key.prefix,
        "scopes": key.scopes,
        "user_id": key.user_id,
        "limits": key.limits,
        "created_at": key.created_at,
        "expires_at": key.expires_at,
        "revoked_at": key.revoked_at,
        "last_used_at": key.last_used_at,
    }
