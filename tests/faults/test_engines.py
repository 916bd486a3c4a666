"""PostgreSQL and Redis that are restarted, emptied, away for a while, or lose their connections."""

import random
import time
from collections.abc import Callable

import pytest

from tests.faults.checker import check
from tests.faults.conftest import Scale, in_short_form
from tests.faults.figures import Figures
from tests.faults.load import Clients, listen
from tests.faults.rig import Cluster
from tests.servers import wait_for
from tests.stubs.ledger import Ledger

pytestmark = pytest.mark.timeout(300)
TARGET_S = 5.0


def time_to_start(cluster: Cluster, assistant: str, web: int = 0) -> float:
    """Seconds from accepting a run to its start."""
    run = cluster.run({"steps": 1}, assistant=assistant, web=web)
    cluster.wait_for_end([run])
    ((waited,),) = cluster.sql(
        "SELECT extract(epoch FROM started_at - created_at)::float8 FROM runs WHERE id = %s", run
    )
    return float(waited)


def empty(cluster: Cluster) -> None:
    with cluster.redis_client() as client:
        client.flushall()


def restart_empty(cluster: Cluster) -> None:
    cluster.kill_engine(cluster.redis)
    cluster.start_redis_empty()


@in_short_form("tests/runs/test_survival.py")
@pytest.mark.parametrize(("what", "hurt"), [("FLUSHALL", empty), ("killed and started again empty", restart_empty)])
def test_redis_forgets_everything(
    cluster: Cluster,
    ledger: Ledger,
    scale: Scale,
    figures: Figures,
    what: str,
    hurt: Callable[[Cluster], None],
) -> None:
    assistant = cluster.assistant()
    plan = {"ledger": ledger.url, "steps": 6, "sleep": 0.2, "tokens": 10}
    listeners = []
    waits = []
    with Clients(cluster, assistant, plan) as clients:
        for _ in range(scale(1, 5)):
            wait_for(lambda: len(clients.runs) > 5)
            listeners += listen(cluster, clients.runs[-4:])
            time.sleep(random.uniform(0.2, 0.6))
            hurt(cluster)
            waits += [time_to_start(cluster, assistant, web) for web in (0, 1)]
    ended = cluster.wait_for_end(clients.runs)
    check(cluster, ledger, [listener.join() for listener in listeners], crashes=False)
    # Workers hear the bell again, without a restart.
    time.sleep(1)
    after = min(time_to_start(cluster, assistant) for _ in range(4))
    figures.record(
        fault=f"Redis: {what}" + scale("", ", 5 times"),
        expected="nothing is lost, runs still start, streams go on from PostgreSQL",
        measured=f"{ended['success']} of {len(clients.runs)} `success`, {len(clients.refused)} requests refused; "
        f"the next runs start within {max(waits):.2f} s, and in {after:.2f} s afterwards",
        target=f"start <= {TARGET_S:g} s",
        met=max(waits) <= TARGET_S,
    )
    assert (clients.refused, clients.broken, cluster.died()) == ([], 0, [])


def test_redis_is_away(cluster: Cluster, ledger: Ledger, scale: Scale, figures: Figures) -> None:
    away_s = scale(2, 120)
    assistant = cluster.assistant()
    runs = [cluster.run({"ledger": ledger.url, "steps": 10, "sleep": 0.3}, assistant=assistant) for _ in range(6)]
    listeners = listen(cluster, runs)
    with cluster.down(cluster.redis, away_s):
        waits = [time_to_start(cluster, assistant, web) for web in (0, 1) for _ in range(scale(1, 5))]
    ended = cluster.wait_for_end(runs)
    transcripts = [listener.join() for listener in listeners]
    wait_for(lambda: time_to_start(cluster, assistant) < 0.5, 30)
    check(cluster, ledger, transcripts, crashes=False)
    figures.record(
        fault=f"Redis down for {away_s} s",
        expected="runs start by the poll, streams go on from PostgreSQL, workers consume again without a restart",
        measured=f"{ended['success']} of {len(runs)} `success`; runs start within {max(waits):.2f} s meanwhile; "
        f"{sum(listener.connections for listener in listeners) - len(runs)} streams cut",
        target=f"start <= {TARGET_S:g} s",
        met=max(waits) <= TARGET_S,
    )


