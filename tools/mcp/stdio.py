"""An MCP server as a process of this host, spoken with over its standard input and output.

The library's own way passes on more of the environment, reads lines of any length, and takes many seconds to end
a process that does not want to.
"""

import asyncio
import os
import signal
import subprocess
from asyncio import StreamReader, StreamReaderProtocol, StreamWriter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing, suppress

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from mcp.shared.message import SessionMessage
from mcp_types import jsonrpc_message_adapter
from pydantic import ValidationError

from tools.mcp.failure import Broken, Wire

# How long a process may take to leave once its input has ended, before it is killed with all that it started.
_GRACE_S = 0.5

Process = subprocess.Popen[bytes]
Incoming = MemoryObjectSendStream[SessionMessage | Exception]
Received = MemoryObjectReceiveStream[SessionMessage | Exception]
Outgoing = MemoryObjectReceiveStream[SessionMessage]
Sent = MemoryObjectSendStream[SessionMessage]


@asynccontextmanager
async def process_streams(
    command: list[str], environment: dict[str, str], wire: Wire, *, max_bytes: int
) -> AsyncIterator[tuple[Received, Sent]]:
    """Start `command` and give what a session reads from and writes to; the process ends with the context.

    `max_bytes` bounds each message. When the process falls silent for good, `wire` has the reason and the
    streams end. Raises `Broken` where it cannot be started.
    """
    process = _start(command, environment)
    try:
        async with _pipes(process, max_bytes) as (reader, writer):
            incoming, received = anyio.create_memory_object_stream[SessionMessage | Exception](0)
            sent, outgoing = anyio.create_memory_object_stream[SessionMessage](0)
            async with incoming, received, sent, outgoing, anyio.create_task_group() as tasks:
                tasks.start_soon(_read, reader, incoming, wire)
                tasks.start_soon(_write, writer, outgoing)
                yield received, sent
                tasks.cancel_scope.cancel()
    finally:
        with anyio.CancelScope(shield=True):
            await _end(process)


def _start(command: list[str], environment: dict[str, str]) -> Process:
    try:
        return subprocess.Popen(  # noqa: S603  (the operator allowed it)
            command,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            # A group of its own, so that what it starts can be killed with it.
            start_new_session=True,
        )
    except OSError as error:
        raise Broken(str(error.strerror)) from None
    except ValueError as error:
        raise Broken(str(error)) from None


@asynccontextmanager
async def _pipes(process: Process, max_bytes: int) -> AsyncIterator[tuple[StreamReader, StreamWriter]]:
    loop = asyncio.get_running_loop()
    reader = StreamReader(limit=max_bytes)
    incoming, _ = await loop.connect_read_pipe(lambda: StreamReaderProtocol(reader), process.stdout)
    with closing(incoming):
        outgoing, protocol = await loop.connect_write_pipe(lambda: StreamReaderProtocol(StreamReader()), process.stdin)
        with closing(outgoing):
            yield reader, StreamWriter(outgoing, protocol, None, loop)


async def _read(reader: StreamReader, incoming: Incoming, wire: Wire) -> None:
    async with incoming:
        with suppress(anyio.BrokenResourceError, anyio.ClosedResourceError):  # the session is gone
            while line := await _line(reader, wire):
                # What is no message is a banner or a log line that went astray.
                with suppress(ValidationError):
                    await incoming.send(SessionMessage(jsonrpc_message_adapter.validate_json(line, by_name=False)))


async def _line(reader: StreamReader, wire: Wire) -> bytes:
    try:
        line = await reader.readline()
    except ValueError:
        wire.failure = "its answer is too long"
        return b""
    if not line:
        wire.failure = "it has ended"
    return line


async def _write(writer: StreamWriter, outgoing: Outgoing) -> None:
    async with outgoing:
        with suppress(ConnectionError):  # the process is gone, which the reader tells
            async for message in outgoing:
                writer.write(message.message.model_dump_json(by_alias=True, exclude_unset=True).encode() + b"\n")
                await writer.drain()


async def _end(process: Process) -> None:
    try:
        with suppress(subprocess.TimeoutExpired):
            await asyncio.to_thread(process.wait, _GRACE_S)
    finally:
        # Also when it has left: what it started may be there still.
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
    with suppress(subprocess.TimeoutExpired):
        await asyncio.to_thread(process.wait, _GRACE_S)
