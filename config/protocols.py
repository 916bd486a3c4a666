"""HTTP and websockets as uvicorn speaks them, with bounds on what a client may have us hold and wait for.

What arrives is bounded here as far as the application never sees it: heads, the frame around a body's chunks, requests
sent in advance, pieces of a message. Bodies are measured by `core.edge`. Read beside uvicorn 0.54.
"""

import asyncio
import logging
from enum import Enum
from typing import Any

from django.conf import settings
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import CloseCode, Frame
from websockets.server import ServerProtocol

from config.slow_clients import PARTING_S, LettingGo, Patience, abort, bound_unsent
from core.asgi import SECURITY_HEADERS, request_id
from core.edge import LARGEST_HEAD, HeadTooLarge
from core.errors import AppError, BadRequest
from core.strict_json import dump_json

log = logging.getLogger(__name__)

TOO_SLOW, TOO_LARGE = 4408, 4413
# Requests that were sent while an earlier one is answered. Browsers send none in advance.
WAITING_REQUESTS = 64
# Each piece of a message costs more than its bytes; libraries that cut messages use pieces of some kilobytes.
PIECES = 1_024


class TooLate(BadRequest):
    """The request did not arrive in time."""

    status = 408


class _Place(Enum):
    """Where in a request the next byte belongs."""

    BETWEEN, HEAD, BODY = range(3)


class HttpProtocol(LettingGo, HttpToolsProtocol):
    """HTTP whose clients must send and take in bounded time.

    A head has `HEAD_TIMEOUT_S` to arrive, also the first one of a connection, and a body `BODY_TIMEOUT_S`; who takes
    longer is answered 408. `SLOW_CLIENT_S` is for what is sent to the client.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._place = _Place.BETWEEN
        self._messages = 0
        # Bytes of a head, or of a body's frame, of which nothing has become yet.
        self._unclaimed = 0
        self._arrival = Patience()
        self._awaited = _Place.BETWEEN

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        bound_unsent(transport)
        self._await(_Place.HEAD)

    def connection_lost(self, exc: Exception | None) -> None:
        self._arrival.end()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        messages = self._messages
        self._unclaimed += len(data)
        super().data_received(data)
        if self._parted or self.transport.is_closing() or self.transport.get_protocol() is not self:
            self._arrival.end()
        elif self._place is _Place.BETWEEN and self._messages != messages:
            self._unclaimed = 0
            self._arrival.end()
        elif self._unclaimed > LARGEST_HEAD:
            self._refuse(HeadTooLarge())
        else:
            self._await(self._place)

    # -- where we are ------------------------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        self._place, self._unclaimed = _Place.HEAD, 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        if len(self.pipeline) >= WAITING_REQUESTS:
            raise BadRequest  # which uvicorn takes for a request that cannot be read
        self._place, self._unclaimed = _Place.BODY, 0
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._unclaimed = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._place = _Place.BETWEEN
        self._messages += 1
        super().on_message_complete()

    def handle_websocket_upgrade(self) -> None:
        self._arrival.end()
        super().handle_websocket_upgrade()

    # -- what is too much --------------------------------------------------------------------------------------------

    def _await(self, place: _Place) -> None:
        """Wait for the end of a head or body. Bytes between requests begin none, and are awaited like a head."""
        if (place is _Place.BODY) != (self._awaited is _Place.BODY):
            self._arrival.end()
        self._awaited = place
        seconds = settings.BODY_TIMEOUT_S if place is _Place.BODY else settings.HEAD_TIMEOUT_S
        self._arrival.begin(seconds, self._too_late)

    def _too_late(self) -> None:
        if self._earlier_one_is_answered():
            # Not read while that lasts, or not to be cut: it is the client's turn afterwards.
            self._await(self._place)
        elif self._place is _Place.BETWEEN:
            self.transport.close()
        else:
            part = "body" if self._place is _Place.BODY else "head"
            seconds = settings.BODY_TIMEOUT_S if self._place is _Place.BODY else settings.HEAD_TIMEOUT_S
            self._refuse(TooLate(f"The {part} of the request did not arrive within {seconds:g} s."))

    def _earlier_one_is_answered(self) -> bool:
        """Whether an answer is under way that is not that of the request which arrives."""
        if self.pipeline:
            return True
        return self._place is not _Place.BODY and self.cycle is not None and not self.cycle.response_complete

    def send_400_response(self, msg: str) -> None:
        self._refuse(BadRequest("This is not a request that can be read."))

    def _refuse(self, error: AppError) -> None:
        """Answer what arrives with this error, unless it has an answer, and end the connection."""
        self._arrival.end()
        cycle = self.cycle
        if self._place is _Place.BODY and cycle is not None:
            if cycle.response_started or self.pipeline:
                abort(self.transport)
                return
            cycle.disconnected = True
            cycle.message_event.set()
        elif self._earlier_one_is_answered():
            # That is the last one here. The rest is not heard.
            cycle.keep_alive = False
            self._parted = True
            return
        self._part(_whole_answer(error))

    def _give_up(self) -> None:
        log.info("A client is too slow; its connection is ended.")
        abort(self.transport)


def _whole_answer(error: AppError) -> bytes:
    identifier = request_id({})
    body = dump_json(error.document(identifier))
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % len(body)),
        (b"connection", b"close"),
        (b"x-request-id", identifier.encode()),
        *SECURITY_HEADERS,
    ]
    return b"".join([STATUS_LINE[error.status], *(b"%b: %b\r\n" % header for header in headers), b"\r\n", body])


class _Conversation(ServerProtocol):
    """A websocket's protocol that names our own close code for a message that is too large."""

    def fail(self, code: CloseCode | int, reason: str = "") -> None:
        super().fail(TOO_LARGE if code == CloseCode.MESSAGE_TOO_BIG else code, reason)


