"""Runs that are cancelled at any moment, by a request to another web than the one that accepted them."""

import asyncio
import random
import time
from collections import Counter
from dataclasses import dataclass
from typing import Any

import pytest

from tests.faults.checker import calls_by_run, check, percentile
from tests.faults.clients import Answer, new_run, request
from tests.faults.conftest import Scale
from tests.faults.figures import Figures
from tests.faults.rig import Cluster
from tests.stubs.ledger import Ledger

pytestmark = pytest.mark.timeout(300)

LANES = 20
P99_S = 3.0


@dataclass
class Cancelled:
    """A run, the answer to its cancelling, and when that came (`time.monotonic()`)."""

    run: str
    answer: Answer
    at: float


async def _cancel(cluster: Cluster, assistant: str, plan: dict[str, Any], after_s: float) -> Cancelled:
    accepting, cancelling = (web.port for web in cluster.webs)
    run = await request(accepting, "POST", "/runs", new_run(plan, assistant))
    await asyncio.sleep(after_s)
    run_id = run.document["id"]
    answer = await request(cancelling, "POST", f"/runs/{run_id}/cancel", {"wait": True})
    return Cancelled(run_id, answer, time.monotonic())


async def _in_lanes(cluster: Cluster, plan: dict[str, Any], count: int, longest_s: float) -> list[Cancelled]:
    """So many runs, as many at a time as there are slots, each cancelled at a random moment."""
    assistant, chance = cluster.assistant(), random.Random(3)

    async def lane() -> list[Cancelled]:
        return [await _cancel(cluster, assistant, plan, chance.uniform(0, longest_s)) for _ in range(count // LANES)]

    return [each for lane in await asyncio.gather(*(lane() for _ in range(LANES))) for each in lane]


def test_cancelled_runs_stop_soon_and_call_no_tool_afterwards(
    cluster: Cluster, ledger: Ledger, figures: Figures, scale: Scale
) -> None:
    # None of them ends by itself.
    plan = {"ledger": ledger.url, "steps": 1_000, "sleep": 0.05, "tokens": 3}
    cancelled = asyncio.run(_in_lanes(cluster, plan, scale(40, 200), 1.5))
    assert Counter(each.answer.status for each in cancelled) == {202: len(cancelled)}
    assert {each.answer.document["status"] for each in cancelled} == {"cancelled"}
    time.sleep(1)
    calls = calls_by_run(ledger)
    late = [each.run for each in cancelled if any(call.at > each.at for call in calls[each.run])]
    assert late == []
    assert cluster.status([each.run for each in cancelled]) == {"cancelled": len(cancelled)}
    check(cluster, ledger, crashes=False, success=0)
    taken = [each.answer.taken_s for each in cancelled]
    figures.record(
        fault=f"{len(cancelled)} cancels at random times from another web process",
        expected="terminal `cancelled`, no tool afterwards",
        measured=f"p50 {percentile(taken, 0.5):.2f} s, p99 {percentile(taken, 0.99):.2f} s; "
        f"{sum(map(len, calls.values()))} tool calls before, 0 afterwards",
        target=f"p99 <= {P99_S:g} s",
        met=percentile(taken, 0.99) <= P99_S,
    )


def test_of_a_cancel_and_an_end_that_race_one_wins_for_good(
    cluster: Cluster, ledger: Ledger, figures: Figures, scale: Scale
) -> None:
    plan = {"ledger": ledger.url, "steps": 3, "sleep": 0.05}
    raced = asyncio.run(_in_lanes(cluster, plan, scale(40, 200), 0.8))
    time.sleep(1)
    final = dict(cluster.sql("SELECT id::text, status FROM runs WHERE id = ANY(%s)", [each.run for each in raced]))
    outcomes: Counter[str] = Counter()
    for each in raced:
        if each.answer.status == 409:
            assert each.answer.document["code"] == "run_finished"
            assert final[each.run] == "success"
            outcomes["too late, 409"] += 1
        else:
            # A run that was asked to stop is stopped, whatever it was about to say.
            assert each.answer.document["status"] == final[each.run] == "cancelled"
            outcomes["cancelled"] += 1
    check(cluster, ledger, crashes=False, success=0)
    figures.record(
        fault=f"{len(raced)} cancels at about the moment at which the run ends",
        expected="a cancel that is accepted holds; a late success never overwrites",
        measured=", ".join(f"{name}: {count}" for name, count in sorted(outcomes.items())),
        target="no run changes its status after its end",
        met=True,
    )
