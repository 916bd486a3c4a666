"""The same work by LangGraph's protocol, for us and for the peers: the graphs of `examples/graphs`."""

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from benchmarks.client import Client

HELLO = {"messages": [{"role": "user", "content": "hello"}]}
INPUTS: dict[str, dict[str, Any]] = {"echo": HELLO, "steps": {"count": 0}, "react": HELLO}
CLIENTS = 16
# A conversation grows with each run, and its runs with it: all servers have as many on a thread.
RUNS_OF_A_THREAD = 10


@dataclass(frozen=True)
class Place:
    """A server that speaks the protocol: `name` for the table, `prefix` before its paths."""

    name: str
    host: str
    port: int
    key: str
    prefix: str = ""

    def client(self) -> Client:
        """A client of this server."""
        return Client(self.host, self.port, self.key)

    async def thread(self, client: Client) -> str:
        """The address of the runs of a new thread."""
        thread = await client.request("POST", f"{self.prefix}/threads", {})
        return f"{self.prefix}/threads/{thread['thread_id']}/runs"


One = Callable[[Client, str], Awaitable[object]]


def waited(graph: str) -> One:
    """Create a run of the graph and wait for its values."""

    async def one(client: Client, runs: str) -> None:
        answer = await client.request("POST", f"{runs}/wait", {"assistant_id": graph, "input": INPUTS[graph]})
        if "__error__" in answer:
            raise RuntimeError(f"The run failed: {answer}")

    return one


def streamed(graph: str, mode: str, event: str, firsts: list[float]) -> One:
    """Create a run and read its stream; notes the milliseconds to its first `event`."""

    async def one(client: Client, runs: str) -> None:
        body = {"assistant_id": graph, "input": INPUTS[graph], "stream_mode": [mode]}
        began, first = time.perf_counter(), None
        async for moment, name in client.stream("POST", f"{runs}/stream", body):
            if first is None and name == event:
                first = (moment - began) * 1_000
        if first is None:
            raise RuntimeError(f"The stream had no {event}.")
        firsts.append(first)

    return one


async def latency(at: Place, graph: str, runs: int) -> float:
    """One client, create and wait, one after another: the median in milliseconds."""
    client, address = at.client(), ""
    taken = []
    for nth in range(runs):
        if nth % RUNS_OF_A_THREAD == 0:
            address = await at.thread(client)
        began = time.perf_counter()
        await waited(graph)(client, address)
        taken.append((time.perf_counter() - began) * 1_000)
    await client.close()
    return statistics.median(taken)


async def throughput(at: Place, runs: int, one: One) -> float:
    """Runs a second with 16 clients, each on threads of its own."""
    clients = [at.client() for _ in range(CLIENTS)]

    async def loop(client: Client) -> None:
        address = ""
        for nth in range(runs // CLIENTS):
            if nth % RUNS_OF_A_THREAD == 0:
                address = await at.thread(client)
            await one(client, address)

    began = time.perf_counter()
    await asyncio.gather(*map(loop, clients))
    taken = time.perf_counter() - began
    await asyncio.gather(*(client.close() for client in clients))
    return runs // CLIENTS * CLIENTS / taken


async def measure(at: Place, runs: int) -> dict[str, float]:
    """Every figure once, by its name: runs a second, or milliseconds where the name says so."""
    for graph in INPUTS:
        await throughput(at, CLIENTS * 2, waited(graph))  # warm
    found = {"echo, 1 client, create and wait (ms)": await latency(at, "echo", runs // CLIENTS)}
    for graph in INPUTS:
        found[f"{graph}, 16 clients, create and wait"] = await throughput(at, runs, waited(graph))
    for graph, mode, event in (("echo", "updates", "updates"), ("react", "messages-tuple", "messages")):
        firsts: list[float] = []
        found[f"{graph}, 16 clients, streamed"] = await throughput(at, runs, streamed(graph, mode, event, firsts))
        found[f"{graph}, 16 clients, streamed: first {event} (ms)"] = statistics.median(firsts)
    return found