def restart_at_once(cluster: Cluster) -> None:
    with cluster.down(cluster.postgres, 0):
        pass


def stop_and_start(cluster: Cluster) -> None:
    cluster.postgres.stop()
    cluster.postgres.start()


def terminate_connections(cluster: Cluster) -> None:
    cluster.sql(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
    )


def recovery_s(cluster: Cluster, assistant: str) -> float:
    """Seconds until a client has had a run accepted and carried out."""
    began = time.monotonic()
    with Clients(cluster, assistant, {"steps": 1}, threads=1, pause_s=0) as client:
        wait_for(lambda: client.ended, 60)
        return time.monotonic() - began


@pytest.mark.parametrize(
    ("what", "hurt", "kills"),
    [
        pytest.param(
            "killed and started again", restart_at_once, 1, marks=in_short_form("the case of one that is away")
        ),
        pytest.param(
            "restarted (fast shutdown)", stop_and_start, 0, marks=in_short_form("the case of one that is away")
        ),
        ("all connections terminated", terminate_connections, 0),
    ],
)
def test_postgresql_is_restarted(
    cluster: Cluster,
    ledger: Ledger,
    scale: Scale,
    figures: Figures,
    what: str,
    hurt: Callable[[Cluster], None],
    kills: int,
) -> None:
    assistant = cluster.assistant()
    plan = {"ledger": ledger.url, "steps": 6, "sleep": 0.2, "tokens": 10}
    times, recoveries = scale(1, 5), []
    with Clients(cluster, assistant, plan) as clients:
        for _ in range(times):
            time.sleep(random.uniform(0.7, 1.5))
            listeners = listen(cluster, clients.runs[-4:])
            hurt(cluster)
            recoveries.append(recovery_s(cluster, assistant))
    ended = cluster.wait_for_end(clients.runs)
    # Who loses its lock's connection counts as dead for others: what it had in flight is carried out again.
    lost = hurt is terminate_connections
    check(cluster, ledger, [listener.join() for listener in listeners], crashes=lost, forgotten=kills * times)
    figures.record(
        fault=f"PostgreSQL: {what}" + scale("", f", {times} times"),
        expected="503 with Retry-After, or success; runs go on",
        measured=f"{ended['success']} of {len(clients.runs)} `success`; {clients.answers[503]} answers 503, "
        f"{len(clients.refused)} others; a new run has ended {max(recoveries):.1f} s after it is back",
        target=f"0 lost, recovery <= {TARGET_S:g} s",
        met=max(recoveries) <= TARGET_S and ended["success"] == len(clients.runs),
    )
    assert not clients.refused, clients.refused[:5]
    assert (clients.broken, cluster.died()) == (0, [])


def test_postgresql_is_away(cluster: Cluster, ledger: Ledger, scale: Scale, figures: Figures) -> None:
    away_s = scale(3, 75)
    assistant = cluster.assistant()
    plan = {"ledger": ledger.url, "steps": 6, "sleep": 0.2, "tokens": 10}
    with Clients(cluster, assistant, plan) as clients:
        time.sleep(1)
        with cluster.down(cluster.postgres, away_s):
            time.sleep(away_s)
        recovery = recovery_s(cluster, assistant)
    ended = cluster.wait_for_end(clients.runs)
    check(cluster, ledger, crashes=False, forgotten=1)
    figures.record(
        fault=f"PostgreSQL down for {away_s} s",
        expected="503 with Retry-After meanwhile; runs go on afterwards",
        measured=f"{ended['success']} of {len(clients.runs)} `success`; {clients.answers[503]} answers 503, "
        f"{len(clients.refused)} others, the slowest in {clients.slowest_s:.1f} s; "
        f"a new run has ended {recovery:.1f} s after it is back",
        target=f"0 lost, recovery <= {TARGET_S:g} s",
        met=recovery <= TARGET_S and ended["success"] == len(clients.runs),
    )
    assert not clients.refused, clients.refused[:5]
    assert (clients.broken, cluster.died()) == (0, [])
