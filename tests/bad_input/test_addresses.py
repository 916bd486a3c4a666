"""What stands beside the body: ids in paths, queries, cursors, headers and methods."""

import base64
from functools import cache
from urllib.parse import quote

import pytest

from tests.bad_input.conftest import World
from tests.bad_input.routes import GOOD, Route, blank, filled
from tests.bad_input.test_fields import HOSTILE_IDS, description

pytestmark = pytest.mark.django_db

READS = sorted(path for path, methods in description().get("paths", {}).items() if "get" in methods)
LISTS = [
    path
    for path in READS
    if "cursor" in {told["name"] for told in description()["paths"][path]["get"].get("parameters", [])}
]
DEAD = "00000000-0000-7000-8000-000000000000"
IN_PATHS = [
    quote(text, safe="") for text in (*filter(None, HOSTILE_IDS), DEAD, "%00", "\0", "\u202e", "a/b", "x" * 5_000)
]
# Spelled so that no client takes them for a way up.
IN_PATHS += ["%2E%2E", "%2e%2e%2f%2e%2e%2fetc%2fpasswd", "%ff", "%ed%a0%80"]


def address(path: str, world: World) -> str:
    """An address of the document with our ids."""
    return filled(path, {**world.ours, "number": "1", "tag": "tagged", "name": "KEPT", "path": "kept.txt"})


def with_ids(path: str) -> list[str]:
    # A file's path is no id: `tests/sessions/test_api_files.py` has bad ones.
    return [part for part in path.split("/") if part.startswith("{") and part != "{path}"]


@pytest.mark.parametrize("route", [route for route in GOOD if "{" in route[1]], ids=" ".join)
def test_an_id_in_a_path_that_is_none_of_ours_is_not_found(world: World, route: Route) -> None:
    method, path = route
    body = filled(GOOD[route], world.ours)
    before = world.door.stored()
    for name in with_ids(path):
        strange = world.strangers.get(name.strip("{}"), DEAD)
        for identifier in [*IN_PATHS, strange]:
            hostile = path.replace(name, identifier)
            world.door.refuse(404, "not_found", method, filled(hostile, world.ours), body)
    assert world.door.stored() == before


@pytest.mark.parametrize("path", [path for path in READS if "{" in path])
def test_nor_is_one_in_the_path_of_a_read(world: World, path: str) -> None:
    for name in with_ids(path):
        for identifier in [*IN_PATHS, world.strangers.get(name.strip("{}"), DEAD)]:
            hostile = address(path.replace(name, identifier), world)
            query = "?from=1&to=1" if path.endswith("/diff") else ""
            world.door.refuse(404, "not_found", "GET", hostile + query)


# -- queries -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("route", GOOD, ids=" ".join)
def test_an_unknown_query_key_is_invalid_where_something_is_written(world: World, route: Route) -> None:
    method, path = route
    target, body = filled(path, world.ours), filled(GOOD[route], world.ours)
    before = world.door.stored()
    for query in ("surprise=1", "surprise=", "__proto__=1", "id__gt=1", "format=json", "%F0%9F%98%80=1"):
        world.door.refuse(422, "invalid", method, f"{target}?{query}", body)
    for query in ("a=%00", "%00=1", "a=%ff", "a=%ed%a0%80"):
        world.door.refuse(400, "bad_request", method, f"{target}?{query}", body)
    assert world.door.stored() == before


# What Prometheus sends along is its own affair.
@pytest.mark.parametrize("path", [path for path in READS if path != "/metrics"])
def test_nor_is_there_one_where_something_is_read(world: World, path: str) -> None:
    target = address(path, world)
    also = "from=1&to=1&" if path.endswith("/diff") else ""
    for query in ("surprise=1", "surprise", "id__gt=1", "workspace_id=1", "limit[]=1"):
        world.door.refuse(422, "invalid", "GET", f"{target}?{also}{query}")
    for query in ("a=%00", "%00", "a=%ff", "a=%c0%af"):
        world.door.refuse(400, "bad_request", "GET", f"{target}?{query}")


BAD_NUMBERS = ["", "x", "-1", "0x10", "1.0", "1e2", "٣", "99999999999999999999", "9" * 5_000, " 1", "+1", "NaN", "null"]
BAD_ORDERINGS = ["", "-", "--created_at", "id", "password", "created_at,id", "created_at;DROP TABLE runs", "?", "%00a"]


