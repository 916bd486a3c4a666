"""Filters of a deployment's `Auth` handlers: as SQL, and on a row that is read already, the same."""

import json
from typing import Any

import pytest
from django.db import connection

from protocols.langgraph.access import Filters, holds, matches

ANN = {"owner": "ann", "team": ["a", "b"], "n": 1, "yes": True, "deep": {"x": 1}}


def in_sql(metadata: dict[str, Any], filters: Filters) -> bool:
    condition, parameters = holds("m.metadata", filters)
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT count(*) FROM (SELECT %(it)s::jsonb AS metadata) m WHERE {condition}",
            {"it": json.dumps(metadata), **parameters},
        )
        return bool(cursor.fetchone()[0])


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("filters", "found"),
    [
        ({}, True),
        ({"owner": "ann"}, True),
        ({"owner": "bob"}, False),
        ({"owner": {"$eq": "ann"}}, True),
        ({"owner": "ann", "n": 2}, False),
        ({"nobody": None}, False),
        ({"deep": {"x": 1}}, True),
        ({"deep": {"x": 1, "y": 2}}, False),
        ({"n": 1}, True),
        ({"yes": 1}, False),
        ({"yes": True}, True),
        ({"team": {"$contains": "a"}}, True),
        ({"team": {"$contains": "c"}}, False),
        ({"team": {"$contains": ["b", "a"]}}, True),
        ({"team": {"$contains": ["a", "c"]}}, False),
        ({"owner": {"$contains": "ann"}}, False),
        ({"team": "a"}, False),
        ({"team": ["a", "b"]}, True),
        ({"$or": [{"owner": "bob"}, {"team": {"$contains": "b"}}]}, True),
        ({"$or": [{"owner": "bob"}, {"n": 2}]}, False),
        ({"$or": []}, False),
        ({"$and": [{"owner": "ann"}, {"$or": [{"n": 1}, {"n": 2}]}]}, True),
        ({"$and": [{"owner": "ann"}, {"n": 2}]}, False),
        ({"owner' OR true --": "x"}, False),
    ],
)
def test_filters_of_handlers(filters: Filters, found: bool) -> None:
    assert in_sql(ANN, filters) == found
    assert matches(ANN, filters) == found


@pytest.mark.parametrize("filters", [{"owner": {"$ne": "ann"}}, {"$not": "ann"}, {"owner": {"$eq": "ann", "$x": 1}}])
def test_a_filter_that_nobody_knows_lets_nothing_pass(filters: Filters) -> None:
    with pytest.raises(ValueError, match="not known"):
        holds("m.metadata", filters)
    with pytest.raises(ValueError, match="not known"):
        matches(ANN, filters)


@pytest.mark.django_db
def test_two_conditions_of_one_statement_have_parameters_of_their_own() -> None:
    one, first = holds("a", {"owner": "ann"}, "mine")
    other, second = holds("b", {"owner": "bob"}, "theirs")
    assert one != other
    assert not first.keys() & second.keys()
