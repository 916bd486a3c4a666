"""Readers that take a byte a second: they cost little, hold nobody up, and are dropped so that they can come back."""

import asyncio
import json
import socket
import threading
import time
from contextlib import suppress

import pytest
from websockets.exceptions import ConnectionClosed

from tests.faults.checker import check
from tests.faults.clients import HOST, Heard, Stream, follow, follow_session, websocket
from tests.faults.conftest import SHORT_PATIENCE_S, Scale
from tests.faults.figures import Figures
from tests.faults.rig import Cluster, Process
from tests.servers import KEY, wait_for

pytestmark = pytest.mark.timeout(300)

# What one run says: much more than the kernel takes in for a connection, so that the rest is the web's to hold.
PLAN = {"steps": 60, "bytes": 20_000}
RECEIVE_BUFFER = 4_096
PATIENCE_S = 20.0
KIB_EACH = 256
_TCP_INFO_CLOSED = 7


class SlowReaders:
    """Streams of these runs, from which a byte a second is taken."""

    def __init__(self, web: Process, runs: list[str]):
        self.runs = runs
        self._taken = [b"" for _ in runs]
        self._plugs = [self._open(web.port, run) for run in runs]
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._read)

    @staticmethod
    def _open(port: int, run: str) -> socket.socket:
        plug = socket.socket()
        plug.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
        plug.connect((HOST, port))
        plug.sendall(f"GET /runs/{run}/stream HTTP/1.1\r\nhost: {HOST}\r\nx-api-key: {KEY}\r\n\r\n".encode())
        return plug

    def __enter__(self) -> "SlowReaders":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        for plug in self._plugs:
            plug.close()

    def _read(self) -> None:
        while not self._over.wait(1):
            for i, plug in enumerate(self._plugs):
                self._taken[i] += plug.recv(1)

    @property
    def dropped(self) -> int:
        """How many of them the web has let go."""
        states = (plug.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] for plug in self._plugs)
        return sum(state == _TCP_INFO_CLOSED for state in states)

    async def come_back(self, ports: list[int]) -> list[Heard]:
        """What each heard, once it has read what it still had and the rest at full speed."""
        self._over.set()
        self._thread.join()
        begun = [await self._heard(i) for i in range(len(self.runs))]
        return [await follow(ports, heard.run_id, begun=heard) for heard in begun]

    async def _heard(self, i: int) -> Heard:
        raw = self._taken[i]
        while True:
            try:
                raw += (part := self._plugs[i].recv(65_536))
            except ConnectionResetError:
                break
            if not part:
                break
        reader = asyncio.StreamReader()
        reader.feed_data(raw.partition(b"\r\n\r\n")[2])
        reader.feed_eof()
        stream, heard = Stream(reader), Heard(self.runs[i])
        try:
            while True:
                if (event := await stream.next()) is not None:
                    heard.events.append(event)
        except ConnectionError:
            return heard


def test_slow_readers_cost_little_hold_nobody_up_and_can_come_back(
    cluster: Cluster, figures: Figures, scale: Scale
) -> None:
    readers, patience_s = scale((8, SHORT_PATIENCE_S), (60, PATIENCE_S))
    web = cluster.webs[0]
    assistant = cluster.assistant()

    def start() -> list[str]:
        return [cluster.run(PLAN, assistant=assistant) for _ in range(readers)]

    began, runs = time.monotonic(), start()
    cluster.wait_for_end(runs, 120)
    alone_s = time.monotonic() - began
    asyncio.run(_read_all(web, runs))
    before = most = web.memory_mib
    began, runs = time.monotonic(), start()
    with SlowReaders(web, runs) as slow:
        while cluster.status(runs)["success"] < readers:
            most = max(most, web.memory_mib)
            time.sleep(0.05)
        beside_s = time.monotonic() - began
        # Long since ended, they are still read by the slow ones; then they are let go.
        wait_for(lambda: slow.dropped == readers, patience_s + 10)
        most = max(most, web.memory_mib)
        heard = asyncio.run(slow.come_back([web.port]))
    each_kib = (most - before) * 1024 / readers
    check(cluster, transcripts=heard, crashes=False)
    figures.record(
        fault=f"{readers} readers of 1 byte/s, each of a run of {PLAN['steps'] * PLAN['bytes'] / 1e6:.1f} MB",
        expected="bounded buffer; dropped so that they can come back; their runs not slowed",
        measured=f"{each_kib:.0f} KiB each; all dropped, and complete after coming back; "
        f"the runs took {beside_s:.1f} s, without readers {alone_s:.1f} s",
        target=f"<= {KIB_EACH} KiB each",
        met=each_kib <= KIB_EACH,
    )


async def _read_all(web: Process, runs: list[str]) -> None:
    """Let the web have done it all once, so that it has what it keeps."""
    await asyncio.gather(*(follow([web.port], run) for run in runs))


def test_a_websocket_that_nobody_reads_is_closed_as_too_slow(cluster: Cluster, figures: Figures, scale: Scale) -> None:
    patience_s = scale(SHORT_PATIENCE_S, PATIENCE_S)
    web = cluster.webs[0]
    session = cluster.session(cluster.assistant())
    run = cluster.run(PLAN, session=session)

    async def doze() -> tuple[int, Heard]:
        heard = Heard(run)
        async with asyncio.timeout(60), websocket(web.port, session, receive_buffer=RECEIVE_BUFFER) as opened:
            await asyncio.to_thread(cluster.wait_for_end, [run])
            # Its web has given up on it by then, and keeps it for a little while.
            await asyncio.sleep(patience_s + 2)
            with suppress(ConnectionClosed):
                while True:
                    heard.take(json.loads(await opened.recv()))
            return opened.close_code or 0, heard

    code, heard = asyncio.run(doze())
    before = len(heard.events)
    asyncio.run(follow_session([web.port], session, run, begun=heard))
    check(cluster, transcripts=[heard], crashes=False)
    figures.record(
        fault=f"a websocket that nobody reads for {patience_s + 2:g} s",
        expected="closed as too slow; complete after coming back",
        measured=f"closed with {code} after {before} of {len(heard.events)} events",
        target="4408",
        met=code == 4408,
    )
