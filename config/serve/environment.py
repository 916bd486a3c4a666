"""Run by path, before anything is installed: builds the virtual environment from the lock file.

    python3 environment.py .venv requirements.lock

Two of them may run at once in one folder: the second waits, and finds the work done. The file `.complete` in the
environment says that it is whole and carries the lock file's digest; an interrupted build has none and is done again.
"""

import fcntl
import hashlib
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import IO


def build(venv: Path, lock: Path) -> None:
    stamp = venv / ".complete"
    digest = hashlib.sha256(lock.read_bytes()).hexdigest() + "\n"
    with lock.open() as guard:
        _take(guard)
        if stamp.exists() and stamp.read_text() == digest:
            stamp.touch()
            return
        began = time.monotonic()
        if not (stamp.exists() and _works(venv)):
            # Never whole, or no longer: what an interrupted pip left cannot be told from what it finished.
            shutil.rmtree(venv, ignore_errors=True)
            _say(f"Making a virtual environment in {venv} ...")
            _run("the virtual environment", sys.executable, "-m", "venv", str(venv))
        stamp.unlink(missing_ok=True)
        _say("Installing the packages of requirements.lock (a minute or so the first time) ...")
        _run(
            "the packages", str(venv / "bin" / "python"), "-m", "pip", "install",
            "--quiet", "--no-input", "--disable-pip-version-check", "--no-warn-script-location",
            "--require-hashes", "--only-binary", ":all:", "-r", str(lock),
        )  # fmt: skip
        _say(f"Installed in {time.monotonic() - began:.0f} s.")
        stamp.write_text(digest)


def _take(guard: IO[str]) -> None:
    try:
        fcntl.flock(guard, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        _say("Waiting for another process that is installing ...")
        fcntl.flock(guard, fcntl.LOCK_EX)


def _works(venv: Path) -> bool:
    python = venv / "bin" / "python"
    question = [str(python), "-m", "pip", "--version"]
    return python.exists() and subprocess.run(question, capture_output=True).returncode == 0  # noqa: S603


def _run(what: str, *command: str) -> None:
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)  # noqa: S603
    if done.returncode != 0:
        _say(done.stdout.rstrip())
        if "ensurepip" in done.stdout:
            sys.exit(
                "agent-server: this Python has no venv. Install it (Debian, Ubuntu: apt-get install python3-venv)."
            )
        sys.exit(f"agent-server: {what} could not be installed; the reason is above.")


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)  # noqa: T201


if __name__ == "__main__":
    build(Path(sys.argv[1]), Path(sys.argv[2]))
