"""The JSON shapes of keys and secrets."""

from typing import Any

from accounts.models import ApiKey, Secret


def api_key_document(key: ApiKey) -> dict[str, Any]:
    """A key as it may be shown: never the key itself."""
    return {
        "id": key.id,
        "name": key.name,
        "prefix": key.prefix,
        "scopes": key.scopes,
        "user_id": key.user_id,
        "created_at": key.created_at,
        "expires_at": key.expires_at,
        "revoked_at": key.revoked_at,
        "last_used_at": key.last_used_at,
    }


def secret_document(secret: Secret) -> dict[str, Any]:
    """A secret as it may be shown: never its value."""
    return {
        "name": secret.name,
        "hosts": secret.hosts,
        "created_by": secret.created_by,
        "created_at": secret.created_at,
        "updated_at": secret.updated_at,
    }
