"""A workspace, its people and its keys."""

from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, TypeVar

import pytest
from asgiref.sync import sync_to_async
from django.db import connection
from rest_framework.test import APIClient

from accounts.credentials import MEMORY
from accounts.models import Membership, Role, User, Workspace
from accounts.services import create_api_key, create_workspace
from accounts.throttle import AWAY
from core.db import close_pool, open_pool
from core.redis import client as redis_client

T = TypeVar("T")
PASSWORD = "correct horse"


@pytest.fixture(autouse=True)
def _nothing_remembered() -> Iterator[None]:
    """Keys and failed logins of one test are unknown to the next."""
    yield
    MEMORY.clear()
    AWAY.clear()
    redis_client().flushdb()


@pytest.fixture
async def pool(transactional_db: None) -> AsyncIterator[None]:
    await open_pool(size=2)
    yield
    await close_pool()


async def in_thread(function: Callable[..., T], *args: Any, **kwargs: Any) -> T:
    """Django's side of an async test; the thread hands its connection back."""

    def call() -> T:
        try:
            return function(*args, **kwargs)
        finally:
            connection.close()

    return await sync_to_async(call)()


@pytest.fixture
def workspace(db: None) -> Workspace:
    return create_workspace("Acme", "acme")


@pytest.fixture
def key(workspace: Workspace) -> str:
    """A key that may do everything."""
    return create_api_key(workspace, "test", ["*"])[1]


ApiFor = Callable[..., APIClient]


@pytest.fixture
def api_for(workspace: Workspace) -> ApiFor:
    """An API client with a new key of these scopes."""

    def make(*scopes: str, **options: Any) -> APIClient:
        _, key = create_api_key(workspace, "test", scopes, **options)
        return APIClient(headers={"X-Api-Key": key})

    return make


@pytest.fixture
def person(workspace: Workspace) -> User:
    """A member of the workspace."""
    user = User.objects.create_user("ada", password=PASSWORD)
    Membership.objects.create(workspace=workspace, user=user, role=Role.MEMBER)
    return user
