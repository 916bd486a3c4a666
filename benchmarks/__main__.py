"""`python -m benchmarks`: every figure several times, one table, and the same as JSON in `bench.json`."""

import argparse
import asyncio
import json
import os
import platform
import statistics
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.client import Client
from benchmarks.peers import PEERS, NotInstalled, ours
from benchmarks.protocol import measure as through_protocol
from benchmarks.server import Server, server

TOKENS = " ".join(f"token{i:02d}" for i in range(20))


@dataclass(frozen=True)
class Figure:
    """One line of the table: the values of all repeats, higher or lower is better by its unit."""

    name: str
    unit: str
    values: list[float]

    def line(self) -> str:
        spread = sorted(self.values)
        p95 = spread[min(len(spread) - 1, int(len(spread) * 0.95))]
        return (
            f"{self.name:<52} {statistics.median(spread):>9.1f} {p95:>9.1f} "
            f"{spread[0]:>9.1f} - {spread[-1]:<9.1f} {self.unit}"
        )


class Work:
    """An assistant, and clients with a session each."""

    def __init__(self, at: Server, assistant: str):
        self._at, self._assistant = at, assistant

    @classmethod
    async def echo(cls, at: Server) -> "Work":
        """One step, no model."""
        return await cls._make(at, {"type": "BenchmarkEcho", "llm": {"provider": "fake", "model": "echo"}})

    @classmethod
    async def react(cls, at: Server) -> "Work":
        """A model call of 20 tokens that calls a tool, and a second model call."""
        turns = [
            {"text": TOKENS, "tool_calls": [{"name": "calculator", "args": {"expression": "6 * 7"}}]},
            {"text": "It is 42."},
        ] * 500
        llm = {"provider": "fake", "model": "script", "settings": {"turns": turns}}
        return await cls._make(at, {"llm": llm, "tools": [{"name": "calculator"}]})

    @classmethod
    async def _make(cls, at: Server, config: dict[str, object]) -> "Work":
        client = Client(at.host, at.port, at.key)
        assistant = await client.request("POST", "/assistants", {"name": f"bench {time.time_ns()}", **config})
        if assistant["status"] != "active":
            raise RuntimeError(f"The assistant is not active: {assistant['validation']}")
        await client.close()
        return cls(at, assistant["id"])

    async def client(self) -> tuple[Client, str]:
        client = Client(self._at.host, self._at.port, self._at.key)
        session = await client.request("POST", f"/assistants/{self._assistant}/sessions")
        return client, session["id"]


RUN = {"input": {"message": "hello"}}


async def latency(work: Work, runs: int) -> list[float]:
    """One client, create and wait, one after another: milliseconds of each."""
    client, session = await work.client()
    taken = []
    for _ in range(runs):
        began = time.perf_counter()
        await _wait(client, session)
        taken.append((time.perf_counter() - began) * 1_000)
    await client.close()
    return taken


