"""What a message's metadata remembers that the contract has no field for, by its keys."""

REASONING = "reasoning"
STATUS = "status"
UNREADABLE_CALLS = "unreadable_tool_calls"
