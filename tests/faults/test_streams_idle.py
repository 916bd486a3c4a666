"""Streams on which nothing happens, as many as one web is to hold."""

import asyncio
import os
import time
from pathlib import Path

import pytest

from config.serve.limits import raise_open_files_limit
from tests.faults.checker import check, percentile
from tests.faults.clients import HOST, follow, request
from tests.faults.conftest import Scale
from tests.faults.figures import Figures
from tests.faults.rig import Cluster, Process
from tests.servers import KEY

pytestmark = pytest.mark.timeout(600)

A_DAY_S = 86_400
HEARTBEAT_S = 15
LATE_S = 15  # how late one may come on a busy machine
KIB_EACH = 30
AT_ONCE = 50
CPU_SHARE = 0.2


class Idle(asyncio.Protocol):
    """A stream of which only heartbeats and the end are noticed."""

    def __init__(self, run: str):
        self.answered = asyncio.Event()
        self.refusal = b""
        self.ended = asyncio.Event()
        self.heartbeats = 0
        self.lost = False
        self._transport: asyncio.Transport | None = None
        self._asked = f"GET /runs/{run}/stream HTTP/1.1\r\nhost: {HOST}\r\nx-api-key: {KEY}\r\n\r\n".encode()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.write(self._asked)

    def data_received(self, data: bytes) -> None:
        if not self.answered.is_set():
            self.refusal = b"" if data.startswith(b"HTTP/1.1 200") else data
            self.answered.set()
        self.heartbeats += data.count(b": heartbeat")
        if b"event: end" in data:
            self.ended.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True

    def again(self) -> "Idle":
        """Ready for another try."""
        self.close()
        self.answered.clear()
        self.lost = False
        return self

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()


def test_idle_streams_cost_next_to_nothing(cluster: Cluster, figures: Figures, scale: Scale) -> None:
    count, runs_of_them, idle_s = scale((300, 100, 2), (10_000, 2_000, 50))
    raise_open_files_limit()
    web = _web(cluster) if scale.full else cluster.webs[0]
    assistant = cluster.assistant()
    plan = {"assistant_id": assistant, "input": {"message": "{}"}, "after_seconds": A_DAY_S}
    runs = []
    for _ in range(0, runs_of_them, 100):
        batch = cluster.client.post("/runs/batch", json={"runs": [plan] * 100})
        assert batch.status_code == 202, batch.text
        runs += [run["id"] for run in batch.json()["items"]]
    asyncio.run(_new_request(web, assistant))  # warm

    async def hold() -> tuple[float, float, list[float]]:
        before = web.memory_mib
        streams = [Idle(runs[i % runs_of_them]) for i in range(count)]
        try:
            await _open(web, streams)
            await asyncio.sleep(1)
            cpu, began = _cpu_s(web), time.monotonic()
            await asyncio.sleep(idle_s)
            share = (_cpu_s(web) - cpu) / (time.monotonic() - began)
            each_kib = (web.memory_mib - before) * 1024 / count
            assert not any(stream.lost for stream in streams)
            assert min(stream.heartbeats for stream in streams) >= (idle_s - LATE_S) // HEARTBEAT_S
            taken = [await _new_request(web, assistant) for _ in range(20)]
            # None of them is a dead one: each hears what happens to its run.
            cancelled = await request(web.port, "POST", "/runs/cancel", {"status": "pending"})
            assert cancelled.document == {"cancelled": runs_of_them}
            async with asyncio.timeout(60):
                await asyncio.gather(*(stream.ended.wait() for stream in streams))
        finally:
            for stream in streams:
                stream.close()
        return share, each_kib, taken

    share, each_kib, taken = asyncio.run(hold())
    check(cluster, crashes=False, success=0)
    figures.record(
        fault=f"{count:,} idle streams of {runs_of_them:,} runs on one web",
        expected="heartbeats; new requests are served; each hears its run end",
        measured=f"{each_kib:.1f} KiB each, {share * 100:.0f} % of a core; "
        f"a new run from request to end p95 {percentile(taken, 0.95) * 1_000:.0f} ms",
        target=f"<= {KIB_EACH} KiB each, idle <= {CPU_SHARE * 100:.0f} % of a core",
        met=each_kib <= KIB_EACH and share <= CPU_SHARE,
    )


def _web(cluster: Cluster) -> Process:
    """One of its own: so many leave it larger than the others would like to find it."""
    web = cluster.start("web")
    cluster.wait_until_ready([web])
    return web


async def _open(web: Process, streams: list[Idle]) -> None:
    at_once = asyncio.Semaphore(AT_ONCE)

    async def one(stream: Idle) -> None:
        async with at_once, asyncio.timeout(60):
            await asyncio.get_running_loop().create_connection(lambda: stream, HOST, web.port)
            await stream.answered.wait()
            # As it may be asked for while the machine is busy: opening them all is not what is measured.
            while b"503 Service Unavailable" in stream.refusal:
                await asyncio.sleep(1)
                await asyncio.get_running_loop().create_connection(stream.again, HOST, web.port)
                await stream.answered.wait()
            assert not stream.refusal

    await asyncio.gather(*(one(stream) for stream in streams))


async def _new_request(web: Process, assistant: str) -> float:
    """Seconds that a new run takes, accepted and followed to its end."""
    began = time.monotonic()
    body = {"assistant_id": assistant, "input": {"message": "{}"}}
    answer = await request(web.port, "POST", "/runs", body)
    assert answer.status == 202
    assert (await follow([web.port], answer.document["id"])).ended
    return time.monotonic() - began


def _cpu_s(process: Process) -> float:
    """The processor time that it has used."""
    fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
