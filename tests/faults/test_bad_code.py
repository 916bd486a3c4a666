"""Tools and agents that take their process with them, hang, or block its event loop."""

import time
from typing import Any

import pytest

from tests.faults.checker import check
from tests.faults.conftest import Scale, in_short_form
from tests.faults.figures import Figures
from tests.faults.rig import Cluster
from tests.stubs.ledger import Ledger

pytestmark = pytest.mark.timeout(300)
MARGIN_S = 5.0


@in_short_form("tests/runs/test_crashes.py")
def test_poison_ends_alone(cluster: Cluster, ledger: Ledger, figures: Figures) -> None:
    assistant = cluster.assistant()
    neighbour = {"ledger": ledger.url, "steps": 6, "sleep": 0.3}
    poison = {"ledger": ledger.url, "steps": 4, "at": 2, "die": 1}
    poisonous = [cluster.run(poison, assistant=assistant) for _ in range(3)]
    neighbours = [cluster.run(neighbour, assistant=assistant) for _ in range(40)]
    began = time.monotonic()
    while sum(cluster.status(poisonous)[status] for status in ("pending", "running")):
        cluster.replace_dead()
        time.sleep(0.1)
        assert time.monotonic() < began + 120
    taken = time.monotonic() - began
    cluster.heal()
    ended = cluster.wait_for_end(neighbours)
    check(cluster, ledger, success=len(neighbours) / (len(neighbours) + len(poisonous)))
    codes = cluster.sql("SELECT DISTINCT error->>'code', attempt FROM runs WHERE id = ANY(%s)", poisonous)
    charged = cluster.sql("SELECT 1 FROM runs WHERE id = ANY(%s) AND crashes > 0", neighbours)
    figures.record(
        fault=f"{len(poisonous)} runs whose tool always kills the process (SIGKILL, as when memory is exhausted)",
        expected="after the second crash at a step carried out alone; the third ends it, its neighbours end well",
        measured=f"ended {codes[0][0]} after {codes[0][1]} attempts, all in {taken:.1f} s; "
        f"{ended['success']} of {len(neighbours)} neighbours `success`, {len(charged)} charged",
        target="worker_crashed; all neighbours `success`, 0 charged",
        met=ended["success"] == len(neighbours),
    )
    assert codes == [("worker_crashed", 3)]
    assert charged == []


def test_a_step_that_hangs(cluster: Cluster, ledger: Ledger, scale: Scale, figures: Figures) -> None:
    timeout_s = scale(1.0, 10.0)
    assistant = cluster.assistant(step_timeout_s=timeout_s, retry_policy={"max_attempts": 1})
    count = 2 * 10  # as many as the two workers have slots
    hanging = [cluster.run({"ledger": ledger.url, "steps": 2, "hang": 600}, assistant=assistant) for _ in range(count)]
    others = [cluster.run({"ledger": ledger.url, "steps": 2}, assistant=cluster.assistant()) for _ in range(5)]
    cluster.wait_for_end([*hanging, *others], 60)
    check(cluster, ledger, success=len(others) / (len(hanging) + len(others)), crashes=False)
    ((codes, longest),) = cluster.sql(
        "SELECT array_agg(DISTINCT error->>'code'), max(extract(epoch FROM finished_at - started_at))::float8 "
        "FROM runs WHERE id = ANY(%s)",
        hanging,
    )
    figures.record(
        fault=f"{count} runs whose tool hangs, in all slots; a step may take {timeout_s:g} s",
        expected="the step times out, the slot is free for others",
        measured=f"all ended {codes[0]}, the last {longest:.1f} s after its start; "
        f"{cluster.status(others)['success']} of {len(others)} that waited `success`",
        target=f"step timeout + {MARGIN_S:g} s",
        met=longest <= timeout_s + MARGIN_S,
    )
    assert codes == ["step_timeout"]


@in_short_form("tests/runs/test_watchdog.py")
def test_a_step_that_blocks_the_event_loop(cluster: Cluster, ledger: Ledger, figures: Figures) -> None:
    """The lease (15 s) runs out while it is blocked, were it not for the heartbeat's thread."""
    block_s = 60
    # Blocked for longer than the watchdog's patience (30 s) it would be ended, which is a crash of its own.
    for worker in cluster.workers:
        worker.kill()
    cluster.wait_until_ready([cluster.start("worker", AGENT_SERVER_LOOP_HANG_S="90") for _ in range(2)])
    assistant = cluster.assistant()
    blocking = cluster.run({"ledger": ledger.url, "steps": 2, "block": block_s}, assistant=assistant)
    time.sleep(0.5)
    plan: dict[str, Any] = {"ledger": ledger.url, "steps": 3}
    others, slowest = [], 0.0
    until = time.monotonic() + block_s - 1
    while time.monotonic() < until:
        others.append(cluster.run(plan, assistant=assistant))
        began = time.monotonic()
        cluster.wait_for_end(others)
        slowest = max(slowest, time.monotonic() - began)
    cluster.wait_for_end([blocking])
    check(cluster, ledger, crashes=False)
    ((attempts,),) = cluster.sql("SELECT attempt FROM runs WHERE id = %s", blocking)
    figures.record(
        fault=f"a tool that blocks the event loop of its worker for {block_s} s",
        expected="its lease is kept, nobody doubles the run; others go on elsewhere",
        measured=f"carried out {attempts} time; {len(others)} runs beside it `success`, the slowest {slowest:.1f} s",
        target="carried out once; others <= 5 s",
        met=attempts == 1 and slowest <= 5,
    )
    assert attempts == 1
