"""The websocket of a session: every event of its runs, and the commands that a chat needs."""

import asyncio
import logging
from contextlib import ExitStack, aclosing, suppress
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
from accounts.websocket import authenticate_websocket, is_a_try
from core.asgi import client_address, header_map, own_path
from core.counting import one_more_wrong
from core.errors import AppError, BadRequest, Invalid, NotFound, RateLimited, Unauthenticated, Unavailable
from core.ids import new_id, path_id
from core.strict_json import dump_json, parse_json
from core.validation import validate
from runs.accepting import create_run
from runs.announce import tell_accepted, tell_resumed, tell_stopped
from runs.bodies import CancelRun, CreateRun, ResumeRun
from runs.documents import run_document
from runs.events import START, Position, parse_event_id
from runs.follow import follow
from runs.lifecycle import Status
from runs.live import hub
from runs.queries import events_of_session, get_run
from runs.resuming import resume_run
from runs.services import cancel_run
from sessions.queries import get_session

log = logging.getLogger(__name__)

SUBPROTOCOL = "agent-server.v1"
# Larger ones do not come this far (`config.protocols`).
MAX_FRAME_BYTES = 1_048_576
BAD_FRAME, NO_CREDENTIAL, NOT_FOUND, LIMIT = 4400, 4401, 4404, 4429
MAX_REASON = 120  # RFC 6455 has room for 123 bytes
TRY_LATER = 1013  # of the same registry as the next
LEAVING = 1012  # "service restart" (RFC 6455's registry): come back with the last id


