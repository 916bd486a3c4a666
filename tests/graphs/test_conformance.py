"""LangGraph's own tests of checkpointers, all of them."""

from collections.abc import AsyncGenerator

from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.checkpoint.conformance import checkpointer_test, validate

from graphs.saver import Saver
from tests.api import Api


async def test_the_checkpointer_does_all_that_langgraph_asks_of_one(api: Api, async_pool: None) -> None:
    @checkpointer_test(name="Saver")
    async def savers() -> AsyncGenerator[BaseCheckpointSaver[str], None]:
        yield Saver(workspace_id=api.workspace.id, create_threads=True)

    report = await validate(savers)
    assert {name: (result.passed, result.failures) for name, result in report.results.items()} == {
        name: (True, [])
        for name in (
            "put",
            "put_writes",
            "get_tuple",
            "list",
            "delete_thread",
            "delete_for_runs",
            "copy_thread",
            "prune",
        )
    }
    assert sum(result.tests_passed for result in report.results.values()) > 70
