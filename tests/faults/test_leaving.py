"""Processes that stand still, leave, or are replaced."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest

from tests.faults.checker import calls_by_run, check
from tests.faults.conftest import Scale, in_short_form
from tests.faults.figures import Figures
from tests.faults.load import Clients, Listener, listen
from tests.faults.rig import Cluster, Process
from tests.servers import wait_for
from tests.stubs.ledger import Ledger

pytestmark = pytest.mark.timeout(300)


def busiest(cluster: Cluster) -> tuple[Process, list[str]]:
    """The worker with the most runs, and those."""
    held = cluster.held()
    process = max(cluster.workers, key=lambda worker: sum(pid == worker.pid for pid in held.values()))
    return process, [run for run, pid in held.items() if pid == process.pid]


def test_a_worker_that_stands_still(cluster: Cluster, ledger: Ledger, scale: Scale, figures: Figures) -> None:
    still_s = scale(cluster.lease_s + 1, 60)
    assistant = cluster.assistant()
    plans = [{"ledger": ledger.url, "steps": 8, "sleep": 0.2, "tokens": nth % 2 * 20} for nth in range(scale(12, 20))]
    runs = [cluster.run(plan, assistant=assistant, web=nth % 2) for nth, plan in enumerate(plans)]
    listeners = listen(cluster, runs)
    time.sleep(0.6)
    victim, held = busiest(cluster)
    assert held, "The worker had nothing to do when it was stopped."
    with sessions_locked(cluster, held):
        # What it commits now is stored while it stands still: it learns of it only when others have gone on.
        time.sleep(0.6)
        victim.stop()
    stopped = time.monotonic()
    time.sleep(still_s)
    ended = cluster.wait_for_end(runs)
    taken_over = taken_over_s(ledger, held, victim.pid, stopped)
    marks = {run: len(calls) for run, calls in calls_by_run(ledger).items()}
    before = log_of(cluster, runs)
    victim.cont()
    wait_for(lambda: "was declared lost" in cluster.said(victim), 20)
    # It has begun anew, and is a worker like the others.
    wait_for(lambda: victim in cluster.ready_workers(), 20)
    zombies = sum(len(calls) - marks[run] for run, calls in calls_by_run(ledger).items())
    written = len(log_of(cluster, runs) - before)
    check(cluster, ledger, [listener.join() for listener in listeners])
    figures.record(
        fault=f"SIGSTOP of a worker for {still_s} s, then SIGCONT",
        expected="others take over when its lease has run out; it is refused",
        measured=f"{ended['success']} of {len(runs)} `success`; next step {taken_over:.1f} s after the stop "
        f"(lease {cluster.lease_s} s); afterwards {written} rows written and {zombies} tools called by it",
        target="0 zombie writes",
        met=written == 0 and zombies == 0,
    )
    assert (written, zombies) == (0, 0)


@contextmanager
def sessions_locked(cluster: Cluster, runs: list[str]) -> Iterator[None]:
    """Keep the steps of these runs from being stored meanwhile."""
    with psycopg.connect(cluster.postgres.url) as connection:
        connection.execute(
            "SELECT id FROM sessions WHERE id IN (SELECT session_id FROM runs WHERE id = ANY(%s)) ORDER BY id "
            "FOR UPDATE",
            [runs],
        )
        yield


def taken_over_s(ledger: Ledger, runs: list[str], pid: int, since: float) -> float:
    """Seconds until the last of the runs was carried on by another process."""
    firsts = {}
    for call in ledger.entries:
        run = call.name.split("/")[0]
        if run in runs and call.at > since and call.query["pid"] != str(pid):
            firsts.setdefault(run, call.at - since)
    return max(firsts.values())


def log_of(cluster: Cluster, runs: list[str]) -> set[tuple]:
    """All that is stored of the runs' events, steps and messages."""
    return set(
        cluster.sql(
            "SELECT 'event', run_id, seq FROM run_events WHERE run_id = ANY(%s) UNION ALL "
            "SELECT 'step', run_id, index FROM run_steps WHERE run_id = ANY(%s) UNION ALL "
            "SELECT 'message', run_id, seq FROM messages WHERE run_id = ANY(%s)",
            *[runs] * 3,
        )
    )


