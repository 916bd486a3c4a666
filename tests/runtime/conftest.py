from collections.abc import AsyncIterator, Iterator

import pytest

from runtime.configuration import RuntimeSettings, configure, current
from runtime.providers.connection import close_connections


@pytest.fixture(autouse=True)
def _own_settings() -> Iterator[None]:
    before = current()
    configure(RuntimeSettings())
    yield
    configure(before)


@pytest.fixture(autouse=True)
def _no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for provider in ("OPENAI", "ANTHROPIC"):
        for suffix in ("API_KEY", "BASE_URL"):
            monkeypatch.delenv(f"{provider}_{suffix}", raising=False)


@pytest.fixture
async def open_loopback() -> AsyncIterator[None]:
    """The allow-list opens 127.0.0.1; connections are closed afterwards."""
    configure(RuntimeSettings(url_allowlist=("127.0.0.1",)))
    yield
    await close_connections()
