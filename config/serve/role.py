"""A process of ours under the supervisor: web, a worker, beat."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping

from config.env import BASE_DIR
from config.serve.output import Output
from config.serve.processes import launch

_STEADY_S = 5.0  # who lived this long did not die of its start
_FIRST_PAUSE_S = 0.5
_LONGEST_PAUSE_S = 10.0


class Role:
    """`manage.py <command>`, kept running.

    `failures` counts deaths in a row that came right after the start; each doubles the pause before the next.
    `is_leaving`: it was told to end, and another is started then.
    """

    def __init__(self, name: str, command: str, env: Mapping[str, str], output: Output) -> None:
        self.name = name
        self.command = command
        self.failures = 0
        self.is_leaving = False
        self.process: subprocess.Popen[bytes] | None = None
        self._env = env
        self._output = output
        self._started_at = 0.0

    def start(self) -> subprocess.Popen[bytes]:
        """From the main thread only: the child dies with the thread that started it."""
        self._started_at = time.monotonic()
        self.process = launch(
            [sys.executable, BASE_DIR / "manage.py", self.command], output=subprocess.PIPE, env=self._env
        )
        # Only now: who waits for the end of the one before tells the two apart by their processes.
        self.is_leaving = False
        if self.process.stdout is not None:
            self._output.relay(self.name, self.process.stdout)
        return self.process

    @property
    def running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def pause_after_death(self) -> float:
        """Seconds to wait before it is started again: none for one that had run well."""
        if time.monotonic() - self._started_at > _STEADY_S:
            self.failures = 0
            return 0.0
        self.failures += 1
        return float(min(_FIRST_PAUSE_S * 2 ** (self.failures - 1), _LONGEST_PAUSE_S))

    def send(self, signum: signal.Signals) -> None:
        if self.process is not None:
            self.process.send_signal(signum)

    def how_it_ended(self) -> str:
        code = self.process.returncode if self.process is not None else None
        if code is not None and code < 0:
            return f"was killed by {signal.Signals(-code).name}"
        return f"ended with code {code}"


def children_environment(**settings: str) -> dict[str, str]:
    """This process's environment for its children, with the addresses that it found."""
    # Whoever ends a serve on their own machine does not want to wait for three minutes.
    grace_s = os.environ.get("BG_JOB_SHUTDOWN_GRACE_PERIOD_SECS") or "10"
    ours = {"PYTHONUNBUFFERED": "1", "BG_JOB_SHUTDOWN_GRACE_PERIOD_SECS": grace_s}
    return {**os.environ, **ours, **settings}
