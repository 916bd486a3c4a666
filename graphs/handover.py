"""Where a run's checkpointer leaves its rows and its steps take them.

It knows neither of them: a graph that has ended is freed at once, without the garbage collector.
"""

import asyncio
from contextlib import suppress

from runtime.graph_rows import GraphRows

# What is handed over waits for more of it, and for the graph's end, until nothing has come for a while: a quick graph
# is one commit, in a busy worker too. But it does not wait for longer than the second of these.
QUIET_S = 0.05
GATHER_S = 0.5
# The most that a run of durability `exit` is one step.
PROGRESS_S = 30.0


class Handover:
    """The rows of one run's graph on their way to its steps.

    With durability `sync` whoever hands over a checkpoint waits until it is stored; with `async` a step is what has
    come together in a moment; with `exit` there is one, at the end.
    """

    def __init__(self, durability: str):
        self._durability = durability
        self._rows = GraphRows()  # handed over, and not taken yet
        self._arrived = asyncio.Event()  # something to make a step of
        self._now = asyncio.Event()  # and without delay: the graph waits for it, or has ended
        self._count = 0  # how often there was something
        self._stored = asyncio.Event()  # what is handed over now
        self._given: asyncio.Event | None = None  # the same for what was taken last
        self._open = True
        self._loop = asyncio.get_running_loop()
        self._step_began = 0.0

    # -- the checkpointer's side ---------------------------------------------------------------------------------------

    async def put(self, rows: GraphRows) -> None:
        """Take over rows of the graph's checkpointer, which may go on once they are as safe as it asked for."""
        self._rows.add(rows)
        self._count += 1
        if self._durability == "exit":
            return
        self._arrived.set()
        if self._durability == "sync" and rows.checkpoints and self._open:
            self._now.set()
            await self._stored.wait()

    def superstep_ended(self) -> None:
        """The graph has come further: a run that is stored with `exit` is not to be taken for one that hangs."""
        if self._durability == "exit" and self._loop.time() - self._step_began > PROGRESS_S:
            self._arrived.set()

    def end(self) -> None:
        """The graph has ended: nothing is handed over any more."""
        self._arrived.set()
        self._now.set()

    # -- the steps' side -----------------------------------------------------------------------------------------------

    async def something(self) -> None:
        """Wait for what the next step is made of; what was taken before is stored."""
        self._step_began = self._loop.time()
        if self._given is not None:
            self._given.set()
        await self._arrived.wait()
        until, seen = self._loop.time() + GATHER_S, -1
        while seen != self._count and self._loop.time() < until and not self._now.is_set():
            seen = self._count
            with suppress(TimeoutError):
                async with asyncio.timeout(QUIET_S):
                    await self._now.wait()

    def take(self, *, last: bool) -> GraphRows:
        """All that is there; `last` where nothing comes after it."""
        rows, self._rows = self._rows, GraphRows()
        self._given, self._stored = self._stored, asyncio.Event()
        if not last:
            self._arrived.clear()
            self._now.clear()
        return rows

    def let_go(self) -> None:
        """Nobody waits any more for what is handed over: it is not stored here."""
        self._open = False
        for event in (self._stored, self._given):
            if event is not None:
                event.set()
