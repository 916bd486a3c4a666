"""A history that models take: each tool call followed by its result, and no result without its call."""

from collections.abc import Sequence

from runtime.contract import Message
from runtime.middleware.base import Middleware, Turn


class PatchToolCalls(Middleware):
    """Shows the model a history in which every tool call has a result, whatever came between the two."""

    name = "patch_tool_calls"

    async def before_model(self, turn: Turn) -> None:
        turn.messages = patched(turn.messages)


def patched(messages: list[Message]) -> list[Message]:
    """The messages with a result right after each call that has none, and without results of calls that are not there.

    The same list where nothing is amiss. A model refuses the whole history for one such call.
    """
    if _is_whole(messages):
        return messages
    # A result counts for the last call of its id before it.
    results: dict[tuple[int, str], Message] = {}
    caller: dict[str, int] = {}
    for index, message in enumerate(messages):
        for call in message.tool_calls:
            caller[call.id] = index
        if message.role == "tool" and (asked := caller.get(message.tool_call_id or "")) is not None:
            results.setdefault((asked, message.tool_call_id or ""), message)
    out: list[Message] = []
    for index, message in enumerate(messages):
        if message.role == "tool":
            continue
        out.append(message)
        out += [results.get((index, call.id)) or _cancelled(call.id, call.name) for call in message.tool_calls]
    return out


def _is_whole(messages: Sequence[Message]) -> bool:
    """Whether each message with calls is followed by just their results, and results come nowhere else."""
    awaited: set[str] = set()
    for message in messages:
        if message.role == "tool":
            if message.tool_call_id not in awaited:
                return False
            awaited.discard(message.tool_call_id)
        elif awaited:
            return False
        elif message.tool_calls:
            awaited = {call.id for call in message.tool_calls}
    return not awaited


def _cancelled(call_id: str, name: str) -> Message:
    """The result of a call that got none. Of its call's id only, so that it is the same each time it is shown."""
    return Message(
        id=f"cancelled-{call_id}",
        role="tool",
        content=f"The call of {name} was cancelled: another message came in before it could be completed.",
        tool_call_id=call_id,
        name=name,
    )
