"""A conversation as the page shows it: turns, one a run, made of rows that were read without their payloads."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from console import queries
from core.db import Row
from runs.inputs import input_messages
from runs.lifecycle import ACTIVE, Status
from runtime.contract import Content

ARGS_LENGTH = 80
# What became of a call that did not go through as the model wanted it; `static/js/turn.js` has the same words.
DECIDED = {"edit": "edited", "respond": "answered"}


@dataclass(slots=True)
class ToolLine:
    """A tool call on one line. `status` is waiting (for a person), running, ok, error, rejected or cancelled.

    `duration_ms` None: unknown. `decision`: what a person decided, if one was asked. `child`: the sub-agent's run that
    carries it out, if one does.
    """

    id: str
    name: str
    args: str
    status: str
    duration_ms: float | None
    decision: str | None = None
    child: Row | None = None

    @property
    def word(self) -> str:
        """The status, or what a person made of the call."""
        return DECIDED.get(str(self.decision), self.status) if self.status == "ok" else self.status


@dataclass(slots=True)
class Calls:
    """What is known of tool calls beside that they were made, by run and call."""

    outcomes: dict[tuple[UUID, str], Row] = field(default_factory=dict)
    children: dict[tuple[UUID, str], Row] = field(default_factory=dict)


@dataclass(slots=True)
class Entry:
    """What one side said. `id` None: not stored as a message, because its run has not begun or never finished it."""

    role: str
    text: str
    id: str | None = None
    at: datetime | None = None
    files: list[str] = field(default_factory=list)
    calls: list[ToolLine] = field(default_factory=list)


@dataclass(slots=True)
class Turn:
    """One run with what was said in it; messages that no run made have `run` None."""

    run: Row | None
    entries: list[Entry] = field(default_factory=list)

    @property
    def is_active(self) -> bool:
        return self.run is not None and self.run["status"] in ACTIVE

    @property
    def status_of_open_calls(self) -> str:
        if self.run is not None and self.run["status"] == Status.INTERRUPTED:
            return "waiting"
        return "running" if self.is_active else "cancelled"

    @property
    def has_failed(self) -> bool:
        return self.run is not None and self.run["status"] in (Status.ERROR, Status.TIMEOUT)

    @property
    def was_stopped(self) -> bool:
        return self.run is not None and self.run["status"] == Status.CANCELLED

    @property
    def duration_s(self) -> float | None:
        """How long it took, without the time that it waited for a person; None if it never began or has not ended."""
        if self.run is None or not self.run["started_at"] or not self.run["finished_at"]:
            return None
        seconds: float = (self.run["finished_at"] - self.run["started_at"]).total_seconds()
        return seconds - float(self.run["waited_s"])


@dataclass(slots=True)
class Page:
    """A stretch of a conversation; `before` is the number to ask for older messages with, None at the beginning."""

    turns: list[Turn]
    before: int | None


def read_page(session: Row, before: int | None = None) -> Page:
    """The messages before a number, None for the newest with everything that is under way."""
    messages, older = queries.messages_before(session["id"], before).run()
    ids = {row["run_id"] for row in messages if row["run_id"]}
    runs = queries.runs_around(session["id"], list(ids), newest=before is None).run()
    turns = _turns(messages, runs, _read_calls([run["id"] for run in runs]) if _calls_tools(messages) else Calls())
    _add_unfinished(turns)
    return Page(turns, messages[0]["seq"] if older else None)


def _calls_tools(messages: Iterable[Row]) -> bool:
    return any(row["tool_calls"] for row in messages)


def _read_calls(runs: list[UUID]) -> Calls:
    return Calls(queries.tool_outcomes(runs).run(), queries.children(runs).run())


def _turns(messages: Sequence[Row], runs: Sequence[Row], known: Calls) -> list[Turn]:
    """Messages grouped by run, in the order of their numbers; runs without messages where their own number is."""
    by_run = {run["id"]: Turn(run) for run in runs}
    loose: list[Turn] = []
    for row in messages:
        turn = by_run.get(row["run_id"])
        if turn is None:
            turn = Turn(None)
            loose.append(turn)
        turn.entries.append(_entry(row, turn, known))
    for turn in by_run.values():
        run = turn.run
        # A run without an input says nothing: it goes on from an earlier checkpoint.
        if run is not None and not run["has_messages"] and not turn.entries and run["input"] is not None:
            turn.entries = [_said(run, m.content) for m in input_messages(run["input"], run["id"])]
    # A session begins with the messages that it was opened with; every later one is a run's.
    return [*loose, *(turn for turn in by_run.values() if turn.entries or turn.is_active)]


def _entry(row: Row, turn: Turn, known: Calls) -> Entry:
    text, files = _text_and_files(row["content"])
    calls = [_line(call, turn, (row["run_id"], call["id"]), known) for call in row["tool_calls"]]
    return Entry(row["role"], text, str(row["id"]), row["created_at"], files, calls)


def _said(run: Row, content: Content) -> Entry:
    text, files = _text_and_files(content)
    return Entry("user", text, None, run["created_at"], files)


def _line(call: dict[str, Any], turn: Turn, key: tuple[UUID, str], known: Calls) -> ToolLine:
    child = known.children.get(key)
    if (outcome := known.outcomes.get(key)) is None:
        return ToolLine(call["id"], call["name"], _brief(call["args"]), turn.status_of_open_calls, None, child=child)
    return ToolLine(
        id=call["id"],
        name=call["name"],
        args=_brief(call["args"] if outcome["edited"] is None else outcome["edited"]),
        status=outcome["status"],
        duration_ms=outcome["duration_ms"],
        decision=outcome["decision"],
        child=child,
    )


def _brief(args: dict[str, Any]) -> str:
    """Arguments on one short line."""
    text = ", ".join(f"{name}: {json.dumps(value, ensure_ascii=False)}" for name, value in args.items())
    return text if len(text) <= ARGS_LENGTH else text[: ARGS_LENGTH - 1] + "…"


def _text_and_files(content: Content) -> tuple[str, list[str]]:
    if isinstance(content, str):
        return content, []
    texts = [str(part.get("text", "")) for part in content if part.get("type") == "text"]
    files = [_file(part) for part in content if part.get("type") != "text"]
    return "\n\n".join(texts), files


def _file(part: dict[str, Any]) -> str:
    """What a file is called: never its address as a link, never its bytes."""
    kind = str(part.get("type", "file"))
    if encoded := part.get("base64"):
        return f"{part.get('mime_type', kind)}, {len(encoded) * 3 // 4 / 1024:.0f} KiB"
    name = str(part.get("url", "")).split("?")[0].rstrip("/").rsplit("/", 1)[-1]
    return f"{kind}: {name}" if name else kind


def _add_unfinished(turns: Sequence[Turn]) -> None:
    """Give stopped and failed turns the text that they had begun: stopping removes nothing."""
    broken = {turn.run["id"]: turn for turn in turns if turn.run and (turn.was_stopped or turn.has_failed)}
    if not broken:
        return
    pieces: dict[UUID, list[Row]] = {}
    for row in queries.unfinished_text(list(broken)).run():
        pieces.setdefault(row["run_id"], []).append(row)
    for run_id, rows in pieces.items():
        turn = broken[run_id]
        if text := joined_tokens(rows):
            turn.entries.append(Entry("assistant", text, None, (turn.run or {}).get("finished_at")))


def joined_tokens(rows: Iterable[Row]) -> str:
    """The text of token events, without those that a later event says to drop."""
    kept: list[Row] = []
    for row in rows:
        if row["event"] == "superseded":
            first, last = row["data"]["from_seq"], row["data"]["to_seq"]
            kept = [token for token in kept if not first <= token["seq"] <= last]
        elif row["data"]["kind"] == "text":
            kept.append(row)
    return "".join(token["data"]["text"] for token in kept)
