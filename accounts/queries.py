"""Reads of a workspace's keys."""

from uuid import UUID

from django.db.models import QuerySet

from accounts.models import ApiKey
from core.errors import NotFound


def api_keys(workspace_id: UUID) -> QuerySet[ApiKey]:
    return ApiKey.objects.filter(workspace_id=workspace_id)


def get_api_key(workspace_id: UUID, api_key_id: UUID) -> ApiKey:
    """Raises `NotFound`, also for another workspace's key."""
    key = api_keys(workspace_id).filter(id=api_key_id).first()
    if key is None:
        raise NotFound
    return key