@pytest.mark.parametrize("path", LISTS)
def test_a_list_takes_its_own_queries_only(world: World, path: str) -> None:
    target = address(path, world)
    told = {parameter["name"]: parameter for parameter in description()["paths"][path]["get"]["parameters"]}
    for number in BAD_NUMBERS:
        world.door.refuse(422, "invalid", "GET", f"{target}?limit={quote(number)}")
        world.door.refuse(422, "invalid", "GET", f"{target}?offset={quote(number)}")
    for number in ("0", "101"):
        world.door.refuse(422, "invalid", "GET", f"{target}?limit={number}")
    world.door.refuse(422, "invalid", "GET", f"{target}?offset=10001")
    for ordering in BAD_ORDERINGS:
        world.door.refuse(422, "invalid", "GET", f"{target}?ordering={quote(ordering)}")
    for name in told.keys() - {"limit", "offset", "cursor", "ordering", "assistant_id", "session_id"}:
        world.door.refuse(422, "invalid", "GET", f"{target}?{name}=a&{name}=b")
    for name in ("limit", "offset", "ordering", "cursor"):
        world.door.refuse(422, "invalid", "GET", f"{target}?{name}=1&{name}=1")


HOSTILE_FILTERS = [
    *HOSTILE_IDS,
    "%",
    "_",
    "\\",
    "%25_\\",
    "'; DROP TABLE runs; --",
    "$1",
    "%(x)s",
    "{0.__class__}",
    "pending,",
    ",,,",
    "[]",
    "{}",
    '{"a": [1, {"b": null}]}',
    '{"a": 1e400}',
    '{"a": NaN}',
    "[" * 1_000,
    "a" * 5_000,
    "\u202e\U0001f600",
]


@pytest.mark.parametrize("path", LISTS)
def test_a_hostile_filter_finds_nothing_or_is_invalid(world: World, path: str) -> None:
    target = address(path, world)
    told = {parameter["name"] for parameter in description()["paths"][path]["get"]["parameters"]}
    for name in sorted(told - {"limit", "offset", "cursor", "ordering"}):
        if "{" + name + "}" in path:
            continue
        for text in HOSTILE_FILTERS:
            answer = world.door.ask("GET", f"{target}?{name}={quote(text, safe='')}")
            assert answer.status_code in {200, 422}, (name, text[:50], answer.text)
            matches_all = name in {"name", "after"} or (name, text) in {("metadata", "{}"), ("prefix", "")}
            if answer.status_code == 200 and not matches_all:
                assert answer.json()["items"] == [], (name, text)


@cache
def cursors_of_lists(world: World) -> list[str]:
    """Where the second pages of our lists begin."""
    pages = [world.door.good("GET", f"{address(path, world)}?limit=1") for path in LISTS]
    return [page["next_cursor"] for page in pages if page["next_cursor"]]


