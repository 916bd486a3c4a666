"""Several beats at once, and none for a while."""

import json
import time
from typing import Any

import pytest

from tests.faults.checker import check
from tests.faults.conftest import Scale
from tests.faults.figures import Figures
from tests.faults.rig import Cluster
from tests.servers import wait_for

pytestmark = pytest.mark.timeout(300)

_MAKE = """
INSERT INTO schedules (id, workspace_id, assistant_id, name, interval_s, anchor, next_slot, next_run_at, input, misfire,
    skip_if_running, max_active_runs, timezone, metadata, enabled, jitter_s, alert_after, created_by)
SELECT gen_random_uuid(), a.workspace_id, a.id, 'faults ' || nth, %s, slot.at, slot.at, slot.at, %s, %s, false, 100,
    'UTC', '{}', true, 0, 1, 'key:faults'
FROM assistants a, generate_series(1, %s) AS nth, (SELECT clock_timestamp() + make_interval(secs => %s) AS at) AS slot
WHERE a.id = %s RETURNING id
"""
HELLO = json.dumps({"message": "Hello"})


def schedules(
    cluster: Cluster, assistant: str, in_s: float, *, count: int = 1, every_s: int = 3_600, misfire: str = "once"
) -> list[Any]:
    """As many schedules, whose first slot comes in so many seconds; gives their ids."""
    return [row[0] for row in cluster.sql(_MAKE, every_s, HELLO, misfire, count, in_s, assistant)]


def outcomes(cluster: Cluster, schedules: list[Any]) -> list[str]:
    """What became of their slots, the oldest first."""
    rows = cluster.sql("SELECT outcome FROM schedule_firings WHERE schedule_id = ANY(%s) ORDER BY slot", schedules)
    return [outcome for (outcome,) in rows]


def runs_of(cluster: Cluster, schedules: list[Any]) -> list[str]:
    return [str(run) for (run,) in cluster.sql("SELECT id FROM runs WHERE schedule_id = ANY(%s)", schedules)]


def start_beats(cluster: Cluster, count: int) -> None:
    """As many beats as that in all, each new one of which has been seen to work by itself."""
    assistant, beats = cluster.assistant(type="ReactAgent"), cluster.role("beat")
    while len(beats) < count:
        for other in beats:
            other.stop()
        beats.append(cluster.start("beat"))
        seen = schedules(cluster, assistant, 0)
        wait_for(lambda seen=seen: outcomes(cluster, seen), 30)
    for beat in beats:
        beat.cont()


def test_several_beats_fire_each_slot_once(cluster: Cluster, scale: Scale, figures: Figures) -> None:
    beats, count = scale(2, 3), scale(100, 500)
    start_beats(cluster, beats)
    due = schedules(cluster, cluster.assistant(type="ReactAgent"), 2, count=count)
    time.sleep(2)
    begun = time.monotonic()
    wait_for(lambda: len(outcomes(cluster, due)) >= count, 60)
    fired_s = time.monotonic() - begun
    runs = runs_of(cluster, due)
    ended = cluster.wait_for_end(runs)
    check(cluster, crashes=False)
    figures.record(
        fault=f"{count} slots at once, {beats} beats",
        expected="each is fired once",
        measured=f"{len(outcomes(cluster, due))} firings, {len(runs)} runs, {ended['success']} `success`; the last run "
        f"accepted {fired_s:.1f} s after its slot",
        target=f"{count} firings and runs",
        met=len(runs) == count,
    )
    assert outcomes(cluster, due) == ["started"] * count
    assert len(runs) == count


def test_ten_minutes_without_a_beat(cluster: Cluster, figures: Figures) -> None:
    expected = {
        "skip": ["missed"] * 5,
        "once": ["missed"] * 4 + ["started"],
        "all": ["started"] * 5,
    }
    (beat,) = cluster.role("beat")
    beat.kill()
    assistant = cluster.assistant(type="ReactAgent")
    # A slot every two minutes, as if beat had died ten minutes ago.
    due = {misfire: schedules(cluster, assistant, -550, every_s=120, misfire=misfire) for misfire in expected}
    cluster.start("beat")
    wait_for(lambda: all(outcomes(cluster, each) for each in due.values()), 30)
    found = {misfire: outcomes(cluster, each) for misfire, each in due.items()}
    cluster.wait_for_end([run for each in due.values() for run in runs_of(cluster, each)])
    check(cluster, crashes=False)
    figures.record(
        fault="no beat for 10 minutes; a slot every two",
        expected="what the schedule's misfire rule says",
        measured=", ".join(f"{misfire}: {each.count('started')} of 5 started" for misfire, each in found.items()),
        target="skip 0, once 1, all 5",
        met=found == expected,
    )
    assert found == expected
