"""The rig of the faults: one cluster for all short cases, the sizes, and the table at the end.

`FAULTS=full` (`make faults`) runs every case at its full size, asserts the targets, too, and writes the table to
`faults.json`.
"""

import os
from collections.abc import Iterator
from typing import TypeVar

import pytest

from tests.faults.figures import Figures, table
from tests.faults.rig import Cluster
from tests.stubs.ledger import Ledger

T = TypeVar("T")
FULL = os.environ.get("FAULTS") == "full"
_FIGURES = Figures(full=FULL)
# There is no setting for it, and 15 seconds of waiting are too many for each run of the tests.
SHORT_LEASE_S = 4
SHORT_PATIENCE_S = 2.0
# Receivers of webhooks that are down are tried again soon, and often enough.
RETRY_S = ",".join(["1"] * 20)


def in_short_form(where: str) -> pytest.MarkDecorator:
    """For a case at its full size only: `where` the suite has it small."""
    return pytest.mark.skipif(not FULL, reason=f"at its full size only; small it is in {where}")


class Scale:
    """How large a case is: `scale(short, full)` gives the one of the two that is asked for."""

    full = FULL

    def __call__(self, short: T, full: T) -> T:
        return full if self.full else short


@pytest.fixture(scope="session")
def scale() -> Scale:
    return Scale()


@pytest.fixture(scope="session")
def figures() -> Figures:
    """`figures.record(...)`: one line of the table."""
    return _FIGURES


@pytest.fixture(scope="session")
def _shared() -> Iterator[Cluster]:
    settings = {"AGENT_SERVER_WEBHOOK_RETRY_SECONDS": RETRY_S}
    if not FULL:
        settings["FAULTS_SLOW_CLIENT_S"] = str(SHORT_PATIENCE_S)
    with Cluster(webs=2, workers=2, lease_s=None if FULL else SHORT_LEASE_S, **settings) as cluster:
        yield cluster


@pytest.fixture
def cluster(_shared: Cluster) -> Cluster:
    """Two webs, two workers and a beat, all of them alive: hurt them as you like, the next case finds them healed."""
    _shared.heal()
    _shared.begin()
    return _shared


@pytest.fixture
def ledger() -> Iterator[Ledger]:
    with Ledger() as running:
        yield running


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.parent.name == "faults":
            item.add_marker(pytest.mark.servers)
            if FULL:
                item.add_marker(pytest.mark.timeout(0), append=False)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if _FIGURES.lines:
        terminalreporter.section("faults")
        terminalreporter.write_line(table(_FIGURES.document()))


def pytest_sessionfinish() -> None:
    if _FIGURES.lines and FULL:
        _FIGURES.write()
