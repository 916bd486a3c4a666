"""What the websockets of a session's events have in common: how they open, are refused, count commands and end."""

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import ExitStack, aclosing, asynccontextmanager, suppress
from typing import Any, ClassVar
from uuid import UUID

import psycopg
from channels.generic.websocket import AsyncWebsocketConsumer
from psycopg_pool import PoolTimeout

from accounts.authentication import describe_scope
from accounts.identity import Identity
from accounts.rates import acount_request
from accounts.streams import take_stream
from accounts.watch import WATCH
from accounts.websocket import authenticate_websocket, is_a_try
from core.asgi import client_address, header_map, own_path
from core.counting import one_more_wrong
from core.errors import AppError, Invalid, NotFound, RateLimited, Unauthenticated, Unavailable
from core.strict_json import dump_json
from runs.live import Subscription, hub

SUBPROTOCOL = "agent-server.v1"
# Larger ones do not come this far (`config.protocols`).
MAX_FRAME_BYTES = 1_048_576
NO_CREDENTIAL, NOT_FOUND, LIMIT = 4401, 4404, 4429
MAX_REASON = 120  # RFC 6455 has room for 123 bytes
TRY_LATER = 1013  # of the same registry as the next
LEAVING = 1012  # "service restart" (RFC 6455's registry): come back and go on after what was heard last


class Socket(AsyncWebsocketConsumer):
    """A websocket of somebody who may read runs, and holds one of the streams that they may have at once.

    A refusal is told by the closing code, since browsers show nothing of a handshake that fails: so the connection is
    accepted first.
    """

    # The codes of refusals; all others are NO_CREDENTIAL.
    codes: ClassVar[Mapping[type[AppError], int]] = {
        RateLimited: LIMIT,
        NotFound: NOT_FOUND,
        Unavailable: TRY_LATER,
    }

    identity: Identity
    headers: dict[str, str]
    # The subprotocols that the client offers; one of them may be its key.
    offered: list[str]
    # What stands in the address.
    query: dict[str, str]
    is_open = False

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        # `disconnect` is not called where something fails.
        with ExitStack() as self.held:
            await super().__call__(scope, receive, send)

    # -- for each kind -----------------------------------------------------------------------------------------------

    def parse(self, query: str) -> dict[str, str]:
        """What stands in the address, its `ticket` among it. Raises Invalid."""
        raise NotImplementedError

    async def identify(self) -> Identity:
        """Who opens the socket. Raises what a request is refused with."""
        ticket, path = self.query.get("ticket"), own_path(self.scope)
        return await authenticate_websocket(
            self.headers, self.offered, ticket, path, lambda: describe_scope(self.scope, self.headers)
        )

    async def enter(self) -> None:
        """Find what the socket is about. Raises what it is refused with."""
        raise NotImplementedError

    async def begin(self) -> None:
        """What is told without being asked for, if anything."""

    # -- the connection ----------------------------------------------------------------------------------------------

    async def connect(self) -> None:
        self.headers, self.query = header_map(self.scope["headers"]), {}
        self.offered = self.scope.get("subprotocols", [])
        await self.accept(SUBPROTOCOL if SUBPROTOCOL in self.offered else None)
        try:
            self.query = self.parse(self.scope["query_string"].decode("latin-1"))
            self.identity = await self.identify()
            self.identity.require("runs:read")
            await acount_request(self.identity)
            await self.enter()
            self.held.callback(await take_stream(self.identity))
        except Unauthenticated:
            tried = is_a_try(self.headers, self.offered, self.query.get("ticket"))
            await self.close(LIMIT if tried and one_more_wrong(client_address(self.scope)) else NO_CREDENTIAL)
        except AppError as refusal:
            code = next((self.codes[kind] for kind in type(refusal).__mro__ if kind in self.codes), NO_CREDENTIAL)
            reason = refusal.detail[:MAX_REASON] if isinstance(refusal, RateLimited | Invalid) else None
            await self.close(code, reason)
        else:
            self.is_open = True
            await self.begin()

    @asynccontextmanager
    async def counted(self) -> AsyncIterator[None]:
        """Carry out a command, which counts as a request does. Raises AppError for all that it may be refused with."""
        try:
            await acount_request(self.identity)
            yield
        except (psycopg.OperationalError, PoolTimeout) as fault:
            raise Unavailable from fault

    async def pass_on(
        self,
        session_id: UUID,
        documents: Callable[[Subscription], AsyncGenerator[dict[str, Any] | None, None]],
    ) -> None:
        """Tell what `documents` makes of the session's events, to the end of the credential or of this process."""
        with (
            hub().subscribe(str(session_id)) as subscription,
            WATCH.over(self.identity, subscription.hang_up) as watched,
        ):
            async with aclosing(documents(subscription)) as found:
                async for document in found:
                    # The server's own websocket pings keep a silent connection open.
                    if document is not None:
                        await self.tell(document)
        await self.close(NO_CREDENTIAL if watched.ended else LEAVING)

    async def tell(self, document: dict[str, Any]) -> None:
        # A client that has left is no failure; the end of the connection follows.
        with suppress(OSError):
            await self.send(text_data=dump_json(document).decode())
