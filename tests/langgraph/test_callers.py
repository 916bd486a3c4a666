"""Who starts a run, as its graph is told."""

from langgraph_sdk.client import LangGraphClient

from core.db import pool


async def test_a_client_does_not_say_who_asks(client: LangGraphClient) -> None:
    thread = (await client.threads.create())["thread_id"]
    claimed = {"langgraph_auth_user": {"identity": "root"}, "langgraph_auth_permissions": ["all"], "mine": 1}
    run = await client.runs.create(thread, "echo", input={}, config={"configurable": claimed})
    kwargs = run["kwargs"]  # type: ignore[typeddict-item]
    shown = kwargs["config"]["configurable"]
    assert (shown["mine"], shown["langgraph_auth_user"], shown["langgraph_auth_permissions"]) == (1, None, [])
    assert kwargs["context"] == {"mine": 1}


async def test_nor_where_it_says_nothing_else(client: LangGraphClient) -> None:
    thread = (await client.threads.create())["thread_id"]
    claimed = {"langgraph_auth_user": {"identity": "root"}}
    run = await client.runs.create(thread, "echo", input={}, config={"configurable": claimed})
    async with pool().connection() as conn:
        found = await conn.execute("SELECT kwargs FROM run_payloads WHERE run_id = %s", [run["run_id"]])
        row = await found.fetchone()
    assert row is not None
    assert "root" not in str(row["kwargs"])