class SessionConsumer(AsyncWebsocketConsumer):
    """`/ws/sessions/{id}[?after=<event id>]`: the shapes are in `docs/runs.md`."""

    identity: Identity
    session_id: UUID
    _following: asyncio.Task[None] | None = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        # `disconnect` is not called where something fails.
        with ExitStack() as self._held:
            await super().__call__(scope, receive, send)

    # -- the connection --------------------------------------------------------------------------------------------

    async def connect(self) -> None:
        offered = self.scope.get("subprotocols", [])
        await self.accept(SUBPROTOCOL if SUBPROTOCOL in offered else None)
        try:
            query = _query(self.scope["query_string"])
            headers = header_map(self.scope["headers"])
            self.identity = await authenticate_websocket(
                headers,
                offered,
                query.get("ticket"),
                own_path(self.scope),
                lambda: describe_scope(self.scope, headers),
            )
            self.identity.require("runs:read")
            await acount_request(self.identity)
            self.session_id = path_id(self.scope["url_route"]["kwargs"]["session_id"])
            await get_session(self.identity, self.session_id).arun()
            after = parse_event_id(query["after"], "after") if "after" in query else START
            self._held.callback(await take_stream(self.identity))
        except RateLimited as refused:
            await self.close(LIMIT, refused.detail[:MAX_REASON])
        except Invalid:
            await self.close(BAD_FRAME)
        except NotFound:
            await self.close(NOT_FOUND)
        except Unavailable:
            await self.close(TRY_LATER)
        except Unauthenticated:
            too_often = is_a_try(headers, offered, query.get("ticket")) and one_more_wrong(client_address(self.scope))
            await self.close(LIMIT if too_often else NO_CREDENTIAL)
        except AppError:
            await self.close(NO_CREDENTIAL)
        else:
            self._follow(after)

    async def disconnect(self, code: int) -> None:
        if self._following is not None:
            self._following.cancel()
            with suppress(asyncio.CancelledError):
                await self._following

    # -- what the client says ----------------------------------------------------------------------------------------

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        if self._following is None:
            return  # refused, and about to be closed
        if text_data is None:
            await self.close(BAD_FRAME)
            return
        try:
            command = parse_json(text_data.encode())
        except (BadRequest, UnicodeEncodeError):
            command = None
        if not isinstance(command, dict) or not isinstance(command.get("action"), str):
            await self.close(BAD_FRAME)
            return
        ref = command.pop("ref", None)
        try:
            await acount_request(self.identity)
            data = await self._carry_out(command.pop("action"), command)
        except AppError as error:
            await self._tell({"ref": ref, "ok": False, "error": error.document(self._request_id)})
        except (psycopg.OperationalError, PoolTimeout):
            await self._tell({"ref": ref, "ok": False, "error": Unavailable().document(self._request_id)})
        else:
            await self._tell({"ref": ref, "ok": True, "data": data})

    async def _carry_out(self, action: str, command: dict[str, Any]) -> Any:
        match action:
            case "send":
                return await self._send_run(command)
            case "cancel":
                return await self._cancel(command)
            case "resume":
                return await self._resume(command)
            case "subscribe":
                after = command.pop("after", None)
                _nothing_more(command)
                if after is not None and not isinstance(after, str):
                    raise Invalid.at("after", message="An event id.")
                self._follow(parse_event_id(after, "after") if after else START)
                return {}
            case "ping":
                _nothing_more(command)
                return {}
        raise Invalid.at("action", message="One of: send, resume, cancel, subscribe, ping.")

    async def _send_run(self, command: dict[str, Any]) -> Any:
        self.identity.require("runs:write")
        body = validate(CreateRun, command)
        if body.wait or body.stream:
            raise Invalid.at("stream" if body.stream else "wait", message="Events come over this socket by themselves.")
        run = await create_run(self.identity, self.session_id, body, new_id()).arun()
        await tell_accepted(run)
        return run_document(run)

    async def _cancel(self, command: dict[str, Any]) -> Any:
        self.identity.require("runs:write")
        run_id = await self._own_run(command)
        body = validate(CancelRun, command)
        status = await cancel_run(self.identity, run_id, rollback=body.action == "rollback").arun()
        if status == Status.CANCELLED:
            await tell_stopped([{"id": run_id, "session_id": self.session_id}], [])
        else:
            await tell_stopped([], [run_id])
        return run_document(await get_run(self.identity, run_id).arun())

    async def _resume(self, command: dict[str, Any]) -> Any:
        self.identity.require("runs:write")
        run_id = await self._own_run(command)
        resumed = await resume_run(self.identity, run_id, validate(ResumeRun, command)).arun()
        await tell_resumed(resumed)
        return run_document(await get_run(self.identity, run_id).arun())

    async def _own_run(self, command: dict[str, Any]) -> UUID:
        run_id = path_id(str(command.pop("run_id", None)))
        run = await get_run(self.identity, run_id).arun()
        if run["session_id"] != self.session_id:
            raise NotFound("There is no such run in this session.")
        return run_id

    # -- what it hears -----------------------------------------------------------------------------------------------

    def _follow(self, after: Position) -> None:
        if self._following is not None:
            self._following.cancel()
        self._following = asyncio.create_task(self._pass_on(after))

    async def _pass_on(self, after: Position) -> None:
        session_id, topic = self.session_id, f"session:{self.session_id}"
        with (
            hub().subscribe(str(session_id)) as subscription,
            WATCH.over(self.identity, subscription.hang_up) as watched,
        ):
            events = follow(
                subscription, lambda position, limit: events_of_session(session_id, *position, limit), after
            )
            async with aclosing(events):
                async for event in events:
                    # The server's own websocket pings keep a silent connection open.
                    if event is not None:
                        await self._tell({"topic": topic, **event.frame})
        await self.close(NO_CREDENTIAL if watched.ended else LEAVING)

    async def _tell(self, document: dict[str, Any]) -> None:
        # A client that has left is no failure; `disconnect` follows.
        with suppress(OSError):
            await self.send(text_data=dump_json(document).decode())

    @property
    def _request_id(self) -> str:
        return str(self.scope.get("state", {}).get("request_id", ""))


def _query(raw: bytes) -> dict[str, str]:
    pairs = parse_qsl(raw.decode("latin-1"), keep_blank_values=True)
    query = dict(pairs)
    # A key has no place here: addresses are kept in histories and logs. To ignore it would hide that.
    if len(query) < len(pairs) or query.keys() - {"after", "ticket"}:
        raise Invalid("A websocket's address takes `after` and `ticket`, each once.")
    return query


def _nothing_more(command: dict[str, Any]) -> None:
    for name in command:
        raise Invalid.at(name, message="Unknown field.")
