from collections.abc import Iterator

import pytest

from runtime.configuration import configure, current
from tests.stubs.mcp_server import McpStub, answering, hang, redirecting
from tests.tools.mcp_entries import allow


@pytest.fixture
def mcp_settings() -> Iterator[None]:
    """The allow-list opens 127.0.0.1, and no command is allowed."""
    before = current()
    allow()
    yield
    configure(before)


@pytest.fixture(scope="package")
def stub() -> Iterator[McpStub]:
    pages = {"/page": answering(b"<html>", kind=b"text/html"), "/redirect": redirecting("/mcp"), "/hang": hang}
    with McpStub(pages) as running:
        yield running
