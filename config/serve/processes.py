"""Processes: starting them so that they end with us, and knowing those that an earlier start left."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, NamedTuple

_LAUNCHER = Path(__file__).with_name("launcher.py")
_POLL_S = 0.02


class Finished(NamedTuple):
    """A command that has ended: its exit code, and what it said on both streams."""

    code: int
    output: str


def launch(
    command: Sequence[str | Path],
    *,
    output: int | IO[bytes],
    env: Mapping[str, str] | None = None,
    uid: int | None = None,
    death_signal: signal.Signals = signal.SIGKILL,
) -> subprocess.Popen[bytes]:
    """Start `command` in a session of its own, to get `death_signal` when this process ends, however it ends.

    Call it from the main thread: to the kernel, the thread that forks is the parent.
    `uid`: run it as that user (we are root). `output` takes both its streams.
    """
    prefix = [sys.executable, "-I", "-S", str(_LAUNCHER), "--parent", str(os.getpid())]
    prefix += ["--death-signal", str(int(death_signal))]
    if uid is not None:
        prefix += ["--uid", str(uid)]
    return subprocess.Popen(  # noqa: S603 - our own commands
        [*prefix, "--", *map(str, command)],
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        env=env,
        start_new_session=True,
    )


def run(command: Sequence[str | Path], *, env: Mapping[str, str] | None = None, uid: int | None = None) -> Finished:
    """Run `command` to its end. Interrupted, it takes the command and all that this has started with it."""
    process = launch(command, output=subprocess.PIPE, env=env, uid=uid)
    try:
        output = process.communicate()[0]
    except BaseException:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        raise
    return Finished(process.returncode, output.decode(errors="replace"))


def command_line(pid: int) -> str:
    """The arguments of a running process, by spaces; empty for a dead one and for one that nobody reaped."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    except OSError:
        return ""


def end_orphan(pid: int, mark: str, gentle: signal.Signals, patience_s: float) -> None:
    """End a process that is not our child: `gentle` first, SIGKILL after `patience_s`.

    `mark` is the part of its command line by which it was found to be ours; a process without it is gone.
    """
    for each, patience in ((gentle, patience_s), (signal.SIGKILL, 5.0)):
        try:
            os.kill(pid, each)
        except ProcessLookupError:
            return
        deadline = time.monotonic() + patience
        while time.monotonic() < deadline:
            if mark not in command_line(pid):
                return
            time.sleep(_POLL_S)


def end_child(process: subprocess.Popen[bytes], gentle: signal.Signals, patience_s: float) -> None:
    """End a child and reap it: `gentle` first, SIGKILL after `patience_s`."""
    process.send_signal(gentle)
    try:
        process.wait(patience_s)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
