"""What the operator lets an MCP server have: a token of the environment, and a command of this host."""

import os
import shutil
from typing import Any

from runtime.configuration import current
from runtime.errors import MissingSecret
from runtime.providers.access import named_secret
from runtime.secrets import NO_SECRETS, Secrets
from tools.mcp.failure import Broken


def token(server: dict[str, Any], secrets: Secrets = NO_SECRETS) -> str | None:
    """The bearer token for `server`, which may be sent to its URL; None if it wants none. It may be one of `secrets`.

    Raises `Broken`, or `BlockedUrl` for a URL that is never called.
    """
    if server["transport"] != "stdio":
        current().guard.check(server["url"])
    auth = server.get("auth")
    if not auth:
        return None
    reference = auth["token_env"]
    if server["transport"] == "stdio":
        raise Broken(f"a command is sent no token; {reference} is for servers at a URL")
    try:
        return named_secret(reference, server["url"], secrets)
    except MissingSecret as error:
        raise Broken(error.message) from None


def command(server: dict[str, Any]) -> list[str]:
    """The program and arguments that start `server`; raises `Broken` where the operator has not allowed the
    program: whoever may edit an assistant could otherwise run anything on this host."""
    name = server["command"]
    if name not in current().mcp_commands:
        raise Broken("AGENT_SERVER_MCP_COMMANDS does not allow this command")
    program = shutil.which(name)
    if program is None:
        raise Broken("there is no such command on this server")
    return [program, *(server.get("args") or [])]


def surroundings(server: dict[str, Any]) -> dict[str, str]:
    """The environment of a command: what `server` configures and PATH, and so none of this server's secrets."""
    return {**(server.get("env") or {}), "PATH": os.environ.get("PATH", os.defpath)}
