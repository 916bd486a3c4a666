"""What must hold after every fault, whatever it was: read from the database, the ledger and the clients' transcripts.

`check` looks at the runs that were accepted since `Cluster.begin()`. The names I1 to I8 are those of
`docs/reliability.md`.
"""

import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from tests.faults.rig import Cluster, Level
from tests.sse import Event, assert_contiguous
from tests.stubs.ledger import Call, Ledger

TERMINAL = ["success", "error", "timeout", "cancelled"]
SUCCESS_SHARE = 0.95
SETTLE_S = 10.0
# What a process may have more than before, and be level: its pools' connections, the allocator's slack.
MORE_FILES = 60
MORE_MEMORY_MIB = 64.0
MORE_CONNECTIONS = 40
MORE_KEYS = 10


@dataclass
class Transcript:
    """What one client heard of one run, over all its connections, in the order of its arrival."""

    run_id: str
    events: list[Event] = field(default_factory=list)


def check(
    cluster: Cluster,
    ledger: Ledger | None = None,
    transcripts: Sequence[Transcript] = (),
    *,
    success: float = SUCCESS_SHARE,
    crashes: bool = True,
    forgotten: int = 0,
) -> None:
    """Assert I1 to I8. `success`: the share of the runs that must end so, where the fault is made to end some.

    `crashes=False`: no process was hurt, so no step at all may have been called twice. `forgotten`: how often
    PostgreSQL was killed: each time it may forget a claim, whose step in flight is then carried out again.
    """
    every_run_has_ended_once(cluster)
    no_finished_step_was_called_again(cluster, ledger, crashes=crashes, forgotten=forgotten)
    event_numbers_are_contiguous(cluster, transcripts)
    runs_of_a_session_took_turns(cluster)
    nothing_was_written_late(cluster)
    workspaces_are_apart(cluster)
    enough_have_succeeded(cluster, success)
    all_is_back_at_its_level(cluster)


def every_run_has_ended_once(cluster: Cluster) -> None:
    """I1: every accepted run has ended, by one `end` event, which is the last and says what the row says."""
    left = _rows(cluster, "SELECT id, status FROM mine WHERE NOT status = ANY(%s)", TERMINAL)
    assert not left, f"I1: {len(left)} runs have not ended: {left[:5]}"
    # A run that ended while it waited has told nothing, and has no log.
    wrong = _rows(
        cluster,
        """
        SELECT mine.id, mine.status, count(e.*), max(e.seq), mine.last_seq, max(e.data->>'status') FROM mine
        LEFT JOIN run_events e ON e.run_id = mine.id AND e.event = 'end'
        GROUP BY mine.id, mine.status, mine.last_seq, mine.claimed_at
        HAVING count(e.*) > 1 OR (mine.claimed_at IS NOT NULL AND count(e.*) = 0)
            OR max(e.seq) <> mine.last_seq OR max(e.data->>'status') <> mine.status
        """,
    )
    assert not wrong, f"I1: these do not end by one event (run, status, ends, its number, last, says): {wrong[:5]}"


def no_finished_step_was_called_again(
    cluster: Cluster, ledger: Ledger | None, *, crashes: bool = True, forgotten: int = 0
) -> None:
    """I2: a step that is stored is not called again; one in flight at a crash at most once more for each crash."""
    if ledger is None:
        return
    attempts = {str(run): attempt for run, attempt in _rows(cluster, "SELECT id, attempt FROM mine")}
    calls = calls_by_run(ledger)
    for run, steps in calls.items():
        if run not in attempts:
            continue
        order = [int(call.name.split("/")[1]) for call in steps]
        back = [(before, after) for before, after in pairwise(order) if after < before]
        assert not back, f"I2: run {run} called a finished step again (from, to): {back}; all: {order}"
        again = len(order) - len(set(order))
        allowed = forgotten + (attempts[run] - 1 if crashes else 0)
        assert again <= allowed, f"I2: run {run} called {again} steps again in {attempts[run]} attempts: {order}"
    stored = _rows(
        cluster,
        "SELECT mine.id, s.index, count(*) FROM mine JOIN run_steps s ON s.run_id = mine.id WHERE s.status = 'ok' "
        "GROUP BY 1, 2 HAVING count(*) > 1",
    )
    assert not stored, f"I2: steps stored twice: {stored[:5]}"