def test_a_worker_that_is_told_to_leave(cluster: Cluster, ledger: Ledger, scale: Scale, figures: Figures) -> None:
    grace_s = scale(1, 10)
    leaving = cluster.start("worker", BG_JOB_SHUTDOWN_GRACE_PERIOD_SECS=str(grace_s))
    cluster.wait_until_ready([leaving])
    assistant = cluster.assistant()
    # More than the others have slots for. Some end within the grace period, some are between steps, some in a long one.
    short = {"ledger": ledger.url, "steps": 2, "sleep": 0.3}
    steps = {"ledger": ledger.url, "steps": 4 * grace_s, "sleep": 0.5}
    long = {"ledger": ledger.url, "steps": 2, "sleep": 3 * grace_s}
    runs = [cluster.run(plan, assistant=assistant) for plan in [short, steps, long] * 10]
    listeners = listen(cluster, runs)
    wait_for(lambda: not cluster.status(runs)["pending"])
    held = [run for run, pid in cluster.held().items() if pid == leaving.pid]
    ((told,),) = cluster.sql("SELECT clock_timestamp()")
    leaving.term()
    leaving.wait(grace_s + 20)
    ended = cluster.wait_for_end(runs, 120)
    check(cluster, ledger, [listener.join() for listener in listeners])
    moves = cluster.sql(
        """
        SELECT extract(epoch FROM e.ts - %s)::float8 - %s, extract(epoch FROM (
            SELECT min(n.ts) FROM run_events n WHERE n.run_id = e.run_id AND n.seq > e.seq
                AND n.data->>'name' = 'node_transferred') - e.ts)::float8
        FROM run_events e WHERE e.run_id = ANY(%s) AND e.data->>'name' = 'node_transferring'
        """,
        told,
        grace_s,
        held,
    )
    assert moves, "Nothing was handed back."
    back, resumed = max(back for back, _ in moves), max(resumed for _, resumed in moves)
    charged = cluster.sql("SELECT 1 FROM runs WHERE id = ANY(%s) AND failures + crashes > 0", runs)
    cut = sum(listener.connections != 1 for listener in listeners)
    figures.record(
        fault=f"SIGTERM of a worker with {len(held)} runs, {grace_s} s of grace",
        expected="what can ends; the rest is handed back and goes on elsewhere; streams stay open",
        measured=f"{ended['success']} of {len(runs)} `success`; {len(moves)} handed back, the last {back:.2f} s after "
        f"the grace period; they go on within {resumed:.2f} s; {len(charged)} charged, {cut} streams cut",
        target="hand-back <= 1 s, going on <= 5 s; 0 charged, 0 cut",
        met=back <= 1 and resumed <= 5,
    )
    assert (charged, cut) == ([], 0)


def test_a_web_that_is_killed_while_it_serves_streams(
    cluster: Cluster, ledger: Ledger, scale: Scale, figures: Figures
) -> None:
    count = scale(20, 200)
    assistant = cluster.assistant()
    plan = {"ledger": ledger.url, "steps": 5, "sleep": scale(0.3, 1), "tokens": 20}
    runs = [cluster.run(plan, assistant=assistant, web=1) for _ in range(scale(10, 20))]
    victim = cluster.webs[0]
    listeners = [Listener(cluster, runs[nth % len(runs)]) for nth in range(count)]
    wait_for(lambda: all(listener.transcript.events for listener in listeners), 30)
    victim.kill()
    ended = cluster.wait_for_end(runs)
    transcripts = [listener.join() for listener in listeners]
    again = sum(listener.connections == 2 for listener in listeners)
    check(cluster, ledger, transcripts, crashes=False)
    figures.record(
        fault=f"kill -9 of a web that serves {count} streams",
        expected="the clients go on at the other one",
        measured=f"{len(transcripts)} of {count} have the whole sequence, {again} of them from two webs; "
        f"{ended['success']} of {len(runs)} `success`",
        target="all of them; no gap, no double",
    )
    assert again == count


@in_short_form("the case of a worker that leaves")
def test_an_upgrade_of_one_process_after_another(cluster: Cluster, ledger: Ledger, figures: Figures) -> None:
    replaced = list(cluster.processes)
    assistant = cluster.assistant()
    plan = {"ledger": ledger.url, "steps": 5, "sleep": 0.2, "tokens": 5}
    with Clients(cluster, assistant, plan) as clients:
        time.sleep(1)
        for old in replaced:
            fresh = cluster.start(old.role)
            cluster.wait_until_ready([fresh])
            if old.role == "worker":
                cluster.manage("migrate")
            old.term()
            old.wait()
        time.sleep(1)
    ended = cluster.wait_for_end(clients.runs)
    check(cluster, ledger)
    figures.record(
        fault=f"rolling upgrade: {len(replaced)} processes replaced one after another under load, migrating in between",
        expected="nothing is lost",
        measured=f"{ended['success']} of {len(clients.runs)} `success`; {len(clients.refused)} requests refused, "
        f"{clients.broken} connections broken and sent again",
        target="0 lost",
        met=ended["success"] == len(clients.runs),
    )
    assert not clients.refused, clients.refused
