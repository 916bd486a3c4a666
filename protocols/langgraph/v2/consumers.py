"""The websocket of a thread's events: subscriptions and commands in, events and answers out.

Its address is that of the stream, `/langgraph/threads/{id}/stream/events`. A frame is one JSON document: what comes in
is a command, what goes out is the answer to one, or an event of a subscription.
"""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from typing import Any, ClassVar
from urllib.parse import parse_qsl
from uuid import UUID

from accounts.identity import Identity
from accounts.websocket import BEARER
from core.asgi import own_path, request_id
from core.errors import AppError, BadRequest, Forbidden, Invalid
from core.hot import HotRequest
from core.ids import new_id
from core.strict_json import parse_json
from core.validation import Body, validate
from protocols.langgraph import auth
from protocols.langgraph.access import Filters, allow
from protocols.langgraph.callers import PREFIX, authenticate
from protocols.langgraph.reading import thread_of
from protocols.langgraph.v2.commands import CommandError, carried_out, malformed, refused
from protocols.langgraph.v2.filters import Wanted, wanted
from protocols.langgraph.v2.reading import events
from runs.live import Subscription
from runs.sockets import Socket

# Of one socket. Each reads the thread by itself.
MAX_SUBSCRIPTIONS = 20
# 4000 and the status that the stream would be refused with: JavaScript's client tells by it whether to try again.
FORBIDDEN, INVALID = 4403, 4422


class Unsubscribe(Body):
    """`subscription.unsubscribe`"""

    subscription_id: str


class ThreadConsumer(Socket):
    """`/langgraph/threads/{id}/stream/events[?ticket=]` as a websocket."""

    codes: ClassVar[Mapping[type[AppError], int]] = {**Socket.codes, Forbidden: FORBIDDEN, Invalid: INVALID}

    thread_id: UUID
    _filters: Filters
    _request: HotRequest
    _subscriptions: dict[str, asyncio.Task[None]]
    _told = 0  # the last `seq` that went out

    # -- the connection --------------------------------------------------------------------------------------------

    def parse(self, query: str) -> dict[str, str]:
        """Its ticket alone is looked at. A key has no place there: addresses are kept in histories and logs."""
        return dict(parse_qsl(query))

    async def identify(self) -> Identity:
        """As for the other websockets, and whom the deployment's own `Auth` knows."""
        if "ticket" in self.query or not auth.installed():
            return await super().identify()
        headers, scope = self.headers, self.scope
        shown = next((name.removeprefix(BEARER) for name in self.offered if name.startswith(BEARER)), None)
        if shown is not None and "authorization" not in headers:
            headers = {**headers, "authorization": f"Bearer {shown}"}
        return await authenticate({**scope, "root_path": f"{scope.get('root_path', '')}{PREFIX}"}, headers)

    async def enter(self) -> None:
        self._subscriptions = {}
        self.held.callback(self._unsubscribe_all)
        self._request = self._as_request()
        self.thread_id = thread_of(self._request)
        self._filters = await allow(self._request, "threads", "read", {"thread_id": self.thread_id})

    def _as_request(self) -> HotRequest:
        """What commands see, as they come over HTTP."""
        return HotRequest(
            method="POST",
            path=own_path(self.scope).removeprefix(PREFIX),
            params={"thread_id": self.scope["url_route"]["kwargs"]["thread_id"]},
            query={},
            headers=self.headers,
            body=b"",
            identity=self.identity,
            request_id=request_id(self.scope),
        )

    # -- what the client says ----------------------------------------------------------------------------------------

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        if not self.is_open:
            return  # refused, and about to be closed
        try:
            command = parse_json((text_data or "").encode())
        except (BadRequest, UnicodeEncodeError):
            await self.tell(refused(None, "invalid_argument", "Protocol commands must be valid JSON."))
            return
        if (refusal := malformed(command)) is not None:
            await self.tell(refusal)
            return
        try:
            async with self.counted():
                await self._carry_out(command)
        except AppError as error:
            await self.tell(refused(command["id"], "unknown_error", error.detail))

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
                    await self.tell(await carried_out(self._request, command))
        except CommandError as error:
            await self.tell(refused(command["id"], error.code, str(error)))
        except Forbidden as error:
            await self.tell(refused(command["id"], "permission_denied", error.detail))
        except (BadRequest, Invalid) as error:
            await self.tell(refused(command["id"], "invalid_argument", error.detail))

    async def _subscribe(self, command: dict[str, Any]) -> None:
        what = wanted(command.get("params"))
        if len(self._subscriptions) >= MAX_SUBSCRIPTIONS:
            raise CommandError("invalid_argument", f"A socket has at most {MAX_SUBSCRIPTIONS} subscriptions.")
        subscription_id = str(new_id())
        # Its events come after the answer: from the beginning of what is still told, or after `since`.
        await self._succeed(command, {"subscription_id": subscription_id})
        self._subscriptions[subscription_id] = asyncio.create_task(
            self.pass_on(self.thread_id, lambda subscription: self._events(subscription, what))
        )

    async def _unsubscribe(self, command: dict[str, Any]) -> None:
        subscription_id = validate(Unsubscribe, command.get("params")).subscription_id
        reading = self._subscriptions.pop(subscription_id, None)
        if reading is None:
            raise CommandError("no_such_subscription", f"Unknown subscription: {subscription_id}")
        reading.cancel()
        await self._succeed(command, {})

    def _unsubscribe_all(self) -> None:
        for reading in self._subscriptions.values():
            reading.cancel()

    async def _succeed(self, command: dict[str, Any], result: dict[str, Any]) -> None:
        meta = {"applied_through_seq": self._told}
        await self.tell({"type": "success", "id": command["id"], "result": result, "meta": meta})

    # -- what it hears -----------------------------------------------------------------------------------------------

    async def _events(self, subscription: Subscription, what: Wanted) -> AsyncGenerator[dict[str, Any] | None, None]:
        async for event in events(subscription, self.identity, self.thread_id, self._filters, what):
            if event is not None:
                self._told = max(self._told, event["seq"])
            yield event