def event_numbers_are_contiguous(cluster: Cluster, transcripts: Sequence[Transcript]) -> None:
    """I3: the log of each run counts from 1 to its end without a gap that no `superseded` covers; so each client's."""
    gaps = _rows(
        cluster,
        """
        SELECT run_id, before, seq, event FROM (
            SELECT e.run_id, e.seq, e.event, e.data, coalesce(lag(e.seq) OVER (PARTITION BY e.run_id ORDER BY e.seq), 0)
                AS before FROM mine JOIN run_events e ON e.run_id = mine.id) AS log
        WHERE seq <> before + 1 AND NOT (event = 'superseded' AND (data->>'from_seq')::int <= before + 1
            AND (data->>'to_seq')::int = seq - 1)
        """,
    )
    assert not gaps, f"I3: gaps in the log (run, before, number, event): {gaps[:5]}"
    for transcript in transcripts:
        assert transcript.events, f"I3: nothing was heard of run {transcript.run_id}"
        assert_contiguous(transcript.events)
        assert transcript.events[-1].event == "end", f"I3: {transcript.run_id} was not heard to its end"
        assert transcript.events[0].seq == 1 or transcript.events[0].event == "superseded", (
            f"I3: {transcript.run_id} was not heard from its beginning"
        )


def runs_of_a_session_took_turns(cluster: Cluster) -> None:
    """I4: in a session one run begins after the other has ended, and in the order in which they were accepted."""
    overlaps = _rows(
        cluster,
        """
        SELECT session_id, id, started_at, ended FROM (
            SELECT session_id, id, started_at, max(finished_at) OVER (PARTITION BY session_id ORDER BY created_at, id
                ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS ended
            FROM mine WHERE started_at IS NOT NULL) AS turns
        WHERE started_at < ended
        """,
    )
    assert not overlaps, f"I4: runs began before those in front of them had ended: {overlaps[:5]}"
    order = _rows(
        cluster,
        "SELECT id FROM (SELECT id, number, lag(number) OVER (PARTITION BY session_id ORDER BY created_at, id) AS "
        "before FROM mine WHERE number IS NOT NULL) AS turns WHERE number <= before",
    )
    assert not order, f"I4: runs out of their order: {order[:5]}"
    steps = _rows(
        cluster,
        """
        SELECT a.run_id, a.index FROM mine JOIN run_steps a ON a.run_id = mine.id
        JOIN run_steps b ON b.run_id = a.run_id AND b.index = a.index + 1 AND b.started_at < a.started_at
        """,
    )
    assert not steps, f"I4: steps began before those in front of them: {steps[:5]}"


def nothing_was_written_late(cluster: Cluster) -> None:
    """I5: no event after the last, none after the end; nobody holds what has ended; heads head what waits."""
    late = _rows(
        cluster,
        "SELECT mine.id, e.seq, mine.last_seq FROM mine JOIN run_events e ON e.run_id = mine.id "
        "WHERE e.seq > mine.last_seq",
    )
    assert not late, f"I5: events after the last one (run, number, last): {late[:5]}"
    messages = _rows(
        cluster,
        "SELECT s.id, s.message_count, count(m.*) FROM sessions s LEFT JOIN messages m ON m.session_id = s.id "
        "WHERE s.id IN (SELECT session_id FROM mine) AND s.id NOT IN (SELECT session_id FROM mine WHERE rollback) "
        "GROUP BY 1, 2 HAVING count(m.*) <> s.message_count",
    )
    assert not messages, f"I5: sessions that count other messages than they have: {messages[:5]}"
    steps = _rows(
        cluster,
        "SELECT mine.id, mine.step_count, count(s.*) FROM mine LEFT JOIN run_steps s ON s.run_id = mine.id "
        "GROUP BY 1, 2 HAVING count(s.*) <> mine.step_count",
    )
    assert not steps, f"I5: runs that count other steps than they have: {steps[:5]}"
    heads = _rows(
        cluster,
        "SELECT s.id, s.head_run_id FROM sessions s WHERE s.id IN (SELECT session_id FROM mine) "
        "AND s.head_run_id IS DISTINCT FROM (SELECT r.id FROM runs r WHERE r.session_id = s.id "
        "AND r.finished_at IS NULL ORDER BY r.created_at, r.id LIMIT 1)",
    )
    assert not heads, f"I5: sessions whose head is not their first unfinished run: {heads[:5]}"


