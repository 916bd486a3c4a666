"""`/openapi.json` and the routes are one: every operation is there, with the errors that a stranger meets."""

import re
from typing import Any

import pytest

from tests.doors.cases import API, SIGNED, Case
from tests.doors.test_keys import named
from tests.doors.world import World

# What describes the API is not described in it.
UNDESCRIBED = {"/openapi.json", "/docs/"}


@pytest.fixture(scope="module")
def paths(world: World) -> Any:
    answer = world.send("GET", "/openapi.json", None, {"x-api-key": world.keys["everything"]})
    return answer.document["paths"]


def test_every_operation_is_a_route_and_every_route_an_operation(paths: Any) -> None:
    described = {(method.upper(), path) for path, operations in paths.items() for method in operations}
    assert described == {case.route for case in API if case.path not in UNDESCRIBED} | SIGNED


@pytest.mark.parametrize("case", [case for case in API if case.path not in UNDESCRIBED], ids=named)
def test_an_operation_says_what_refuses_it(paths: Any, case: Case) -> None:
    method, path = case.route
    responses = paths[path][method.lower()]["responses"]
    met = {"400", "401", "403", "422", "default"} | ({"404"} if re.search(r"{\w+_id}", path) else set())
    assert met <= set(responses)
    for status in met:
        content = responses[status]["content"]["application/json"]
        assert content["schema"] == {"$ref": "#/components/schemas/Error"}
    # And what it answers when all is well.
    assert str(case.right) in responses or case.right >= 400
