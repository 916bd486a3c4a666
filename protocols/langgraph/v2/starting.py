"""Runs that commands start."""

from typing import Any
from uuid import UUID

from core.db import Row
from core.hot import HotRequest

# What the channels of protocol v2 are made of.
MODES = ["values", "updates", "messages-tuple", "tasks", "tools", "custom"]


async def start_run(request: HotRequest, thread_id: UUID, run: dict[str, Any]) -> Row:
    raise NotImplementedError
