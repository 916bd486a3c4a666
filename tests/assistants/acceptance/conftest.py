from collections.abc import Callable, Iterator

import httpx
import pytest

from tests.assistants.acceptance.calls import Caller, at_once, path_of, unique
from tests.servers import Server
from tests.stubs.ledger import Ledger


@pytest.fixture(scope="package")
def _tidied(server: Server) -> Iterator[Caller]:
    """Takes away what these tests have made, because others look at lists of all there is."""
    caller = Caller(server.client)
    before = caller.items("/assistants", limit=1)[0]["created_at"]
    yield caller
    made: list[str] = []
    for offset in range(0, 10_000, 100):
        page = caller.items("/assistants", limit=100, offset=offset)
        new = [path_of(assistant) for assistant in page if assistant["created_at"] > before]
        made += new
        if len(new) < 100:
            break
    at_once(4, lambda part: [_take_away(server.client, path) for path in made[part::4]])


def _take_away(client: httpx.Client, path: str) -> None:
    # What a test that failed left running cannot be deleted; archived it is out of the way.
    if client.delete(path, params={"permanent": "true"}).is_error:
        client.delete(path)


@pytest.fixture
def caller(_tidied: Caller) -> Caller:
    return _tidied


@pytest.fixture(scope="package")
def _ledger() -> Iterator[Ledger]:
    with Ledger() as running:
        yield running


@pytest.fixture
def ledger(_ledger: Ledger) -> Ledger:
    """A tool server outside the server under test that has not been called yet."""
    _ledger.calls.clear()
    return _ledger


@pytest.fixture
def another(server: Server, caller: Caller) -> Iterator[Callable[..., Caller]]:
    """Makes callers with keys of their own; takes what `POST /api-keys` takes."""
    clients = []

    def make(**key: object) -> Caller:
        made = caller.post("/api-keys", {"name": unique("key"), "scopes": ["*"], **key})
        client = httpx.Client(base_url=server.url, headers={"Authorization": f"Bearer {made['key']}"}, timeout=30)
        clients.append(client)
        return Caller(client)

    yield make
    for client in clients:
        client.close()
