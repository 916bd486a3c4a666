"""Hosted graphs carried out by a worker that is not there: its steps on the test's database."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from runtime.configuration import configure, current
from runtime.langgraph_json import read_config
from tests.graphs import made
from tests.graphs.hosting import GRAPHS, Host
from tests.runs.conftest import async_pool, stage  # noqa: F401  (fixtures)
from tests.runs.stage import Stage


@pytest.fixture(autouse=True)
def _graphs() -> Iterator[None]:
    """This process hosts the examples' graphs, and those of the tests."""
    before = current()
    configure(replace(before, langgraph=read_config("", GRAPHS, Path.cwd())))
    made.done.clear()
    made.reached, made.opened = asyncio.Event(), asyncio.Event()
    yield
    configure(before)


@pytest.fixture
async def host(stage: Stage) -> Host:  # noqa: F811
    return Host(stage)
