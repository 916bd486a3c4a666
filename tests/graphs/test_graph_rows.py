"""Rows of hosted graphs: written once, and under the fence of who writes them."""

import json
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from core.db import Operation, Query, Row, operation
from runs.pruning import prune_idle_sessions
from runtime.graph_rows import GraphRows
from sessions import graph_rows
from sessions.graph_queries import read_graph
from sessions.models import GraphCheckpoint, GraphValue, GraphWrite, Session
from tests.api import Api
from tests.sessions.test_api_fork import steps_in


@pytest.fixture
def session(api: Api) -> UUID:
    return UUID(api.session())


def checkpoint(checkpoint_id: str, *, parent: str | None = None, namespace: str = "", **versions: str) -> Row:
    return {
        "namespace": namespace,
        "checkpoint_id": checkpoint_id,
        "parent_id": parent,
        "document": {"id": checkpoint_id, "channel_versions": versions},
        "metadata": {"source": "loop"},
    }


def value(channel: str, version: str, held: Any, base: str | None = None) -> Row:
    return {"namespace": "", "channel": channel, "version": version, "value": held, "base": base}


def write(checkpoint_id: str, held: Any, index: int = 0) -> Row:
    where = {"namespace": "", "checkpoint_id": checkpoint_id, "task_id": "t", "index": index, "task_path": ""}
    return {**where, "channel": "c", "value": held}


@operation(atomic=True)
def carry_out(steps: Operation[None]) -> Operation[None]:
    yield from steps


def insert(session: UUID, rows: GraphRows, run: UUID | None = None) -> None:
    carry_out(graph_rows.insert_rows(session, run, rows)).run()


def texts(session: UUID) -> dict[str, str | None]:
    found = GraphValue.objects.filter(session_id=session).values_list("version", "value")
    return {version: None if held is None else json.dumps(held) for version, held in found}


def rows_of(session: UUID) -> list[int]:
    return [table.objects.filter(session_id=session).count() for table in (GraphCheckpoint, GraphValue, GraphWrite)]


ONE, TWO, THREE = sorted(str(uuid4()) for _ in range(3))


def test_a_value_is_written_once_and_as_it_was_given(session: UUID) -> None:
    insert(session, GraphRows(values=[value("a", "1", {"z": 1.0, "a": 2}), value("b", "1", None)]))
    insert(session, GraphRows(values=[value("a", "1", "later")]))
    held = dict(GraphValue.objects.filter(session_id=session).values_list("channel", "value"))
    assert held == {"a": {"z": 1.0, "a": 2}, "b": None}
    assert list(held["a"]) == ["z", "a"]


@pytest.mark.parametrize("apart", [True, False])
def test_the_first_of_equal_writes_stays_but_special_ones_give_way(session: UUID, apart: bool) -> None:
    rows = [write(ONE, "first"), write(ONE, "second"), write(ONE, "asked", -3), write(ONE, "asked again", -3)]
    for some in [[row] for row in rows] if apart else [rows]:
        insert(session, GraphRows(writes=some))
    assert dict(GraphWrite.objects.filter(session_id=session).values_list("index", "value")) == {
        0: "first",
        -3: "asked again",
    }


def test_what_a_fence_leaves_out_is_not_written(session: UUID) -> None:
    given = [graph_rows.batch(session, None, GraphRows([checkpoint(ONE)], [value("a", "1", 1)], [write(ONE, 1)]))]

    @operation()
    def fenced(allowed: bool) -> Operation[None]:
        statement = graph_rows.insertion("JOIN (SELECT %(allowed)s AS allowed) fence ON fence.allowed")
        yield Query(statement, {"graphs": graph_rows.written(given), "allowed": allowed})

    fenced(False).run()
    assert rows_of(session) == [0, 0, 0]
    fenced(True).run()
    assert rows_of(session) == [1, 1, 1]


def test_of_a_session_that_is_thinned_out_the_latest_checkpoint_stays_with_what_its_values_go_on_from(
    session: UUID,
) -> None:
    insert(
        session,
        GraphRows(
            [checkpoint(ONE, a="1"), checkpoint(TWO, parent=ONE, a="2", b="1"), checkpoint(THREE, parent=TWO, a="3")],
            [value("a", "1", [1]), value("a", "2", "gone"), value("a", "3", [2], base="1"), value("b", "1", 1)],
            [write(ONE, 1), write(THREE, 1)],
        ),
    )
    carry_out(graph_rows.thin_out_graphs([session])).run()
    (kept,) = GraphCheckpoint.objects.filter(session_id=session)
    assert (str(kept.checkpoint_id), kept.parent_id) == (THREE, None)
    assert texts(session) == {"1": "[1]", "3": "[2]"}
    assert [str(row.checkpoint_id) for row in GraphWrite.objects.filter(session_id=session)] == [THREE]