def cursor(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


CURSORS = [
    "x",
    "====",
    "%25",
    cursor("[]"),
    cursor("{}"),
    cursor("null"),
    cursor('["-created_at"]'),
    cursor('["-created_at", null, null]'),
    cursor('["-created_at", 1, 2]'),
    cursor('["-created_at", [], {}]'),
    cursor('["-created_at", "x", "y"]'),
    cursor('["-created_at", "9999-99-99T00:00:00Z", "' + DEAD + '"]'),
    cursor('["-created_at", "2026-01-01T00:00:00", "' + DEAD + '"]'),
    cursor('["-created_at", "0001-01-01T00:00:00+23:59", "' + DEAD + '"]'),
    cursor('["-created_at", "2026-01-01T00:00:00Z", "x"]'),
    cursor('["-created_at", "2026-01-01T00:00:00Z", "' + DEAD + '", 1]'),
    cursor('["password", "a", "b"]'),
    cursor('["-seq", 1e308]'),
    cursor('["seq", 99999999999999999999]'),
    cursor('["seq", "99999999999999999999"]'),
    cursor('["seq", "9223372036854775807"]'),
    cursor('["seq", -9223372036854775808]'),
    cursor('["seq", true]'),
    cursor('["-step", "9223372036854775807"]'),
    cursor('["-version", "9223372036854775807"]'),
    cursor('["-version", "2147483648"]'),
    cursor('["-version", "٣"]'),
    cursor("[" * 500),
    "A" * 5_000,
]


@pytest.mark.parametrize("path", LISTS)
def test_a_cursor_of_another_making_is_invalid_or_finds_what_is_ours(world: World, path: str) -> None:
    target = address(path, world)
    # An ordering of the list's own is as good as what it holds; with another one no cursor is looked at.
    known = [name for name in ("seq", "name") if world.door.ask("GET", f"{target}?ordering={name}").is_success]
    for text in CURSORS:
        for ordering in ("", *(f"&ordering={name}" for name in known)):
            answer = world.door.ask("GET", f"{target}?cursor={quote(text, safe='%')}{ordering}")
            assert answer.status_code in {200, 422}, (text, answer.text)
    whole = {item.get("id", str(item)) for item in world.door.good("GET", f"{target}?limit=100")["items"]}
    for other in cursors_of_lists(world):
        answer = world.door.ask("GET", f"{target}?limit=100&cursor={other}")
        assert answer.status_code in {200, 422}
        if answer.status_code == 200:
            assert {item.get("id", str(item)) for item in answer.json()["items"]} <= whole


# -- headers -----------------------------------------------------------------------------------------------------------

BAD_KEYS = ["", " ", "x" * 256, "a\tb", "\u00e9".encode().decode("latin-1"), "a\x7f", "  a  \x01"]


@pytest.mark.parametrize("route", GOOD, ids=" ".join)
def test_a_hostile_idempotency_key_is_a_bad_request(world: World, route: Route) -> None:
    method, path = route
    target, body = filled(path, world.ours), filled(GOOD[route], world.ours)
    takes = takes_keys(route)
    before = world.door.stored()
    for key in BAD_KEYS:
        headers = [(b"Idempotency-Key", key.encode("latin-1"))]
        world.door.refuse(400, "bad_request", method, target, body, headers=headers)
    if not takes:
        world.door.refuse(400, "bad_request", method, target, body, headers={"Idempotency-Key": "good"})
    else:
        twice = [("Idempotency-Key", "x" * 200), ("Idempotency-Key", "y" * 200)]
        world.door.refuse(400, "bad_request", method, target, body, headers=twice)
    assert world.door.stored() == before


def takes_keys(route: Route) -> bool:
    method, path = blank(route)
    found = next(
        described[method.lower()]
        for known, described in description()["paths"].items()
        if blank((method, known))[1] == path and method.lower() in described
    )
    return any(told["name"] == "Idempotency-Key" for told in found.get("parameters", []))


@pytest.mark.parametrize(
    "value", ["", "x", '"', '"x"', "W/", '"99999999999999999999"', "0", "-1", "1.0", "\xff", ",,,"]
)
def test_a_hostile_if_match_changes_nothing(world: World, value: str) -> None:
    target = f"/assistants/{world.ours['assistant_id']}"
    before = world.door.stored()
    for method, path, body in (
        ("PATCH", target, {"description": "changed"}),
        ("POST", f"{target}/versions/1/rollback", {}),
    ):
        headers = [(b"If-Match", value.encode("latin-1"))]
        world.door.refuse(409, "version_conflict", method, path, body, headers=headers)
    assert world.door.stored() == before


@pytest.mark.parametrize(
    "value", ["x", "1", "1-", "-1", "1-x", "9-1", "99999999999999999999-1", "٣-٣", "1-1-1", "\xff"]
)
def test_a_hostile_last_event_id_is_invalid(world: World, value: str) -> None:
    headers = [(b"Last-Event-ID", value.encode())]
    world.door.refuse(422, "invalid", "GET", f"/runs/{world.ours['run_id']}/stream", headers=headers)


@pytest.mark.parametrize("value", ["", "a b", "x" * 129, "\xe9", "<script>", "a;b", "../..", "a,b", "{{7*7}}", "\x7f"])
def test_a_hostile_request_id_is_replaced(world: World, value: str) -> None:
    for method, path in (("GET", "/sessions"), ("POST", "/runs")):
        answer = world.door.ask(method, path, headers=[(b"X-Request-Id", value.encode("latin-1"))])
        assert len(answer.headers["x-request-id"]) == 32
        assert answer.headers["x-request-id"].isalnum()


@pytest.mark.parametrize("accept", ["", "x", "*/*;q=x", "application/xml;;;,,", "a/b" * 2_000, "\xff"])
def test_a_hostile_accept_is_answered_in_json(world: World, accept: str) -> None:
    for method, path, status in (("GET", f"/runs/{DEAD}", 404), ("POST", "/assistants", 422), ("GET", "/nowhere", 404)):
        answer = world.door.ask(method, path, headers=[(b"Accept", accept.encode("latin-1"))])
        assert (answer.status_code, answer.headers["content-type"]) == (status, "application/json"), answer.text


# -- methods -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path", sorted({blank(route)[1] for route in GOOD} | {blank(("GET", path))[1] for path in READS})
)
def test_a_method_that_a_route_does_not_have_is_not_allowed(world: World, path: str) -> None:
    served = methods_of(path)
    target = path.replace("/versions/{}", "/versions/1").replace("/tags/{}", "/tags/stable").replace("{}", DEAD)
    before = world.door.stored()
    for method in {"GET", "POST", "PUT", "PATCH", "DELETE", "TRACE", "PROPFIND", "FOO"} - served:
        told = world.door.refuse(405, "method_not_allowed", method, target, {})
        assert set(told.answer.headers["allow"].split(", ")) - {"HEAD", "OPTIONS"} == served
    assert world.door.stored() == before


def methods_of(path: str) -> set[str]:
    found: set[str] = set()
    for known, described in description()["paths"].items():
        if blank(("GET", known))[1] == path:
            found |= {method.upper() for method in described}
    return found
