"""The websocket of a thread's events: subscriptions and commands in, events and answers out.

Its address is that of the stream, `/langgraph/threads/{id}/stream/events`. A frame is one JSON document: what comes in
is a command, what goes out is the answer to one, or an event of a subscription.
"""

import asyncio
from contextlib import ExitStack, suppress
from typing import Any
from urllib.parse import parse_qsl
from uuid import UUID

import psycopg
from channels.generic.websocket import AsyncWebsocketConsumer
from psycopg_pool import PoolTimeout

from accounts.authentication import describe_scope
from accounts.identity import Identity
from accounts.rates import acount_request
from accounts.streams import take_stream
from accounts.watch import WATCH
from accounts.websocket import BEARER, authenticate_websocket, is_a_try
from core.asgi import client_address, header_map, own_path, request_id
from core.counting import one_more_wrong
from core.errors import AppError, BadRequest, Forbidden, Invalid, NotFound, RateLimited, Unauthenticated, Unavailable
from core.hot import HotRequest
from core.ids import new_id
from core.strict_json import dump_json, parse_json
from core.validation import Body, validate
from protocols.langgraph import auth
from protocols.langgraph.access import Filters, allow
from protocols.langgraph.callers import PREFIX, authenticate
from protocols.langgraph.reading import thread_of
from protocols.langgraph.v2.commands import CommandError, carried_out, malformed, refused
from protocols.langgraph.v2.filters import Wanted, wanted
from protocols.langgraph.v2.reading import events
from runs.live import hub

SUBPROTOCOL = "agent-server.v1"
# Of one socket. Each reads the thread by itself.
MAX_SUBSCRIPTIONS = 20
# 4000 and the status that the stream would be refused with: JavaScript's client tells by it whether to try again.
NO_CREDENTIAL, FORBIDDEN, NOT_FOUND, INVALID, LIMIT = 4401, 4403, 4404, 4422, 4429
MAX_REASON = 120  # RFC 6455 has room for 123 bytes
TRY_LATER = 1013  # of the same registry as the next
LEAVING = 1012  # "service restart" (RFC 6455's registry): come back and subscribe again


class Unsubscribe(Body):
    """`subscription.unsubscribe`"""

    subscription_id: str


