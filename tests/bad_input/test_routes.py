"""What the walks of this folder go through: every route that writes, with a request that is taken."""

from itertools import chain

import pytest

from core.hot import Router
from tests.bad_input.conftest import World
from tests.bad_input.routes import FORMS, GOOD, PAGES, WRITES, Route, api_routes, blank, filled, pages
from tests.doors.cases import SIGNED

pytestmark = pytest.mark.django_db


def test_every_route_that_writes_is_walked() -> None:
    # Where a signature is the credential, a body that was changed is nobody's.
    assert api_routes() - SIGNED == {blank(route) for route in GOOD}


def test_the_async_routes_are_among_them() -> None:
    from config.asgi import router

    assert isinstance(router, Router)
    served = chain.from_iterable((route for route in router._routes.get(method, ())) for method in WRITES)
    for route in served:
        assert any(route.pattern.fullmatch(path) for _, path in GOOD), route.pattern


def test_every_page_is_known() -> None:
    assert pages() == {blank(("GET", path))[1] for path in {*FORMS, *PAGES}}


def test_a_print_of_all_rows_sees_what_is_written(world: World) -> None:
    session = f"/sessions/{world.ours['session_id']}"
    before = world.door.stored()
    assert world.door.stored() == before
    world.door.good("PATCH", session, {"title": "Another"})
    assert world.door.stored() != before
    world.door.good("GET", session)
    assert world.door.stored() == world.door.stored()


@pytest.mark.parametrize("route", GOOD, ids=" ".join)
def test_the_good_request_is_taken(world: World, route: Route) -> None:
    method, path = route
    ids = world.ids(path)
    address = filled(path, ids) + ("?wait_s=0" if path.endswith("/wait") else "")
    if path.endswith("/stream"):
        # The stream itself would wait for a worker; the same body is taken without it.
        address = address.removesuffix("/stream")
    world.door.good(method, address, filled(GOOD[route], ids))
