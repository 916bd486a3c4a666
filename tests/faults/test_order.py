"""What must hold however many workers there are, and however long a session is; and what a lost doorbell costs."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
import redis

from tests.faults.checker import calls_by_run, check
from tests.faults.conftest import Scale, in_short_form
from tests.faults.figures import Figures
from tests.faults.rig import Cluster
from tests.stubs.ledger import Ledger

pytestmark = pytest.mark.timeout(300)
BELL = "agent-server:doorbell"


def test_runs_of_one_session_take_turns(cluster: Cluster, ledger: Ledger, scale: Scale, figures: Figures) -> None:
    workers, count = scale(2, 5), 20
    extra = [cluster.start("worker") for _ in range(workers - len(cluster.workers))]
    cluster.wait_until_ready(extra)
    session = cluster.session(cluster.assistant())
    plan = {"ledger": ledger.url, "steps": 2, "sleep": 0.05}
    runs = [cluster.run(plan, session=session, web=nth % 2) for nth in range(count)]
    cluster.wait_for_end(runs)
    check(cluster, ledger, success=1.0, crashes=False)
    order = list(calls_by_run(ledger))
    who = {call.query["pid"] for call in ledger.entries}
    figures.record(
        fault=f"{count} runs at once in one session, {workers} workers",
        expected="one after another, in the order of their acceptance",
        measured=f"{sum(a == b for a, b in zip(order, runs, strict=True))} of {count} in their place, "
        f"never two at once; carried out by {len(who)} of the workers",
        target=f"{count} of {count}",
        met=order == runs,
    )
    assert order == runs


def test_a_step_costs_the_same_however_long_its_session_is(cluster: Cluster, scale: Scale, figures: Figures) -> None:
    """What PostgreSQL writes for a turn, in bytes of its log (WAL); the median of ten turns, as a page that is
    written for the first time after a checkpoint is written whole."""
    turns, batch = scale(60, 1000), 10
    session = cluster.session(cluster.assistant())
    early = written_by_turns(cluster, session, batch)
    for _ in range(turns - 2 * batch):
        turn(cluster, session)
    late = written_by_turns(cluster, session, batch)
    check(cluster, success=1.0, crashes=False)
    figures.record(
        fault=f"a session of {turns:,} turns",
        expected="a step's writes do not grow with the session",
        measured=f"{early / 1024:.1f} KiB a turn at first, {late / 1024:.1f} KiB at the last: {late / early:.2f} times",
        target="<= 1.2 times",
        met=late <= 1.2 * early,
    )


def turn(cluster: Cluster, session: str) -> None:
    answer = cluster.client.post(f"/sessions/{session}/runs/wait", json={"input": {"message": '{"bytes": 400}'}})
    assert answer.json()["status"] == "success", answer.text


def written_by_turns(cluster: Cluster, session: str, count: int) -> float:
    """The median of the bytes that a turn writes."""
    cluster.sql("CHECKPOINT")
    turn(cluster, session)
    written = []
    for _ in range(count):
        ((before,),) = cluster.sql("SELECT pg_current_wal_insert_lsn()")
        turn(cluster, session)
        ((size,),) = cluster.sql("SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), %s)::float8", before)
        written.append(size)
    return sorted(written)[count // 2]


def ring(client: "redis.Redis", times: int) -> None:
    """Put rings into the bell's queue."""
    for _ in range(times):
        client.rpush(BELL, _RING)


# A message as kombu writes it.
_RING = (
    b'{"body": "e30=", "content-encoding": "utf-8", "content-type": "application/json", "headers": {}, "properties": '
    b'{"delivery_mode": 2, "delivery_info": {"exchange": "", "routing_key": "agent-server:doorbell"}, "priority": 0, '
    b'"body_encoding": "base64", "delivery_tag": "faults"}}'
)


@contextmanager
def doubled_or_early(cluster: Cluster) -> Iterator[None]:
    """The bell rings all the time, whether there is something or not."""
    stopped = threading.Event()

    def keep_ringing() -> None:
        with cluster.redis_client() as client:
            while not stopped.wait(0.02):
                ring(client, 3)

    thread = threading.Thread(target=keep_ringing)
    thread.start()
    try:
        yield
    finally:
        stopped.set()
        thread.join()


@contextmanager
def lost(cluster: Cluster) -> Iterator[None]:
    """Others take the bell's messages out of its queue."""
    stopped = threading.Event()

    def swallow() -> None:
        with cluster.redis_client() as client:
            while not stopped.is_set():
                client.blpop([BELL], timeout=1)

    # More listeners than there are workers, so that most rings are theirs.
    threads = [threading.Thread(target=swallow) for _ in range(20)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stopped.set()
        for thread in threads:
            thread.join()


@pytest.mark.parametrize(
    ("what", "fault"),
    [
        pytest.param("rings 150 times a second", doubled_or_early, marks=in_short_form("the case of one that is lost")),
        ("is lost", lost),
    ],
)
def test_the_doorbell(
    cluster: Cluster,
    ledger: Ledger,
    scale: Scale,
    figures: Figures,
    what: str,
    fault: Callable[[Cluster], "contextmanager[None]"],
) -> None:
    assistant = cluster.assistant()
    runs = []
    with fault(cluster):
        for _ in range(scale(10, 50)):
            runs.append(cluster.run({"ledger": ledger.url, "steps": 1}, assistant=assistant))
            time.sleep(0.1)
        cluster.wait_for_end(runs)
    check(cluster, ledger, success=1.0, crashes=False)
    ((slowest,),) = cluster.sql(
        "SELECT max(extract(epoch FROM started_at - created_at))::float8 FROM runs WHERE id = ANY(%s)", runs
    )
    figures.record(
        fault=f"the doorbell {what}",
        expected="each run is carried out once",
        measured=f"{len(runs)} of {len(runs)} carried out once; the slowest started after {slowest:.2f} s",
        target="start <= 5 s",
        met=slowest <= 5,
    )
