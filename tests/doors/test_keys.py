"""Every route of the API, and everybody who could stand before it: each gets what is documented, and no more."""

import pytest

from accounts.identity import SCOPES
from tests.api import UNKNOWN
from tests.doors.cases import API, OPEN, SIGNED, STREAMS, Case
from tests.doors.routes import api_routes, hot_routes
from tests.doors.world import OF_USER, OF_WORKSPACE, Answer, World

HOT = set(hot_routes())
# With a key the async routes take their addresses; DRF serves the same ones to logins, and must know the same walls.
TWINS = [case for case in API if case.route in HOT and case.route not in STREAMS]
DOORS = [*((case, False) for case in API), *((case, True) for case in TWINS)]


def named(value: object) -> str:
    return {True: "django", False: ""}.get(value, str(value)) if isinstance(value, bool) else str(value)


every_door = pytest.mark.parametrize(("case", "django"), DOORS, ids=named)


def test_every_route_has_a_case() -> None:
    assert {case.route for case in API} | OPEN | SIGNED == api_routes() | HOT


def test_both_doors_ask_for_the_same_scope() -> None:
    asked = {case.route: case.scope for case in API}
    assert {route: asked[route] for route in HOT - OPEN} == {
        route: scope for route, scope in hot_routes().items() if route not in OPEN
    }


def refused(world: World, answer: Answer, status: int, code: str, before: object) -> None:
    assert (answer.status, answer.error["code"]) == (status, code)
    assert OF_WORKSPACE not in answer.text
    assert OF_USER not in answer.text
    assert world.rows() == before


@every_door
def test_without_a_key_that_holds_nobody_gets_in(world: World, case: Case, django: bool) -> None:
    before = world.rows()
    told = []
    for who in ("nobody", "malformed", "unknown", "expired", "revoked"):
        headers = {} if who == "nobody" else {"x-api-key": world.keys[who]}
        answer = world.ask(case, world.ids, headers, django=django)
        assert (who, answer.status, answer.error["code"]) == (who, 401, "unauthenticated")
        told.append(answer.told)
    keys = {"x-api-key": world.keys["everything"], "authorization": f"Bearer {world.keys['stranger']}"}
    two = world.ask(case, world.ids, keys, django=django)
    assert (two.status, two.error["code"]) == (400, "bad_request")
    assert world.rows() == before
    # Keys that do not hold are one as the other, and who may not even ask learns nothing of what there is.
    assert told[1:] == [told[1]] * 4
    assert told[0] == world.ask(case, world.unknown(), {}, django=django).told


@every_door
def test_a_key_without_the_scope_is_refused(world: World, case: Case, django: bool) -> None:
    if case.scope is None:
        return
    family = case.scope.partition(":")[0]
    verbs = [("read", "write"), ("write",)] if case.scope.endswith(":write") else [("read", "write")]
    keys = [world.key_without(family, missing) for missing in verbs]
    for key in keys:
        headers = {"x-api-key": key}
        before = world.rows()
        answer = world.ask(case, world.ids, headers, django=django)
        refused(world, answer, 403, "forbidden", before)
        assert answer.told == world.ask(case, world.unknown(), headers, django=django).told


@every_door
def test_another_workspaces_key_finds_nothing(world: World, case: Case, django: bool) -> None:
    headers = {"x-api-key": world.keys["stranger"]}
    ids = world.fresh() if case.writes and case.for_stranger < 400 else world.ids
    before, anns = world.rows(), world.anns()
    answer = world.ask(case, ids, headers, django=django)
    assert answer.status == case.for_stranger
    hidden = [OF_WORKSPACE, OF_USER, *(world.ids[name] for name in World.OBJECTS)]
    assert [word for word in hidden if word in answer.text] == []
    assert world.anns() == anns
    if answer.status < 400:
        return
    assert world.rows() == before
    # By nothing that is told can it be known that there is such a thing elsewhere.
    assert answer.told == world.ask(case, world.unknown(), headers, django=django).told


@every_door
def test_another_users_key_finds_nothing_of_anns(world: World, case: Case, django: bool) -> None:
    headers = {"x-api-key": world.keys["bob"]}
    before, anns = world.rows(), world.anns()
    answer = world.ask(case, world.ids if not _is_shared(case) else world.fresh(), headers, django=django)
    assert answer.status == case.for_other
    hidden = [
        OF_USER,
        *(
            world.ids[name]
            for name in (
                "session_id",
                "run_id",
                "checkpoint_id",
                "schedule_id",
                "trigger_id",
                "api_key_id",
                "member_id",
            )
        ),
    ]
    assert [word for word in hidden if word in answer.text] == []
    assert world.anns() == anns
    if answer.status not in {404, 422}:
        return
    assert world.rows() == before
    gone = {**world.unknown(), "assistant_id": world.ids["assistant_id"]}
    assert answer.told == world.ask(case, gone, headers, django=django).told


def _is_shared(case: Case) -> bool:
    """Whether every caller of the workspace may change what is asked for: an assistant is nobody's own."""
    return case.writes and case.for_other < 400


@every_door
def test_the_scope_is_enough(world: World, case: Case, django: bool) -> None:
    key = world.keys["everything"] if case.holds_all else world.key_with(case.scope or "memory:read")
    headers = {"x-api-key": key}
    answer = world.ask(case, world.fresh() if case.writes else world.ids, headers, django=django)
    assert answer.status == case.right, answer.text
    world.mend()


@every_door
def test_the_users_own_key_is_enough(world: World, case: Case, django: bool) -> None:
    answer = world.ask(
        case, world.fresh() if case.writes else world.ids, {"x-api-key": world.keys["ann"]}, django=django
    )
    assert answer.status == case.for_owner, answer.text
    world.mend()


@pytest.mark.parametrize("case", [case for case in API if "_id}" in case.path], ids=named)
@pytest.mark.parametrize("spelling", ["x", UNKNOWN.upper(), f"urn:uuid:{UNKNOWN}"])
def test_a_malformed_id_is_unknown(world: World, case: Case, spelling: str) -> None:
    headers = {"x-api-key": world.keys["everything"]}
    ids = {**world.ids, **dict.fromkeys(World.OBJECTS, spelling)}
    before = world.rows()
    answer = world.ask(case, ids, headers)
    if "?" in case.path and "{" in case.path.partition("?")[2]:
        refused(world, answer, 422, "invalid", before)
    else:
        refused(world, answer, 404, "not_found", before)


@pytest.mark.parametrize("case", [case for case in API if "{" in case.path], ids=named)
def test_other_methods_have_the_same_walls(world: World, case: Case) -> None:
    headers = {"x-api-key": world.keys["stranger"]}
    for method in ("HEAD", "OPTIONS"):
        assert world.ask(case, world.ids, {}, method=method).status == 401
        strange, unknown = (world.ask(case, ids, headers, method=method) for ids in (world.ids, world.unknown()))
        assert strange.told == unknown.told
        assert OF_WORKSPACE not in strange.text


def test_every_scope_that_is_asked_for_exists() -> None:
    assert {case.scope for case in API} - {None} <= SCOPES


@pytest.mark.parametrize("route", sorted(OPEN))
def test_probes_are_open(world: World, route: tuple[str, str]) -> None:
    assert world.send(*route, None, {}).status == 200
