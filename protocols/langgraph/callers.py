"""Who comes to this door: callers of this server, and of the deployment's own authentication."""

from collections.abc import Mapping

from accounts.authentication import authenticate_scope
from accounts.credentials import KEY_FORM, aidentify
from accounts.identity import Identity
from core.asgi import Scope
from core.errors import Unauthenticated
from protocols.langgraph import auth

PREFIX = "/langgraph"


async def authenticate(scope: Scope, headers: Mapping[str, str]) -> Identity:
    """The caller of a request below `/langgraph`, or of a websocket's handshake; `headers` by lower-case names.

    A key of this server holds beside the deployment's `Auth`, which is asked for everybody else. Raises as
    `accounts.authentication.authenticate` and `auth.authenticate`.
    """
    if not auth.installed():
        return await authenticate_scope({**scope, "root_path": scope["root_path"].removesuffix(PREFIX)})
    return await _by_key(headers) or await auth.authenticate(scope, headers)


async def _by_key(headers: Mapping[str, str]) -> Identity | None:
    """Whose key of this server is shown; the deployment's own tokens stand in the same headers."""
    method, _, bearer = headers.get("authorization", "").partition(" ")
    for text in (headers.get("x-api-key", ""), bearer.strip() if method.lower() == "bearer" else ""):
        if KEY_FORM.fullmatch(text):
            try:
                return await aidentify(text)
            except Unauthenticated:
                continue
    return None
