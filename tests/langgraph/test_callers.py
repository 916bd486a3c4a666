"""Who starts a run, as its graph is told."""

from langgraph_sdk.client import LangGraphClient


async def test_a_client_does_not_say_who_asks(client: LangGraphClient) -> None:
    thread = (await client.threads.create())["thread_id"]
    claimed = {"langgraph_auth_user": {"identity": "root"}, "langgraph_auth_permissions": ["all"], "mine": 1}
    run = await client.runs.create(thread, "echo", input={}, config={"configurable": claimed})
    kwargs = run["kwargs"]  # type: ignore[typeddict-item]
    shown = kwargs["config"]["configurable"]
    assert (shown["mine"], shown["langgraph_auth_user"], shown["langgraph_auth_permissions"]) == (1, None, [])
    assert kwargs["context"] == {"mine": 1}
