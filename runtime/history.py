"""What a history must be so that models take it."""

from collections.abc import Iterable, Sequence

from core.ids import new_id
from runtime.contract import Message


def answers_for_open_calls(messages: Sequence[Message]) -> list[Message]:
    """Answers for the tool calls at the history's end that have none; a model refuses a history with such calls."""
    last = next((i for i in range(len(messages) - 1, -1, -1) if messages[i].role == "assistant"), None)
    if last is None:
        return []
    answered = {message.tool_call_id for message in messages[last + 1 :] if message.role == "tool"}
    return answers_to((call.id, call.name) for call in messages[last].tool_calls if call.id not in answered)


def answers_to(calls: Iterable[tuple[str, str]]) -> list[Message]:
    """An answer for each tool call (`id`, `name`) that is left open."""
    return [
        Message(
            id=str(new_id()),
            role="tool",
            content=f"The call of {name} was cancelled before it ended.",
            tool_call_id=call_id,
            name=name,
        )
        for call_id, name in calls
    ]
