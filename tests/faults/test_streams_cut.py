"""Clients that lose their streams, and come back."""

import asyncio
import random
import time

import pytest

from tests.faults.checker import check, percentile
from tests.faults.clients import Heard, follow, follow_session, open_stream
from tests.faults.conftest import Scale
from tests.faults.figures import Figures
from tests.faults.rig import Cluster
from tests.sse import text_of

pytestmark = pytest.mark.timeout(300)

TOKENS = 100
# Between them the events of a whole run: 100 tokens come in batches of some.
LONGEST_READ = 6


def test_clients_that_are_cut_at_random_tokens_hold_the_full_sequence(
    cluster: Cluster, figures: Figures, scale: Scale
) -> None:
    clients, cuts = scale((10, 3), (100, 10))
    assistant, chance = cluster.assistant(), random.Random(7)
    plan = {"tokens": TOKENS, "token_s": 0.03}
    sessions = [cluster.session(assistant) for _ in range(clients)]
    runs = [cluster.run(plan, session=session) for session in sessions]
    ports = [web.port for web in cluster.webs]

    def reads() -> list[int]:
        return [chance.randint(1, LONGEST_READ) for _ in range(cuts)]

    async def all_of_them() -> list[Heard]:
        over_sse = [follow(ports, run, cut_after=reads()) for run in runs]
        over_sockets = [
            follow_session(ports, session, run, cut_after=reads())
            for session, run in zip(sessions[::5], runs[::5], strict=True)
        ]
        return await asyncio.gather(*over_sse, *over_sockets)

    heard = asyncio.run(all_of_them())
    whole = "".join(f"word{i} " for i in range(TOKENS))
    assert {text_of(each.events) for each in heard} == {whole}
    assert {each.cuts for each in heard} == {cuts}
    check(cluster, transcripts=heard, crashes=False)
    figures.record(
        fault=f"{len(heard)} clients, each cut at {cuts} random tokens and back on the other web",
        expected="the full sequence, no gap, no double",
        measured=f"{len(heard)} of {len(heard)} complete",
        target="100 %",
        met=True,
    )


def test_long_after_the_end_a_stream_replays_the_run_and_ends(cluster: Cluster, figures: Figures, scale: Scale) -> None:
    events = scale(1_000, 5_000)
    # Each step tells a message, a checkpoint and its tokens.
    run = cluster.run({"steps": events // 3, "tokens": 1, "token_s": 0}, assistant=cluster.assistant())
    cluster.wait_for_end([run], 120)
    ports = [web.port for web in cluster.webs]
    heard = asyncio.run(follow(ports, run))
    assert len(heard.events) >= events

    async def replay(after: str | None = None) -> tuple[float, int]:
        began, count = time.monotonic(), 0
        stream = await open_stream(ports[0], f"/runs/{run}/stream", after=after)
        try:
            while True:
                count += await stream.next() is not None
        except EOFError:
            return time.monotonic() - began, count
        finally:
            stream.cut()

    taken = []
    for _ in range(5):
        taken_s, count = asyncio.run(replay())
        assert count == len(heard.events)
        taken.append(taken_s * 5_000 / count)
    assert asyncio.run(replay(heard.events[-10].id))[1] == 9
    assert asyncio.run(replay(heard.events[-1].id))[1] == 0
    check(cluster, transcripts=[heard], crashes=False)
    slowest = percentile(taken, 1)
    figures.record(
        fault="a client comes back long after the end",
        expected="replay, then the end",
        measured=f"5,000 events in {slowest:.2f} s",
        target="5,000 events in <= 1 s",
        met=slowest <= 1,
    )