def test_checkpoints_stay_as_far_back_as_a_delta_channel_needs_them(session: UUID) -> None:
    rows = [checkpoint(ONE, d="1"), checkpoint(TWO, parent=ONE, d="2"), checkpoint(THREE, parent=TWO, d="3")]
    rows[-1]["metadata"]["counters_since_delta_snapshot"] = {"d": [2, 2]}
    for snapshot_at, kept in (("2", [TWO, THREE]), ("3", [THREE])):
        carry_out(graph_rows.delete_graphs([session])).run()
        values = [value("d", version, "snapshot" if version == snapshot_at else None) for version in "123"]
        insert(session, GraphRows(rows, values))
        carry_out(graph_rows.thin_out_graphs([session])).run()
        found = GraphCheckpoint.objects.filter(session_id=session).order_by("checkpoint_id")
        assert [str(row.checkpoint_id) for row in found] == kept


def test_what_a_run_wrote_is_taken_out_and_what_others_wrote_stays(api: Api) -> None:
    session = UUID(api.session())
    run = UUID(api.run(str(session)))
    insert(session, GraphRows([checkpoint(ONE, a="1")], [value("a", "1", [1])], [write(ONE, "other")]))
    later = GraphRows([checkpoint(TWO, parent=ONE, a="2")], [value("a", "2", [2], base="1")], [write(ONE, "mine", 1)])
    insert(session, later, run)
    carry_out(graph_rows.take_out_graphs([run])).run()
    assert [str(row.checkpoint_id) for row in GraphCheckpoint.objects.filter(session_id=session)] == [ONE]
    assert texts(session) == {"1": "[1]"}
    assert [row.value for row in GraphWrite.objects.filter(session_id=session)] == ["other"]


def test_a_copy_has_everything_and_is_its_own(api: Api) -> None:
    first, second = UUID(api.session()), UUID(api.session())
    insert(first, GraphRows([checkpoint(ONE, a="1")], [value("a", "1", [1])], [write(ONE, 1)]))
    carry_out(graph_rows.copy_graphs(first, second)).run()
    carry_out(graph_rows.delete_graphs([first])).run()
    assert [rows_of(first), rows_of(second)] == [[0, 0, 0], [1, 1, 1]]
    (copied,) = GraphWrite.objects.filter(session_id=second)
    assert (str(copied.checkpoint_id), copied.value) == (ONE, 1)
    assert texts(second) == {"1": "[1]"}


def test_sessions_that_nobody_has_used_for_long_are_thinned_out(session: UUID) -> None:
    insert(
        session,
        GraphRows(
            [checkpoint(ONE, a="1"), checkpoint(TWO, parent=ONE, a="2"), checkpoint(ONE, namespace="inner")],
            [value("a", "1", 1), value("a", "2", 2)],
        ),
    )
    steps_in(str(session))
    Session.objects.filter(id=session).update(last_activity_at=timezone.now() - timedelta(days=31))
    assert prune_idle_sessions(30) == 1
    kept = GraphCheckpoint.objects.filter(session_id=session).order_by("namespace")
    assert [(row.namespace, str(row.checkpoint_id)) for row in kept] == [("", TWO), ("inner", ONE)]
    assert texts(session) == {"2": "2"}


def test_a_session_s_rows_go_with_it(session: UUID) -> None:
    insert(session, GraphRows([checkpoint(ONE, a="1")], [value("a", "1", 1)], [write(ONE, 1)]))
    with connection.cursor() as cursor:
        # Whoever deletes it, the database sees to them.
        cursor.execute("DELETE FROM checkpoints WHERE session_id = %s", [session])
        cursor.execute("DELETE FROM sessions WHERE id = %s", [session])
    assert rows_of(session) == [0, 0, 0]


def test_checkpoints_are_read_with_all_that_they_name_by_one_query(session: UUID) -> None:
    insert(
        session,
        GraphRows(
            [checkpoint(ONE, a="1"), checkpoint(TWO, parent=ONE, a="2")],
            [value("a", "1", [1]), value("a", "2", [2], base="1")],
            [write(TWO, "w")],
        ),
    )
    with CaptureQueriesContext(connection) as asked:
        page = read_graph(session, namespace="").run()
    assert len(asked) == 1
    assert [checkpoint_id for _, checkpoint_id in page.checkpoints] == [TWO, ONE]
    assert [page.value(("", "a", version)) for version in ("1", "2", "3")] == [[1], [1, 2], None]
    assert [row["value"] for row in page.writes["", TWO]] == ["w"]
