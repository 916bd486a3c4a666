"""Workers that are killed inside of a function: its finished tasks are not done again."""

import pytest

from tests.faults.checker import check
from tests.faults.conftest import Scale
from tests.faults.figures import Figures
from tests.faults.rig import Cluster
from tests.servers import wait_for
from tests.stubs.ledger import Ledger

pytestmark = pytest.mark.timeout(180)


def test_a_worker_killed_inside_of_a_function(cluster: Cluster, ledger: Ledger, scale: Scale, figures: Figures) -> None:
    steps = scale(4, 10)
    plan = {"ledger": ledger.url, "steps": steps, "sleep": 0.3}
    assistant = cluster.assistant(type="Taskwise")
    runs = [cluster.run(plan, assistant=assistant, web=nth % 2) for nth in range(scale(2, 20))]
    wait_for(lambda: ledger.calls[f"{runs[0]}/1"])
    victim = cluster.worker_of(runs[0])
    assert victim is not None
    victim.kill()
    cluster.replace_dead()
    ended = cluster.wait_for_end(runs)
    check(cluster, ledger)
    called = [ledger.calls[f"{runs[0]}/{nth}"] for nth in range(steps)]
    ((attempts,),) = cluster.sql("SELECT attempt FROM runs WHERE id = %s", runs[0])
    figures.record(
        fault=f"kill -9 of a worker inside of a function's second task, {len(runs)} runs of {steps} tasks",
        expected="the function is carried out again, its finished tasks are not",
        measured=f"{attempts} attempts called the tasks of the run that was hit {called} times; {ended['success']} of "
        f"{len(runs)} `success`",
        target="once, the one in flight at most twice",
        met=max(called) <= 2 and sum(called) <= steps + 1,
    )
    assert (attempts, called[0]) == (2, 1)
    assert sum(called) <= steps + 1
