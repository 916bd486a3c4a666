"""An assistant's configuration: its shape, how a change is merged into it, and what makes it wrong in itself.

What depends on the server (a tool, a key variable) is checked in `assistants.validation`.
"""

from assistants.config.assistant import GRAPH, AssistantConfig, CreateAssistant, UpdateOptions
from assistants.config.merging import merged, same
from assistants.config.parsing import Config, parse, parse_update, stored

__all__ = [
    "GRAPH",
    "AssistantConfig",
    "Config",
    "CreateAssistant",
    "UpdateOptions",
    "merged",
    "parse",
    "parse_update",
    "same",
    "stored",
]
