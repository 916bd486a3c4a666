"""The JSON shapes of keys, members, workspaces and secrets."""

from typing import Any

from accounts.models import ApiKey, Membership, Secret, Workspace


def api_key_document(key: ApiKey) -> dict[str, Any]:
    """A key as it may be shown: never the key itself."""
    return {
        "id": key.id,
        "name": key.name,
        "prefix": key.prefix,
        "scopes": key.scopes,
        "user_id": key.user_id,
        "limits": key.limits,
        "rotated_from": key.rotated_from_id,
        "created_by": key.created_by,
        "created_at": key.created_at,
        "expires_at": key.expires_at,
        "revoked_at": key.revoked_at,
        "last_used_at": key.last_used_at,
    }


def member_document(member: Membership) -> dict[str, Any]:
    """A person's place in the workspace."""
    return {
        "id": member.id,
        "username": member.user.get_username(),
        "email": member.user.email or None,
        "role": member.role,
        "pending": member.is_pending,
        "created_by": member.created_by,
        "created_at": member.created_at,
    }


def workspace_document(workspace: Workspace) -> dict[str, Any]:
    return {"id": workspace.id, "name": workspace.name, "slug": workspace.slug}


def secret_document(secret: Secret) -> dict[str, Any]:
    """A secret as it may be shown: never its value."""
    return {
        "name": secret.name,
        "hosts": secret.hosts,
        "created_by": secret.created_by,
        "created_at": secret.created_at,
        "updated_at": secret.updated_at,
    }
