"""Webhooks: workers that die in the middle of an attempt, and a receiver that is down."""

import time
from collections import Counter

import pytest

from tests.faults.conftest import Scale
from tests.faults.figures import Figures
from tests.faults.rig import Cluster
from tests.servers import wait_for
from tests.stubs.receiver import Receiver

pytestmark = pytest.mark.timeout(300)

EVENTS = "SELECT id, run_id FROM webhook_events WHERE run_id = ANY(%s)"
STATES = """
SELECT DISTINCT CASE WHEN d.status = 'pending' AND d.attempt_count > 0 THEN 'failed' ELSE d.status END
FROM webhook_deliveries d JOIN webhook_events e ON e.id = d.event_id WHERE e.run_id = ANY(%s)
"""


def deliveries(cluster: Cluster, runs: list[str]) -> set[str]:
    """How those of the runs stand."""
    return {state for (state,) in cluster.sql(STATES, runs)}


def test_workers_die_while_they_deliver_and_the_receiver_is_down(
    cluster: Cluster, scale: Scale, figures: Figures
) -> None:
    count, down_s = scale(10, 200), scale(0.5, 60)
    assistant = cluster.assistant()
    with Receiver(holds=True) as receiver:
        webhook = f"{receiver.url}/held"
        runs = [cluster.run({"steps": 1}, assistant=assistant, webhook=webhook)]
        wait_for(lambda: receiver.arrived)
        for worker in cluster.workers:
            worker.kill()
    (cut,) = receiver.arrived
    runs += [cluster.run({"steps": 1}, assistant=assistant, webhook=webhook) for _ in range(count)]
    cluster.heal()
    ended = cluster.wait_for_end(runs)
    wait_for(lambda: "failed" in deliveries(cluster, runs))
    time.sleep(down_s)
    with Receiver(receiver.port) as back:
        began = time.monotonic()
        wait_for(lambda: len(back.arrived) == len(runs), 120)
        took = time.monotonic() - began
        wait_for(lambda: deliveries(cluster, runs) == {"delivered"})
    times = Counter(one.headers["webhook-id"] for one in back.arrived)
    events = {str(event): str(run) for event, run in cluster.sql(EVENTS, runs)}
    figures.record(
        fault=f"kill -9 of the workers while they deliver; the receiver of {len(runs)} webhooks down for {down_s:g} s",
        expected="delivered again with the same webhook-id once its lease has run out, the others once",
        measured=f"{len(times)} of {len(runs)} arrived, {max(times.values())} time each after the receiver came back, "
        f"within {took:.1f} s",
        target="each once",
        met=set(times.values()) == {1},
    )
    assert ended["success"] == len(runs)
    assert set(times.values()) == {1}
    assert {events[event] for event in times} == set(runs)
    assert cut.headers["webhook-id"] in times