class ThreadConsumer(AsyncWebsocketConsumer):
    """`/langgraph/threads/{id}/stream/events[?ticket=]` as a websocket."""

    identity: Identity
    thread_id: UUID
    _filters: Filters
    _request: HotRequest
    _told = 0  # the last `seq` that went out

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self._subscriptions: dict[str, asyncio.Task[None]] = {}
        self._open = False
        # `disconnect` is not called where something fails.
        with ExitStack() as self._held:
            try:
                await super().__call__(scope, receive, send)
            finally:
                for reading in self._subscriptions.values():
                    reading.cancel()

    # -- the connection --------------------------------------------------------------------------------------------

    async def connect(self) -> None:
        offered = self.scope.get("subprotocols", [])
        headers = header_map(self.scope["headers"])
        ticket = _ticket(self.scope["query_string"])
        await self.accept(SUBPROTOCOL if SUBPROTOCOL in offered else None)
        try:
            self.identity = await self._identify(headers, offered, ticket)
            self.identity.require("runs:read")
            await acount_request(self.identity)
            self._request = self._as_request(headers)
            self.thread_id = thread_of(self._request)
            self._filters = await allow(self._request, "threads", "read", {"thread_id": self.thread_id})
            self._held.callback(await take_stream(self.identity))
        except RateLimited as refusal:
            await self.close(LIMIT, refusal.detail[:MAX_REASON])
        except Invalid as refusal:
            await self.close(INVALID, refusal.detail[:MAX_REASON])
        except NotFound:
            await self.close(NOT_FOUND)
        except Forbidden:
            await self.close(FORBIDDEN)
        except Unavailable:
            await self.close(TRY_LATER)
        except Unauthenticated:
            too_often = is_a_try(headers, offered, ticket) and one_more_wrong(client_address(self.scope))
            await self.close(LIMIT if too_often else NO_CREDENTIAL)
        except AppError:
            await self.close(NO_CREDENTIAL)
        else:
            self._open = True

    async def _identify(self, headers: dict[str, str], offered: list[str], ticket: str | None) -> Identity:
        """Who opens the socket: as for the other websockets, and whom the deployment's own `Auth` knows."""
        if ticket is not None or not auth.installed():
            path = own_path(self.scope)
            return await authenticate_websocket(
                headers, offered, ticket, path, lambda: describe_scope(self.scope, headers)
            )
        shown = next((name.removeprefix(BEARER) for name in offered if name.startswith(BEARER)), None)
        if shown is not None and "authorization" not in headers:
            headers = {**headers, "authorization": f"Bearer {shown}"}
        return await authenticate({**self.scope, "root_path": f"{self.scope.get('root_path', '')}{PREFIX}"}, headers)

    def _as_request(self, headers: dict[str, str]) -> HotRequest:
        """What commands see, as they come over HTTP."""
        return HotRequest(
            method="POST",
            path=own_path(self.scope).removeprefix(PREFIX),
            params={"thread_id": self.scope["url_route"]["kwargs"]["thread_id"]},
            query={},
            headers=headers,
            body=b"",
            identity=self.identity,
            request_id=request_id(self.scope),
        )

    # -- what the client says ----------------------------------------------------------------------------------------

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        if not self._open:
            return  # refused, and about to be closed
        try:
            command = parse_json((text_data or "").encode())
        except (BadRequest, UnicodeEncodeError):
            await self._tell(refused(None, "invalid_argument", "Protocol commands must be valid JSON."))
            return
        if (refusal := malformed(command)) is not None:
            await self._tell(refusal)
            return
        try:
            await acount_request(self.identity)
            await self._carry_out(command)
        except AppError as error:
            await self._tell(refused(command["id"], "unknown_error", error.detail))
        except (psycopg.OperationalError, PoolTimeout):
            await self._tell(refused(command["id"], "unknown_error", Unavailable().detail))

    async def _carry_out(self, command: dict[str, Any]) -> None:
        try:
            match command["method"]:
                case "subscription.subscribe":
                    await self._subscribe(command)
                case "subscription.unsubscribe":
                    await self._unsubscribe(command)
                case _:
                    if command["method"] != "agent.getTree":
                        self.identity.require("runs:write")
                    await self._tell(await carried_out(self._request, command))
        except CommandError as error:
            await self._tell(refused(command["id"], error.code, str(error)))
        except Forbidden as error:
            await self._tell(refused(command["id"], "permission_denied", error.detail))
        except (BadRequest, Invalid) as error:
            await self._tell(refused(command["id"], "invalid_argument", error.detail))

    async def _subscribe(self, command: dict[str, Any]) -> None:
        what = wanted(command.get("params"))
        if len(self._subscriptions) >= MAX_SUBSCRIPTIONS:
            raise CommandError("invalid_argument", f"A socket has at most {MAX_SUBSCRIPTIONS} subscriptions.")
        subscription_id = str(new_id())
        # Its events come after the answer: from the beginning of what is still told, or after `since`.
        await self._succeed(command, {"subscription_id": subscription_id})
        self._subscriptions[subscription_id] = asyncio.create_task(self._pass_on(what))

    async def _unsubscribe(self, command: dict[str, Any]) -> None:
        subscription_id = validate(Unsubscribe, command.get("params")).subscription_id
        reading = self._subscriptions.pop(subscription_id, None)
        if reading is None:
            raise CommandError("no_such_subscription", f"Unknown subscription: {subscription_id}")
        reading.cancel()
        await self._succeed(command, {})

    async def _succeed(self, command: dict[str, Any], result: dict[str, Any]) -> None:
        meta = {"applied_through_seq": self._told}
        await self._tell({"type": "success", "id": command["id"], "result": result, "meta": meta})

    # -- what it hears -----------------------------------------------------------------------------------------------

    async def _pass_on(self, what: Wanted) -> None:
        with (
            hub().subscribe(str(self.thread_id)) as subscription,
            WATCH.over(self.identity, subscription.hang_up) as watched,
        ):
            async for event in events(subscription, self.identity, self.thread_id, self._filters, what):
                # The server's own websocket pings keep a silent connection open.
                if event is not None:
                    self._told = max(self._told, event["seq"])
                    await self._tell(event)
        await self.close(NO_CREDENTIAL if watched.ended else LEAVING)

    async def _tell(self, document: dict[str, Any]) -> None:
        # A client that has left is no failure; the end of the connection follows.
        with suppress(OSError):
            await self.send(text_data=dump_json(document).decode())


def _ticket(query: bytes) -> str | None:
    """The ticket in the address. A key has no place there: addresses are kept in histories and logs."""
    return dict(parse_qsl(query.decode("latin-1"))).get("ticket")
