"""What a check finds, and how checks are made: all at once, each with a time of its own."""

import logging
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum

import psycopg

log = logging.getLogger(__name__)

CHECK_S = 5.0


class State(StrEnum):
    """How it stands. The mark is what a person sees before the line."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"

    @property
    def mark(self) -> str:
        return {"ok": "✓", "warning": "!", "failed": "✗"}[self.value]


@dataclass(frozen=True, slots=True)
class Finding:
    """One line. `fix` says what to do, empty for nothing."""

    name: str
    state: State
    detail: str
    fix: str = ""

    @property
    def line(self) -> str:
        return f"{self.state.mark} {self.name:<16} {self.detail}{f' {self.fix}' if self.fix else ''}"

    def document(self) -> dict[str, str | None]:
        return {"name": self.name, "status": self.state.value, "detail": self.detail, "fix": self.fix or None}


Found = tuple[State, str, str]


def ok(detail: str) -> Found:
    return State.OK, detail, ""


def warn(detail: str, fix: str = "") -> Found:
    return State.WARNING, detail, fix


def fail(detail: str, fix: str = "") -> Found:
    return State.FAILED, detail, fix


@dataclass(frozen=True, slots=True)
class Check:
    """A question. `ask` blocks; what it raises is a finding too."""

    name: str
    ask: Callable[[], Found]


def make(checks: Iterable[Check], timeout_s: float = CHECK_S) -> list[Finding]:
    """Make them all at once, and give their findings in order. One that hangs costs its own line only."""
    jobs = [_Job(check) for check in checks]
    for job in jobs:
        job.start()
    for job in jobs:
        job.join(timeout_s)
    return [job.finding(timeout_s) for job in jobs]


class _Job(threading.Thread):
    # A daemon: the command ends although a question still hangs.
    def __init__(self, check: Check) -> None:
        super().__init__(name=f"doctor-{check.name}", daemon=True)
        self.check = check
        self.found: Found | None = None

    def run(self) -> None:
        try:
            self.found = self.check.ask()
        except psycopg.OperationalError:
            self.found = warn("Not known without PostgreSQL.")
        except psycopg.errors.UndefinedTable:
            self.found = warn("Not known before the migrations.", "Run: python manage.py migrate")
        except Exception as fault:
            # Whatever is broken about a deployment must not hide the rest from who looks for it.
            log.debug("The check %s failed", self.check.name, exc_info=True)
            self.found = fail(f"The check itself failed: {type(fault).__name__}: {str(fault).splitlines()[:1]}")

    def finding(self, timeout_s: float) -> Finding:
        found = self.found or fail(f"No answer within {timeout_s:g} s.")
        return Finding(self.check.name, *found)