class WebSocketProtocol(LettingGo, WebSocketsSansIOProtocol):
    """Websockets with bounds.

    A message above uvicorn's `ws_max_size`, or in more than `PIECES` pieces, closes the socket with 4413; the rest of
    it is not read. A client that has taken nothing for `SLOW_CLIENT_S` seconds is closed with 4408, and nothing more
    is read from it while it takes nothing: answers to its pings would pile up.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # No extensions: a compressed message of a kilobyte may be a megabyte, and a thousand of them arrive at once.
        self.conn = _Conversation(max_size=self.config.ws_max_size, logger=logging.getLogger("uvicorn.error"))

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        # What comes first is a whole head (`HttpProtocol`). The library reads shorter lines and fewer headers than we
        # do; of what it cannot read it tells nobody, and the connection would stay.
        if not self.handshake_initiated and not self._parted:
            self._part(_whole_answer(BadRequest("This is not a handshake that can be read.")))

    def pause_writing(self) -> None:
        super().pause_writing()
        self.transport.pause_reading()

    def resume_writing(self) -> None:
        super().resume_writing()
        if not self.read_paused:
            self.transport.resume_reading()

    async def receive(self) -> Any:
        message = await super().receive()
        if not self.writable.is_set():
            self.transport.pause_reading()
        return message

    def handle_cont(self, event: Frame) -> None:
        if self.close_sent:
            return
        if len(self.frames) >= PIECES:
            self.conn.fail(TOO_LARGE, "too many pieces")
            self.handle_parser_exception()
            return
        super().handle_cont(event)

    def handle_parser_exception(self) -> None:
        """The client does not speak the protocol, or too much of it: tell it the code, and hear no more."""
        if self.close_sent:
            return
        assert self.conn.close_sent is not None
        code, reason = self.conn.close_sent.code, self.conn.close_sent.reason
        self.stop_keepalive()
        self.queue.put_nowait({"type": "websocket.disconnect", "code": code, "reason": reason})
        self.frames = []
        self.close_sent = True
        # While there is one, uvicorn does not close when the application has returned.
        self.close_timer = self.loop.call_later(PARTING_S, abort, self.transport)
        self._part(b"".join(self.conn.data_to_send()))

    def _give_up(self) -> None:
        if self.close_sent or not self.handshake_complete:
            abort(self.transport)
            return
        log.info("A websocket's client is too slow; it is closed.")
        self.stop_keepalive()
        # It stands behind what the client has not taken yet, so it has some time to come to it.
        self.conn.send_close(TOO_SLOW, "too slow")
        self.transport.write(b"".join(self.conn.data_to_send()))
        self.close_sent = True
        self.close_timer = self.loop.call_later(self.close_timeout, abort, self.transport)
        self.queue.put_nowait({"type": "websocket.disconnect", "code": TOO_SLOW, "reason": "too slow"})
