"""What the two embedded engines have in common."""

import signal
import subprocess
import time
from abc import ABC, abstractmethod
from pathlib import Path
from typing import ClassVar

from config.serve.data_dir import DataDir
from config.serve.errors import ServeError
from config.serve.launcher import CANNOT_DROP_ROOT, CANNOT_EXECUTE
from config.serve.processes import command_line, end_child, end_orphan, launch

_START_S = 60.0
_STOP_S = 30.0
_POLL_S = 0.02
_SPAWNS = 5


class Engine(ABC):
    """A database server that lives in the data folder and dies with this process.

    `url` is its address, the same for the engine's whole life. `start` first ends a server that an earlier
    process left running on the same data: so there is one way into service, and its settings are always ours.
    """

    title: ClassVar[str]
    name: ClassVar[str]
    gentle: ClassVar[signal.Signals]
    override: ClassVar[str]
    url: str

    def __init__(self, data: DataDir) -> None:
        self.data = data
        self.folder = data.path / self.name
        self.process: subprocess.Popen[bytes] | None = None
        self._log_begins = 0

    @abstractmethod
    def prepare(self) -> None:
        """Make the folder and the settings. May take seconds the first time."""

    @abstractmethod
    def command(self) -> list[str | Path]:
        """The server's own command line, which names its folder."""

    @abstractmethod
    def pid_file(self) -> Path:
        """Where the server notes its process id, first line."""

    @abstractmethod
    def answers(self) -> bool:
        """Whether it takes commands now."""

    def uid(self) -> int | None:
        """The user to run as; None for the one we are."""
        return None

    def start(self) -> None:
        """Bring it into service and leave its address in `<name>.url`.

        Raises `ServeError` with the log's last line where it does not answer within a minute.
        """
        self._end_orphan()
        self._log_begins = self._log_size()
        self.prepare()
        self.spawn()
        self.wait_until_it_answers()
        self.data.write_private(f"{self.name}.url", self.url + "\n")

    def spawn(self) -> None:
        """Start the process without waiting for it. From the main thread only."""
        with self.data.log(self.name).open("ab") as log:
            self.process = launch(self.command(), output=log, uid=self.uid(), death_signal=self.gentle)

    def wait_until_it_answers(self) -> None:
        deadline = time.monotonic() + _START_S
        spawns = 1
        while not self.answers():
            if self.process is None or self.process.poll() is not None:
                # After a kill -9, the dead server's own children may hold its memory for a moment.
                if spawns == _SPAWNS or self._is_hopeless():
                    raise self.failed()
                time.sleep(0.3)
                spawns += 1
                self.spawn()
            elif time.monotonic() > deadline:
                raise self.failed()
            time.sleep(_POLL_S)

    def stop(self, patience_s: float = _STOP_S) -> None:
        """Take it out of service and remove its address. Harmless when it is not running."""
        if self.process is not None:
            end_child(self.process, self.gentle, patience_s)
        self.data.forget(f"{self.name}.url")

    def failed(self) -> ServeError:
        """Why it did not start, from what its log says since."""
        log = self.data.log(self.name)
        lines = [
            line for line in log.read_bytes()[self._log_begins :].decode(errors="replace").split("\n") if line.strip()
        ]
        grave = [line for line in lines if "FATAL" in line or "PANIC" in line or "rror" in line]
        reason = [*lines, *grave][-1].strip() if lines else "it said nothing"
        return ServeError(f"{self.title} did not start: {reason} (see {log}). {self.override}")

    def _is_hopeless(self) -> bool:
        return self.process is not None and self.process.returncode in {CANNOT_DROP_ROOT, CANNOT_EXECUTE}

    def _log_size(self) -> int:
        log = self.data.log(self.name)
        return log.stat().st_size if log.exists() else 0

    def _end_orphan(self) -> None:
        pid_file = self.pid_file()
        try:
            pid = int(pid_file.read_text().split("\n", 1)[0])
        except (FileNotFoundError, ValueError):
            return
        mark = str(self.folder)
        if mark in command_line(pid):
            end_orphan(pid, mark, self.gentle, _STOP_S)
        # A number that another process has taken since would keep the server from starting.
        pid_file.unlink(missing_ok=True)
