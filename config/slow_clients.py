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

log = logging.getLogger(__name__)

# What the kernel may hold of a connection before it is sent. The default grows to some megabytes for a slow client.
UNSENT_BYTES = 32_768
# A client that is still sending would lose the last answer to a reset, so what it sends is dropped for this long.
PARTING_S = 2.0

# On, with no time: what is unsent is thrown away with the connection. The kernel would go on offering it for minutes.
_NO_LINGERING = struct.pack("ii", 1, 0)


def bound_unsent(transport: asyncio.BaseTransport) -> None:
    """Let the kernel hold little that was not sent yet, so that it shows soon that nothing is taken."""
    plug = transport.get_extra_info("socket")
    if plug is not None and plug.family in {socket.AF_INET, socket.AF_INET6}:
        plug.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT_BYTES)


def abort(transport: asyncio.Transport) -> None:
    """End a connection now. Closing it would wait until what is buffered has been taken."""
    if not transport.is_closing() and (plug := transport.get_extra_info("socket")) is not None:
        plug.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGERING)
    transport.abort()


class Patience:
    """Waits for something, and calls `give_up` when it has not come for `seconds`."""

    __slots__ = ("_timer",)

    def __init__(self) -> None:
        self._timer: asyncio.TimerHandle | None = None

    def begin(self, seconds: float, give_up: Callable[[], None]) -> None:
        """Begin to wait, or go on waiting as before."""
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(seconds, self._over, give_up)

    def end(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _over(self, give_up: Callable[[], None]) -> None:
        self._timer = None
        give_up()


class LettingGo(asyncio.Protocol):
    """Before a protocol of uvicorn: calls `_give_up` once its client has taken nothing for `SLOW_CLIENT_S` seconds."""

    transport: asyncio.Transport

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._patience = Patience()
        self._parting = Patience()
        self._parted = False

    def connection_lost(self, exc: Exception | None) -> None:
        self._patience.end()
        self._parting.end()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._patience.begin(settings.SLOW_CLIENT_S, self._give_up)

    def resume_writing(self) -> None:
        self._patience.end()
        super().resume_writing()

    def data_received(self, data: bytes) -> None:
        if not self._parted:
            super().data_received(data)

    def _part(self, last_words: bytes) -> None:
        """Say this, hear nothing more, and end the connection when the client does, or soon."""
        self._parted = True
        self.transport.write(last_words)
        self.transport.write_eof()
        # What was paused would never end: the client's own end is only seen by who reads.
        self.transport.resume_reading()
        self._parting.begin(PARTING_S, lambda: abort(self.transport))

    def _give_up(self) -> None:
        raise NotImplementedError
