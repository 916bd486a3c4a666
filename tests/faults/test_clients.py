"""Many clients at once."""

import asyncio
import threading
from collections import Counter

import pytest

from tests.faults.checker import check, percentile
from tests.faults.clients import at_once
from tests.faults.conftest import Scale
from tests.faults.figures import Figures
from tests.faults.rig import Cluster

pytestmark = pytest.mark.timeout(300)

SLOTS = 2 * 10


def test_equal_posts_with_one_idempotency_key_make_one_run(cluster: Cluster, figures: Figures) -> None:
    session = cluster.session(cluster.assistant())
    body = {"input": {"message": "{}"}}
    ports = [web.port for web in cluster.webs]
    path = f"/sessions/{session}/runs"
    answers = asyncio.run(at_once(50, ports, "POST", path, body, idempotency_key="order-4711"))
    assert Counter(answer.status for answer in answers) == {202: 50}
    ((runs,),) = cluster.sql("SELECT count(*) FROM runs WHERE session_id = %s", session)
    assert len({answer.document["id"] for answer in answers}) == runs == 1
    replayed = Counter(answer.headers.get("idempotency-replayed") for answer in answers)
    assert replayed == {None: 1, "true": 49}
    # Equal but for what the run itself went through meanwhile.
    lasting = ("id", "session_id", "input", "created_at", "queued_at", "metadata", "priority")
    assert len({str([answer.document[name] for name in lasting]) for answer in answers}) == 1
    cluster.wait_for_end([answers[0].document["id"]])
    check(cluster, crashes=False)
    figures.record(
        fault="50 equal POSTs with one Idempotency-Key at once, over two webs",
        expected="one run, 50 equal answers",
        measured=f"{runs} run, {len(answers)} equal answers",
        target="one run",
        met=True,
    )


def test_of_many_posts_at_once_none_is_lost_and_no_slot_is_taken_twice(
    cluster: Cluster, figures: Figures, scale: Scale
) -> None:
    posts = scale(200, 500)
    body = {"assistant_id": cluster.assistant(), "input": {"message": '{"steps": 2, "tokens": 2, "token_s": 0.02}'}}
    ports = [web.port for web in cluster.webs]
    with Watched(cluster) as watched:
        answers = asyncio.run(at_once(posts, ports, "POST", "/runs", body))
        assert Counter(answer.status for answer in answers) == {202: posts}
        cluster.wait_for_end([answer.document["id"] for answer in answers], 120)
    assert 1 < watched.most <= SLOTS
    check(cluster, crashes=False)
    figures.record(
        fault=f"{posts} POSTs at once",
        expected="all are 202 and end; never more run than there are slots",
        measured=f"{posts} of {posts}; at most {watched.most} of {SLOTS} slots; "
        f"p99 of the answers {percentile((answer.taken_s for answer in answers), 0.99):.2f} s",
        target="all",
        met=True,
    )


class Watched:
    """Asks again and again how many runs are carried out; `most` is the highest answer."""

    def __init__(self, cluster: Cluster):
        self._cluster = cluster
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look)
        self.most = 0

    def __enter__(self) -> "Watched":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._over.wait(0.02):
            ((running,),) = self._cluster.sql("SELECT count(*) FROM runs WHERE status = 'running'")
            self.most = max(self.most, running)
