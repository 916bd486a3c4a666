"""The keys under which a message's metadata remembers what the contract has no field for."""

REASONING = "reasoning"
STATUS = "status"
UNREADABLE_CALLS = "unreadable_tool_calls"
# A message in the user's place that the agent itself wrote for its model.
ASKED_AGAIN = "asked_again"
# What a model is shown in place of the content.
FOR_MODEL = "for_model"
