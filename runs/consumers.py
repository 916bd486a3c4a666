"""The websocket of a session: every event of its runs, and the commands that a chat needs."""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing, suppress
from typing import Any, ClassVar
from urllib.parse import parse_qsl
from uuid import UUID

from core.errors import AppError, BadRequest, Invalid, NotFound
from core.ids import new_id, path_id
from core.strict_json import parse_json
from core.validation import validate
from runs.accepting import create_run
from runs.announce import tell_accepted, tell_resumed, tell_stopped
from runs.bodies import CancelRun, CreateRun, ResumeRun
from runs.documents import run_document
from runs.events import START, Position, parse_event_id
from runs.follow import follow
from runs.lifecycle import Status
from runs.live import Subscription
from runs.queries import events_of_session, get_run
from runs.resuming import resume_run
from runs.services import cancel_run
from runs.sockets import Socket
from sessions.queries import get_session

BAD_FRAME = 4400


class SessionConsumer(Socket):
    """`/ws/sessions/{id}[?after=<event id>]`: the shapes are in `docs/runs.md`."""

    codes: ClassVar[Mapping[type[AppError], int]] = {**Socket.codes, Invalid: BAD_FRAME}

    session_id: UUID
    _after: Position
    _following: asyncio.Task[None] | None = None

    # -- the connection --------------------------------------------------------------------------------------------

    def parse(self, query: str) -> dict[str, str]:
        pairs = parse_qsl(query, keep_blank_values=True)
        found = dict(pairs)
        # A key has no place here: addresses are kept in histories and logs. To ignore it would hide that.
        if len(found) < len(pairs) or found.keys() - {"after", "ticket"}:
            raise Invalid("A websocket's address takes `after` and `ticket`, each once.")
        return found

    async def enter(self) -> None:
        self.session_id = path_id(self.scope["url_route"]["kwargs"]["session_id"])
        await get_session(self.identity, self.session_id).arun()
        self._after = parse_event_id(self.query["after"], "after") if "after" in self.query else START

    async def begin(self) -> None:
        self._follow(self._after)

    async def disconnect(self, code: int) -> None:
        if self._following is not None:
            self._following.cancel()
            with suppress(asyncio.CancelledError):
                await self._following

    # -- what the client says ----------------------------------------------------------------------------------------

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        if not self.is_open:
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
            async with self.counted():
                data = await self._carry_out(command.pop("action"), command)
        except AppError as error:
            await self.tell({"ref": ref, "ok": False, "error": error.document(self._request_id)})
        else:
            await self.tell({"ref": ref, "ok": True, "data": data})

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
        self._following = asyncio.create_task(
            self.pass_on(self.session_id, lambda subscription: self._frames(subscription, after))
        )

    async def _frames(self, subscription: Subscription, after: Position) -> AsyncGenerator[dict[str, Any] | None, None]:
        session_id, topic = self.session_id, f"session:{self.session_id}"
        events = follow(subscription, lambda position, limit: events_of_session(session_id, *position, limit), after)
        async with aclosing(events):
            async for event in events:
                yield None if event is None else {"topic": topic, **event.frame}

    @property
    def _request_id(self) -> str:
        return str(self.scope.get("state", {}).get("request_id", ""))


def _nothing_more(command: dict[str, Any]) -> None:
    for name in command:
        raise Invalid.at(name, message="Unknown field.")
