"""Who is meant by a `CancelledError`."""

import asyncio


def is_to_stop() -> bool:
    """Whether the task that asks is cancelled, and not just something that it awaits."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
