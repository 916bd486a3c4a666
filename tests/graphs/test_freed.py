"""What runs leave behind: a worker carries out thousands in a minute, and nothing of them waits to be collected."""

import asyncio
import gc
import weakref
from collections.abc import Iterator

import pytest

from runs.worker.execution import Execution
from tests.graphs.hosting import Host
from tests.runs.stage import Stage
from tests.runs.test_durability import Scripted

HELLO = {"messages": [{"type": "human", "content": "hello"}]}


@pytest.fixture(autouse=True)
def _no_collector() -> Iterator[None]:
    gc.disable()
    yield
    gc.enable()


@pytest.mark.parametrize("durability", ["sync", "async", "exit"])
@pytest.mark.parametrize("graph", ["echo", "react", "nested"])
async def test_a_hosted_run_is_freed_with_its_end(host: Host, graph: str, durability: str) -> None:
    await host.accept(graph, HELLO, durability)
    assert await _is_freed(await host.begin())


async def test_a_native_run_is_freed_with_its_end(stage: Stage) -> None:
    await stage.accept("async")
    assert await _is_freed(await stage.begin(Scripted(nothing, nothing)))


async def nothing() -> None:
    """Does nothing."""


async def _is_freed(execution: Execution) -> bool:
    left = weakref.ref(execution)
    ending = asyncio.create_task(execution.carry_out())
    del execution
    await ending
    del ending
    await asyncio.sleep(0)
    return left() is None
