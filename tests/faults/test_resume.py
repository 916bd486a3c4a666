"""Runs that wait for a person while everything dies."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.faults.checker import check
from tests.faults.conftest import Scale, in_short_form
from tests.faults.figures import Figures
from tests.faults.rig import Cluster
from tests.stubs.ledger import Ledger

pytestmark = pytest.mark.timeout(180)


@in_short_form("tests/runs/test_survival.py and test_asking.py")
def test_runs_that_ask_are_resumed_once_after_everything_was_killed(
    cluster: Cluster, ledger: Ledger, scale: Scale, figures: Figures
) -> None:
    plan = {"ledger": ledger.url, "steps": 4, "at": 2, "ask": True}
    assistants = [cluster.assistant(type=kind) for kind in ("Stepper", "Taskwise")]
    runs = [cluster.run(plan, assistant=assistants[nth % 2], web=nth % 2) for nth in range(scale(6, 50))]
    assert cluster.wait_for_end(runs)["interrupted"] == len(runs)
    for process in list(cluster.processes):
        process.kill()
    for engine in (cluster.postgres, cluster.redis):
        cluster.kill_engine(engine)
    cluster.heal()
    with ThreadPoolExecutor(2) as pool:
        for run in runs:
            answers = pool.map(lambda web, run=run: resume(cluster, web, run), range(2))
            assert sorted(answers) == [202, 409]
    ended = cluster.wait_for_end(runs)
    check(cluster, ledger, crashes=False)
    figures.record(
        fault=f"{len(runs)} runs ask a person, everything is killed and started again, each is resumed twice at once",
        expected="resumes once, the second is 409",
        measured=f"{len(runs)} resumed once, 0 steps repeated, {ended['success']} of {len(runs)} `success`",
        target="once",
        met=ended["success"] == len(runs),
    )


def resume(cluster: Cluster, web: int, run: str) -> int:
    """Answer what the run asks; gives the status code."""
    return cluster.webs[web].client.post(f"/runs/{run}/resume", json={"value": "yes"}).status_code
