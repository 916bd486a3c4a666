"""What `serve` says, and what its children say through it."""

import sys
import threading
from queue import Full, Queue
from typing import IO

_HELD = 10_000  # lines


class Output:
    """Lines to standard output, in order, from any thread.

    A terminal that is held, or a pipe that nobody reads, must not stop the children who write through us:
    beyond `_HELD` waiting lines the newest are dropped, and the next that is shown says how many.

    `named`: put a child's name before its lines; not for JSON, which carries it.
    """

    def __init__(self, *, named: bool = True) -> None:
        self._named = named
        self._lines: Queue[str | None] = Queue(_HELD)
        self._dropped = 0
        self._writer = threading.Thread(target=self._write, name="output", daemon=True)
        self._writer.start()

    def line(self, text: str = "") -> None:
        try:
            if self._dropped:
                self._lines.put_nowait(f"({self._dropped} lines were dropped: nobody read them)")
                self._dropped = 0
            self._lines.put_nowait(text)
        except Full:
            self._dropped += 1

    def relay(self, name: str, pipe: IO[bytes]) -> None:
        """Show each line of `pipe` under its process's name, from a thread of its own, until it ends."""
        threading.Thread(target=self._relay, args=[name, pipe], name=f"output-{name}", daemon=True).start()

    def close(self, patience_s: float = 1.0) -> None:
        """Show what is waiting, as far as it is read within `patience_s`."""
        try:
            self._lines.put(None, timeout=patience_s)
        except Full:
            return
        self._writer.join(patience_s)

    def _relay(self, name: str, pipe: IO[bytes]) -> None:
        with pipe:
            for line in pipe:
                if text := line.decode(errors="replace").rstrip():
                    self.line(f"{name:<9}| {text}" if self._named else text)

    def _write(self) -> None:
        while (text := self._lines.get()) is not None:
            try:
                sys.stdout.write(text + "\n")
                sys.stdout.flush()
            except OSError:
                # The reader has gone; the server goes on.
                continue
