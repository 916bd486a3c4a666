"""Workers that are killed: one at a time at random points, and all at once."""

import random
import time

import pytest

from tests.faults.checker import called_again, check, percentile
from tests.faults.conftest import Scale, in_short_form
from tests.faults.figures import Figures
from tests.faults.load import listen
from tests.faults.rig import Cluster, Process
from tests.stubs.ledger import Ledger

pytestmark = pytest.mark.timeout(300)

STEPS = 10
AT_ONCE = 5
# From a kill to the next a run that it hit ends the step that it was in: three crashes at one step end a run.
APART_S = 1.5


def test_workers_killed_at_random_points(cluster: Cluster, ledger: Ledger, scale: Scale, figures: Figures) -> None:
    kills, least = scale(3, 100), scale(8, 200)
    plan = {"ledger": ledger.url, "steps": STEPS, "sleep": scale(0.2, 0.6), "tokens": 3}
    assistant = cluster.assistant()
    runs: list[str] = []
    listeners = []
    hits: list[tuple[str, int, float]] = []
    done, next_kill = 0, time.monotonic() + 1
    while done < kills or len(runs) < least:
        unfinished = cluster.status(runs)["pending"] + cluster.status(runs)["running"]
        for _ in range(AT_ONCE - unfinished):
            runs.append(cluster.run(plan, assistant=assistant, web=len(runs) % 2))
            if len(listeners) < 20:
                listeners += listen(cluster, runs[-1:])
        cluster.replace_dead()
        ready = cluster.ready_workers()
        if len(ready) < 2:
            # Not as soon as there is another: it begins to look around half a second after its start.
            next_kill = max(next_kill, time.monotonic() + random.uniform(0.3, 1.3))
        if done < kills and time.monotonic() >= next_kill and len(ready) >= 2 and cluster.held():
            hits += kill_one(cluster, ready)
            done += 1
            next_kill = time.monotonic() + APART_S + random.random()
        time.sleep(0.05)
    cluster.heal()
    ended = cluster.wait_for_end(runs)
    check(cluster, ledger, [listener.join() for listener in listeners])
    waits = until_next_step(ledger, hits)
    p50, p99 = percentile(waits, 0.5), percentile(waits, 0.99)
    figures.record(
        fault=f"kill -9 of a worker at random points, {kills} times over {len(runs)} runs of {STEPS} steps",
        expected="others go on from the last finished step",
        measured=f"0 lost, 0 finished steps repeated, {called_again(ledger)} in flight carried out again, "
        f"{ended['success']} of {len(runs)} `success`; kill to next step p50 {p50:.2f} s, p99 {p99:.2f} s",
        target="0 lost, 0 repeated; p50 <= 0.5 s, p99 <= 2 s",
        met=p50 <= 0.5 and p99 <= 2,
    )


def kill_one(cluster: Cluster, ready: list[Process]) -> list[tuple[str, int, float]]:
    """kill -9 of a worker that has something to do; gives (run, the dead process, when) of each run that it had."""
    held = cluster.held()
    busy = [process for process in ready if process.pid in held.values()] or ready
    victim = random.choice(busy)
    victim.kill()
    now = time.monotonic()
    return [(run, victim.pid, now) for run, pid in held.items() if pid == victim.pid]


def until_next_step(ledger: Ledger, hits: list[tuple[str, int, float]]) -> list[float]:
    """Seconds from each kill to the next call of each run that it hit; one that was at its end has none."""
    waits = []
    for run, dead, at in hits:
        later = (
            c.at - at for c in ledger.entries if c.at > at and c.name.startswith(run) and c.query["pid"] != str(dead)
        )
        if (wait := next(later, None)) is not None:
            waits.append(wait)
    return waits


@in_short_form("tests/runs/test_survival.py")
def test_all_workers_killed_and_started_later(cluster: Cluster, ledger: Ledger, scale: Scale, figures: Figures) -> None:
    away_s, count = scale(0.5, 60), scale(12, 200)
    assistant = cluster.assistant()
    plan = {"ledger": ledger.url, "steps": 3, "sleep": 0.2}
    runs = [cluster.run(plan, assistant=assistant) for _ in range(count)]
    time.sleep(0.3)
    for worker in cluster.workers:
        worker.kill()
    time.sleep(away_s)
    assert cluster.status(runs)["success"] < count
    cluster.heal()
    began = time.monotonic()
    waited = len(ledger.entries)
    while len(ledger.entries) == waited:
        assert time.monotonic() < began + 30
        time.sleep(0.02)
    first = time.monotonic() - began
    ended = cluster.wait_for_end(runs, 120)
    check(cluster, ledger)
    figures.record(
        fault=f"kill -9 of all workers, started again {away_s} s later",
        expected="the backlog goes on by itself",
        measured=f"{ended['success']} of {count} `success`; the next step {first:.2f} s after a worker was ready",
        target="0 lost; next step <= 5 s",
        met=ended["success"] == count and first <= 5,
    )


def test_a_payment_in_flight_is_never_made_again(cluster: Cluster, ledger: Ledger, figures: Figures) -> None:
    turns = [{"tool_calls": [{"name": "pay", "args": {"ledger": ledger.url, "sleep": 30}}]}, {"text": "I do not know."}]
    llm = {"provider": "fake", "model": "script", "settings": {"turns": turns}}
    assistant = cluster.assistant(type="ReactAgent", llm=llm, tools=[{"name": "pay"}])
    run = cluster.run({}, assistant=assistant)
    deadline = time.monotonic() + 30
    while not ledger.entries:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    victim = cluster.worker_of(run)
    assert victim is not None
    victim.kill()
    ended = cluster.wait_for_end([run])
    ((call, attempt),) = cluster.sql(
        "SELECT s.tool_calls->0, r.attempt FROM run_steps s JOIN runs r ON r.id = s.run_id "
        "WHERE s.run_id = %s AND s.kind = 'tools'",
        run,
    )
    figures.record(
        fault="kill -9 of a worker while a tool that is never called twice is in flight",
        expected="the step is carried out again, the tool is not called",
        measured=f"calls in {attempt} attempts: {ledger.calls[f'{run}/pay']}; the model was told: {call['error']}",
        target="1 call",
        met=ledger.calls[f"{run}/pay"] == 1,
    )
    assert (attempt, ledger.calls[f"{run}/pay"], ended["success"]) == (2, 1, 1)
    assert call["error"].startswith("This call was begun before")
