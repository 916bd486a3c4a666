"""Workers that are killed while runs end and are told of: each end is told, and told once."""

import json
import random
from collections import defaultdict

import pytest

from tests.faults.checker import check
from tests.faults.conftest import Scale
from tests.faults.figures import Figures
from tests.faults.rig import Cluster
from tests.servers import wait_for
from tests.stubs.ledger import Ledger
from tests.stubs.receiver import Receiver

pytestmark = pytest.mark.timeout(180)

_EVENTS = "SELECT run_id, kind FROM webhook_events WHERE run_id = ANY(%s)"
_UNDELIVERED = "SELECT 1 FROM webhook_deliveries WHERE status <> 'delivered' LIMIT 1"
# As if the lease of what the dead had under way had run out.
_LEASES_END = "UPDATE webhook_deliveries SET next_attempt_at = now(), lease_expires_at = now() WHERE status = 'pending'"


def test_workers_killed_while_ends_are_told(cluster: Cluster, ledger: Ledger, scale: Scale, figures: Figures) -> None:
    kills, count = scale(1, 10), scale(40, 400)
    plan = {"ledger": ledger.url, "steps": 1, "sleep": 0.3}
    assistant = cluster.assistant()
    with Receiver() as receiver:
        runs = [
            cluster.run(plan, assistant=assistant, web=nth % 2, webhook=f"{receiver.url}/200/{nth}")
            for nth in range(count)
        ]
        for nth in range(kills):
            wait_for(lambda nth=nth: len(receiver.arrived) > nth * 20 and len(cluster.ready_workers()) > 1, 60)
            random.choice(cluster.ready_workers()).kill()
            cluster.replace_dead()
        ended = cluster.wait_for_end(runs)
        cluster.sql(_LEASES_END)
        wait_for(lambda: not cluster.sql(_UNDELIVERED), 60)
    events = cluster.sql(_EVENTS, runs)
    heard = defaultdict(set)
    for arrived in receiver.arrived:
        if len(arrived.body) < int(arrived.headers["content-length"]):
            continue  # its sender was killed in the middle
        body = json.loads(arrived.body)
        heard[body["data"]["id"]].add((arrived.headers["webhook-id"], body["type"]))
    check(cluster, ledger)
    figures.record(
        fault=f"kill -9 of workers, {kills} in all, while {count} runs with webhooks end",
        expected="each end is told, in one event",
        measured=f"{len(events)} events of {ended.total()} ends; {len(heard)} arrived, "
        f"in {len(receiver.arrived)} requests",
        target=f"{count} events, all of them arrived",
        met=len(events) == len(heard) == count,
    )
    assert sorted(str(run) for run, _ in events) == sorted(runs)
    assert {run: {kind for _, kind in told} for run, told in heard.items()} == {
        str(run): {kind} for run, kind in events
    }
    assert all(len(told) == 1 for told in heard.values())
