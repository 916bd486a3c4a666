"""Do these MCP servers answer?"""

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import anyio

from runtime.secrets import NO_SECRETS, Secrets
from tools.mcp.failure import McpFailure, no_answer, sentence

SECONDS = 5.0
MAX_BYTES = 4 * 1024 * 1024
_FAREWELL_S = 1.0


def probe_all(
    servers: Sequence[dict[str, Any]], secrets: Secrets = NO_SECRETS, *, seconds: float = SECONDS
) -> list[str]:
    """What is wrong with each of `servers` (entries of an assistant's `mcp_servers`) in a sentence, or "".

    `secrets` are those that they may name.
    All are asked at the same time, for at most `seconds`, and a second more to end what was started. Blocks:
    not for a thread with a running event loop, nor inside a database transaction.
    """
    if not servers:
        return []
    from tools.mcp import connection  # noqa: F401, PLC0415  (slow, and so before the clock starts)

    loop = asyncio.new_event_loop()
    # A name server that does not answer holds a thread for longer than we wait, so each has one of its own, and
    # unlike `asyncio.run` we do not wait for them.
    loop.set_default_executor(ThreadPoolExecutor(len(servers), thread_name_prefix="mcp-probe"))
    try:
        return loop.run_until_complete(_probe_all(servers, secrets, seconds))
    finally:
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()


async def probe(
    server: dict[str, Any], secrets: Secrets = NO_SECRETS, *, seconds: float = SECONDS, max_bytes: int = MAX_BYTES
) -> str:
    """What is wrong with `server`, or "" where it has listed its tools within `seconds`."""
    from tools.mcp.connection import connect, understanding  # noqa: PLC0415  (slow)

    found = sentence(server, no_answer(seconds))
    with anyio.move_on_after(seconds) as bound:
        try:
            async with connect(server, seconds=seconds, max_bytes=max_bytes, secrets=secrets) as session:
                with understanding():
                    await session.list_tools()
                found = ""
                bound.deadline = min(bound.deadline, anyio.current_time() + _FAREWELL_S)
        except McpFailure as failure:
            # It may have answered, and failed at the farewell.
            found = found and str(failure)
    return found


async def _probe_all(servers: Sequence[dict[str, Any]], secrets: Secrets, seconds: float) -> list[str]:
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(probe(server, secrets, seconds=seconds)) for server in servers]
    return [task.result() for task in tasks]