def workspaces_are_apart(cluster: Cluster) -> None:
    """I6: what belongs to a run is of the run's workspace."""
    strays = _rows(
        cluster,
        """
        SELECT mine.id FROM mine JOIN sessions s ON s.id = mine.session_id
        JOIN assistants a ON a.id = mine.assistant_id
        WHERE s.workspace_id <> mine.workspace_id OR a.workspace_id <> mine.workspace_id
            OR s.assistant_id <> mine.assistant_id
        UNION ALL
        SELECT mine.id FROM mine JOIN messages m ON m.run_id = mine.id WHERE m.session_id <> mine.session_id
        UNION ALL
        SELECT mine.id FROM mine JOIN checkpoints c ON c.run_id = mine.id WHERE c.session_id <> mine.session_id
        """,
    )
    assert not strays, f"I6: rows of another workspace or session: {strays[:5]}"


def enough_have_succeeded(cluster: Cluster, share: float) -> None:
    """I7: a fault is not survived by failing everything."""
    ((total, good),) = _rows(cluster, "SELECT count(*), count(*) FILTER (WHERE status = 'success') FROM mine")
    others = _rows(cluster, "SELECT status, error->>'code', count(*) FROM mine WHERE status <> 'success' GROUP BY 1, 2")
    assert good >= share * total, f"I7: {good} of {total} runs ended `success`; the others: {others}"


def all_is_back_at_its_level(cluster: Cluster) -> None:
    """I8: connections, file handles, memory and Redis's keys are what they were, give or take what pools keep."""
    assert cluster.level is not None, "Cluster.begin() was not called."
    deadline = time.monotonic() + SETTLE_S
    while grown := _grown(cluster.level, cluster.measure()):
        assert time.monotonic() < deadline, f"I8: {'; '.join(grown)}"
        time.sleep(0.25)


def _grown(before: Level, now: Level) -> list[str]:
    found = []
    if now.connections > before.connections + MORE_CONNECTIONS:
        found.append(f"{now.connections} connections after {before.connections}")
    if now.redis_keys > before.redis_keys + MORE_KEYS:
        found.append(f"{now.redis_keys} keys in Redis after {before.redis_keys}")
    for pid, files in now.files.items():
        if files > before.files.get(pid, MORE_FILES) + MORE_FILES:
            found.append(f"process {pid} has {files} file handles after {before.files.get(pid)}")
    for pid, memory in now.memory_mib.items():
        if pid in before.memory_mib and memory > before.memory_mib[pid] + MORE_MEMORY_MIB:
            found.append(f"process {pid} has {memory:.0f} MiB after {before.memory_mib[pid]:.0f}")
    return found


def calls_by_run(ledger: Ledger) -> dict[str, list[Call]]:
    """The ledger's calls named `<run>/<step>`, by run, in their order."""
    runs: dict[str, list[Call]] = defaultdict(list)
    for call in list(ledger.entries):
        if "/" in call.name:
            runs[call.name.split("/")[0]].append(call)
    return runs


def called_again(ledger: Ledger) -> int:
    """How many calls were not a step's first."""
    return sum(count - 1 for name, count in ledger.calls.items() if "/" in name)


def _rows(cluster: Cluster, query: str, *values: object) -> list[tuple]:
    """What `query` gives, where `mine` are the runs since `begin()`."""
    return cluster.sql(f"WITH mine AS (SELECT * FROM runs WHERE created_at >= %s) {query}", cluster.since, *values)


def percentile(values: Iterable[float], share: float) -> float:
    """The value that `share` of them do not exceed."""
    ranked = sorted(values)
    return ranked[min(len(ranked) - 1, int(len(ranked) * share))]
