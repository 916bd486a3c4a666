"""Tools: what an assistant can do. To write one, subclass `Tool` and register it
(`tools.registry.register`)."""

from runtime.contract import Tool, ToolContext

__all__ = ["Tool", "ToolContext"]
