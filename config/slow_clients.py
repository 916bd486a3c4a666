"""Connections whose clients do not take what is sent to them: they are let go, so that they do not pile up.

A client that was let go loses nothing: streams and sockets are taken up again after the last event that it has.
Here and not in the application, because only the transport knows that it is stuck, and can be ended while it is.
"""

import asyncio
import logging
import socket
import struct
from collections.abc import Callable
from typing import Any

from django.conf import settings
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

log = logging.getLogger(__name__)

TOO_SLOW = 4408
# What the kernel may hold of a connection before it is sent. The default grows to some megabytes for a slow client.
UNSENT_BYTES = 32_768


# On, with no time: what is unsent is thrown away with the connection. The kernel would go on offering it for minutes.
_NO_LINGERING = struct.pack("ii", 1, 0)


def _bound_unsent(transport: asyncio.BaseTransport) -> None:
    plug = transport.get_extra_info("socket")
    if plug is not None and plug.family in {socket.AF_INET, socket.AF_INET6}:
        plug.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT_BYTES)


def _abort(transport: asyncio.Transport) -> None:
    # Not closed: that would wait until what is buffered has been taken.
    if not transport.is_closing() and (plug := transport.get_extra_info("socket")) is not None:
        plug.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGERING)
    transport.abort()


class _Patience:
    """Counts for how long a transport has been stuck, and then calls `give_up`."""

    def __init__(self) -> None:
        self._timer: asyncio.TimerHandle | None = None

    def begin(self, give_up: Callable[[], None]) -> None:
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(settings.SLOW_CLIENT_S, give_up)

    def end(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class _LettingGo(asyncio.Protocol):
    """Before a protocol of uvicorn: calls `_give_up` once its client has taken nothing for too long."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._patience = _Patience()

    def connection_lost(self, exc: Exception | None) -> None:
        self._patience.end()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._patience.begin(self._give_up)

    def resume_writing(self) -> None:
        self._patience.end()
        super().resume_writing()

    def _give_up(self) -> None:
        raise NotImplementedError


class HttpProtocol(_LettingGo, HttpToolsProtocol):
    """HTTP that lets a client go which has not taken what is buffered for it for `SLOW_CLIENT_S` seconds."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        _bound_unsent(transport)

    def _give_up(self) -> None:
        log.info("A client is too slow; its connection is ended.")
        _abort(self.transport)


class WebSocketProtocol(_LettingGo, WebSocketsSansIOProtocol):
    """Websockets that are closed with 4408 where the client has taken nothing for `SLOW_CLIENT_S` seconds."""

    def _give_up(self) -> None:
        if self.close_sent or not self.handshake_complete:
            _abort(self.transport)
            return
        log.info("A websocket's client is too slow; it is closed.")
        self.stop_keepalive()
        # It stands behind what the client has not taken yet, so it has some time to come to it.
        self.conn.send_close(TOO_SLOW, "too slow")
        self.transport.write(b"".join(self.conn.data_to_send()))
        self.close_sent = True
        self.close_timer = self.loop.call_later(self.close_timeout, _abort, self.transport)
        self.queue.put_nowait({"type": "websocket.disconnect", "code": TOO_SLOW, "reason": "too slow"})
