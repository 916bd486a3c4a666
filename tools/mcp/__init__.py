"""MCP servers: providers of tools outside this server, which an assistant names in `mcp_servers`."""

from tools.mcp.probe import probe_all

__all__ = ["probe_all"]
