from collections.abc import Iterator

import pytest

from accounts.models import Workspace
from runtime import configuration
from runtime.configuration import RuntimeSettings
from tests.stubs.receiver import Receiver
from tests.webhooks.post import Post


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A receiver that the URL guard lets through."""
    before = configuration.current()
    configuration.configure(RuntimeSettings(url_allowlist=("127.0.0.1",)))
    with Receiver() as running:
        yield running
    configuration.configure(before)


@pytest.fixture
def post(transactional_db: None, receiver: Receiver) -> Post:
    """A workspace's endpoints at the receiver, and what is told to them."""
    return Post(Workspace.objects.create(name="Ours", slug="ours"), receiver)