async def throughput(work: Work, clients: int, runs: int, one: Callable[[Client, str], Awaitable[object]]) -> float:
    """Runs a second with so many clients at once, each on its own session."""
    pairs = await asyncio.gather(*(work.client() for _ in range(clients)))

    async def loop(client: Client, session: str) -> None:
        for _ in range(runs // clients):
            await one(client, session)

    began = time.perf_counter()
    await asyncio.gather(*(loop(*pair) for pair in pairs))
    taken = time.perf_counter() - began
    await asyncio.gather(*(client.close() for client, _ in pairs))
    return runs // clients * clients / taken


async def _wait(client: Client, session: str) -> None:
    run = await client.request("POST", f"/sessions/{session}/runs/wait", RUN)
    if run["status"] != "success":
        raise RuntimeError(f"The run ended {run['status']}: {run['error']}")


async def _first(client: Client, session: str, event: str) -> float:
    """Milliseconds until the event; the stream is read to its end."""
    began, first = time.perf_counter(), None
    async for moment, name in client.stream("POST", f"/sessions/{session}/runs/stream", RUN):
        if first is None and name == event:
            first = (moment - began) * 1_000
    if first is None:
        raise RuntimeError(f"The stream had no {event}.")
    return first


async def streamed(work: Work, runs: int, event: str) -> tuple[float, list[float]]:
    """16 clients, streamed: runs a second, and milliseconds to the first such event."""
    firsts: list[float] = []

    async def one(client: Client, session: str) -> None:
        firsts.append(await _first(client, session, event))

    return await throughput(work, 16, runs, one), firsts


async def measure(at: Server, repeats: int, runs: int) -> list[Figure]:
    echo, react = await Work.echo(at), await Work.react(at)
    await throughput(echo, 16, 160, _wait)  # warm: imports, plans, pools
    await throughput(react, 16, 64, _wait)
    single = [value for _ in range(repeats) for value in await latency(echo, 100)]
    waited = [await throughput(echo, 16, runs, _wait) for _ in range(repeats)]
    echoed = [await streamed(echo, runs, "token") for _ in range(repeats)]
    reacted = [await streamed(react, runs // 4, "token") for _ in range(repeats)]
    long = await latency(echo, 1_000)
    return [
        Figure("echo, 1 client, create and wait", "ms", single),
        Figure("echo, 16 clients, create and wait", "runs/s", waited),
        Figure("echo, 16 clients, streamed", "runs/s", [rate for rate, _ in echoed]),
        Figure("echo, 16 clients, streamed: first token", "ms", [ms for _, firsts in echoed for ms in firsts]),
        Figure("react, 16 clients, streamed", "runs/s", [rate for rate, _ in reacted]),
        Figure("react, 16 clients, streamed: first token", "ms", [ms for _, firsts in reacted for ms in firsts]),
        # A step costs the same however long its session is: the second is at most 1.2 times the first.
        Figure("long, 1 client, create and wait: turns 10 to 59", "ms", long[9:59]),
        Figure("long, 1 client, create and wait: turns 951 to 1,000", "ms", long[950:]),
    ]


def compare(repeats: int) -> list[Figure]:
    """By LangGraph's protocol: ours beside the peers, repeat by repeat in turns, and how many times as good we are."""
    found: dict[str, list[dict[str, float]]] = {}
    for _ in range(max(1, repeats // 2)):
        for place in (ours, *PEERS):
            try:
                with place() as at:
                    runs = 800 if place is ours else 160
                    found.setdefault(at.name, []).append(asyncio.run(through_protocol(at, runs)))
            except NotInstalled as reason:
                print(f"NOT MEASURED: {reason}", flush=True)
    names = list(found)
    heads = " ".join(f"{name:>15}" for name in names)
    print(f"\n{'LangGraph protocol':<52} {heads}   times as good as each", flush=True)
    figures = []
    for figure in found[names[0]][0]:
        unit = "ms" if figure.endswith("(ms)") else "runs/s"
        medians = [statistics.median(each[figure] for each in found[name]) for name in names]
        ratios = [value / medians[0] if unit == "ms" else medians[0] / value for value in medians[1:]]
        print(
            f"{figure:<52} " + " ".join(f"{m:>15.1f}" for m in medians) + "   " + "  ".join(f"{r:.1f}" for r in ratios)
        )
        figures += [Figure(f"{name}: {figure}", unit, [each[figure] for each in found[name]]) for name in names]
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--runs", type=int, default=1_600, help="runs in each repeat of a throughput figure")
    parser.add_argument("--peers-only", action="store_true", help="only the comparison by LangGraph's protocol")
    parser.add_argument("--json", type=Path, default=Path("bench.json"))
    options = parser.parse_args()
    print(f"{os.cpu_count()} cores, load generator included; {platform.platform()}; commits durable.", flush=True)
    figures = []
    if not options.peers_only:
        with server() as at:
            figures = asyncio.run(measure(at, options.repeats, options.runs))
        print(f"{'':<52} {'median':>9} {'p95':>9} {'min':>9} - max")
        for figure in figures:
            print(figure.line())
    figures += compare(options.repeats)
    options.json.write_text(json.dumps({f.name: {"unit": f.unit, "values": f.values} for f in figures}, indent=1))


if __name__ == "__main__":
    main()
