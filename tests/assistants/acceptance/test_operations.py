"""The calls: listing, reading, changing, also by many at once, and what is said to those who err."""

from typing import Any
from uuid import uuid4

import httpx
import pytest

from tests.api import UNKNOWN
from tests.assistants.acceptance.calls import ECHO, PROMPT, Caller, Document, at_once, path_of, refused

pytestmark = pytest.mark.servers


# -- listed (B40) --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def family() -> str:
    """A part of the names of the 25 assistants that are listed here."""
    return f"Family {uuid4()}"


@pytest.fixture
def members(caller: Caller, family: str) -> list[Document]:
    """The 25, the newest first; made once. Of each five one is archived, one held back, one answers from documents."""
    found = caller.items("/assistants", name=family, limit=100)
    if not found:
        at_once(25, lambda n: _member(caller, family, n))
        found = caller.items("/assistants", name=family, limit=100)
    return found


def _member(caller: Caller, family: str, number: int) -> None:
    kinds: list[Document] = [{}, {}, {"status": "created"}, {"type": "DocumentAssistant"}, {}]
    metadata = {"team": f"{family} {number % 5}", "place": {"number": number, "even": number % 2 == 0}}
    made = caller.create(name=f"{family} no. {number}", metadata=metadata, **kinds[number % 5])
    if number % 5 == 4:
        caller.delete(path_of(made))


def test_pages_by_offset_do_not_overlap(caller: Caller, family: str, members: list[Document]) -> None:
    pages = [caller.get("/assistants", name=family, limit=7, offset=offset) for offset in range(0, 28, 7)]
    assert [item for page in pages for item in page["items"]] == members
    assert [len(page["items"]) for page in pages] == [7, 7, 7, 4]
    assert [(page["total"], page["total_exact"], page["limit"]) for page in pages] == [(25, True, 7)] * 4
    assert caller.items("/assistants", name=family, offset=25) == []


def test_pages_by_cursor_do_not_overlap_even_while_others_come(
    caller: Caller, family: str, members: list[Document]
) -> None:
    seen: list[Document] = []
    cursor: Document = {}
    while True:
        page = caller.get("/assistants", name=family, limit=10, **cursor)
        seen += page["items"]
        if page["next_cursor"] is None:
            break
        cursor = {"cursor": page["next_cursor"]}
        late = caller.create(name=f"{family} latecomer {len(seen)}")
        caller.delete(path_of(late), permanent="true")
    assert seen == members


def test_twenty_is_the_default_and_a_hundred_the_most(caller: Caller, family: str, members: list[Document]) -> None:
    page = caller.get("/assistants", name=family)
    assert (len(page["items"]), page["limit"], page["offset"]) == (20, 20, 0)
    assert page.keys() == {"items", "total", "total_exact", "limit", "offset", "next_cursor"}
    assert [item["created_at"] for item in members] == sorted((m["created_at"] for m in members), reverse=True)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"type": "DocumentAssistant"}, {3, 8, 13, 18, 23}),
        ({"type": "ReactAgent", "status": "active"}, {0, 1, 5, 6, 10, 11, 15, 16, 20, 21}),
        ({"status": "created"}, {2, 7, 12, 17, 22}),
        ({"status": "archived"}, {4, 9, 14, 19, 24}),
        ({"status": "created,archived"}, {2, 4, 7, 9, 12, 14, 17, 19, 22, 24}),
        ({"metadata": '{"team": "FAMILY 3"}'}, {3, 8, 13, 18, 23}),
        ({"metadata": '{"place": {"number": 17}}'}, {17}),
        ({"metadata": '{"team": "FAMILY 1", "place": {"even": true}}'}, {6, 16}),
        ({"metadata": '{"team": "FAMILY"}'}, set()),
        ({"metadata": '{"place": {"number": "17"}}'}, set()),
    ],
)
def test_each_filter_finds_exactly_its_own(
    caller: Caller, family: str, members: list[Document], query: dict[str, str], expected: set[int]
) -> None:
    query = {key: value.replace("FAMILY", family) for key, value in query.items()}
    page = caller.get("/assistants", name=family, limit=100, **query)
    assert {item["metadata"]["place"]["number"] for item in page["items"]} == expected
    assert page["total"] == len(expected)


def test_a_part_of_the_name_is_enough_in_any_case(caller: Caller, family: str, members: list[Document]) -> None:
    for part in (family.upper(), family.lower(), family[3:-3]):
        assert caller.get("/assistants", name=part)["total"] == 25
    assert caller.get("/assistants", name=f"{family.upper()} NO. 17")["total"] == 1
    # No pattern language: these are characters.
    for pattern in ("%", "_", "\\", ".*"):
        assert caller.get("/assistants", name=f"{family}{pattern}")["total"] == 0


def test_metadata_alone_finds_an_assistant(caller: Caller, family: str, members: list[Document]) -> None:
    found = caller.items("/assistants", metadata=f'{{"team": "{family} 2"}}', status="created")
    assert {item["metadata"]["place"]["number"] for item in found} == {2, 7, 12, 17, 22}


@pytest.mark.parametrize(
    ("query", "name"),
    [
        ("limit=0", "limit"),
        ("limit=101", "limit"),
        ("limit=-1", "limit"),
        ("limit=1e1", "limit"),
        ("limit=99999999999999999999", "limit"),
        ("limit=", "limit"),
        ("offset=-1", "offset"),
        ("offset=10001", "offset"),
        ("status=sleeping", "status"),
        ("ordering=config", "ordering"),
        ("metadata=team", "metadata"),
        ("metadata=%5B%22team%22%5D", "metadata"),
        ("metadata=", "metadata"),
        ("cursor=abc", "cursor"),
        ("cursor=abc&offset=1", "offset"),
        ("name=a&name=b", "name"),
        ("q=x", "q"),
    ],
)
def test_a_query_that_is_wrong_is_refused_by_its_key(caller: Caller, query: str, name: str) -> None:
    refused(caller.client.get(f"/assistants?{query}"), 422, "invalid", "query", name)


@pytest.mark.parametrize("query", ["name=%00", "metadata=%00", "type=%00", "cursor=%00"])
def test_a_query_with_a_nul_is_refused(caller: Caller, query: str) -> None:
    refused(caller.client.get(f"/assistants?{query}"), 400, "bad_request")


# -- read (B41) ----------------------------------------------------------------------------------------------------


def test_an_assistant_reads_whole(caller: Caller) -> None:
    made = caller.create()
    answer = caller.client.get(path_of(made))
    assert answer.json() == made
    assert answer.headers["etag"] == '"1"'
    blocks = {"llm", "system_prompt", "tools", "skills", "memory", "mcp_servers", "metadata", "rate_limit", "quota"}
    assert blocks | {"status", "version", "tags", "created_at", "updated_at", "created_by"} <= made.keys()


@pytest.mark.parametrize("bad", [UNKNOWN, "x", "1", "%00", "☃", "a" * 300])
def test_an_unknown_assistant_is_not_found_wherever_it_is_named(caller: Caller, bad: str) -> None:
    path, client = f"/assistants/{bad}", caller.client
    answers = [
        client.get(path),
        client.patch(path, json={"max_steps": 3}),
        client.delete(path),
        client.delete(path, params={"permanent": "true"}),
        *(client.post(f"{path}/{move}") for move in ("activate", "archive", "restore", "sessions")),
        *(client.get(f"{path}/{part}") for part in ("versions", "versions/1", "sessions", "audit", "metrics")),
        client.get(f"{path}/versions/diff?from=1&to=1"),
        client.post(f"{path}/versions/1/rollback"),
        client.put(f"{path}/versions/1/tags/stable"),
        client.delete(f"{path}/versions/1/tags/stable"),
    ]
    for answer in answers:
        refused(answer, 404, "not_found")


# -- changed (B42) -------------------------------------------------------------------------------------------------


def test_a_change_merges_deeply_and_answers_the_new_number(caller: Caller) -> None:
    made = caller.create(llm={**PROMPT, "top_p": 0.3}, metadata={"a": {"b": 1, "c": [1, 2]}})
    change = {"llm": {"temperature": 0.5}, "metadata": {"a": {"c": [3]}, "d": 4}}
    changed = caller.patch(path_of(made), change)
    assert changed["version"] == 2
    assert changed["llm"] == {**made["llm"], "temperature": 0.5}
    assert changed["metadata"] == {"a": {"b": 1, "c": [3]}, "d": 4}
    assert caller.get(path_of(made)) == changed


def test_a_list_is_replaced_whole(caller: Caller) -> None:
    made = caller.create(tools=[{"name": "calculator"}, {"name": "current_time"}])
    changed = caller.patch(path_of(made), {"tools": [{"name": "current_time"}]})
    assert [tool["name"] for tool in changed["tools"]] == ["current_time"]


def test_null_returns_a_field_to_its_default(caller: Caller) -> None:
    plain = caller.create()
    asked = {
        "description": "d",
        "system_prompt": "s",
        "tools": [{"name": "calculator"}],
        "metadata": {"a": 1},
        "retry_policy": {"max_attempts": 9},
        "max_concurrent_runs": 2,
        "rate_limit": {"requests_per_minute": 60},
        "priority": 5,
        "input_schema": {"type": "object"},
        "resources": {"labels": ["gpu"]},
        "session_ttl_seconds": 60,
    }
    made = caller.create(**asked, llm={**PROMPT, "temperature": 1})
    changed = caller.patch(path_of(made), {**dict.fromkeys(asked), "llm": {"temperature": None}})
    assert {key: changed[key] for key in [*asked, "llm"]} == {key: plain[key] for key in [*asked, "llm"]}


def test_null_takes_a_key_out_of_metadata(caller: Caller) -> None:
    made = caller.create(metadata={"keep": 1, "drop": {"deep": 2}})
    assert caller.patch(path_of(made), {"metadata": {"drop": None, "never": None}})["metadata"] == {"keep": 1}


@pytest.mark.parametrize(
    ("change", "loc"),
    [
        ({"name": None}, ["name"]),
        ({"llm": None}, ["llm"]),
        ({"llm": {"model": None}}, ["llm", "model"]),
        ({"llm": {"temperature": 3}}, ["llm", "temperature"]),
        ({"llm": {"temprature": 1}}, ["llm", "temprature"]),
        ({"llm": []}, ["llm"]),
        ({"tools": {}}, ["tools"]),
        ({"tools": [{"name": "teleport"}]}, ["tools", 0, "name"]),
        ({"status": "archived"}, ["status"]),
        ({"status": "created"}, ["status"]),
        ({"version": 5}, ["version"]),
        ({"id": str(uuid4())}, ["id"]),
        ({"type": "Nothing"}, ["type"]),
        ({"expected_version": 0}, ["expected_version"]),
        ({"expected_version": "1"}, ["expected_version"]),
        ({"change_note": 1}, ["change_note"]),
        ({"surprise": None}, ["surprise"]),
    ],
)
def test_a_change_that_is_wrong_changes_nothing(caller: Caller, change: Document, loc: list[Any]) -> None:
    made = caller.create()
    refused(caller.client.patch(path_of(made), json=change), 422, "invalid", *loc)
    assert caller.get(path_of(made)) == made


def test_the_type_may_be_changed(caller: Caller) -> None:
    made = caller.create()
    assert caller.patch(path_of(made), {"type": "DocumentAssistant"})["type"] == "DocumentAssistant"
    assert caller.get("/assistants", name=made["name"], type="DocumentAssistant")["total"] == 1


def test_who_knows_an_older_version_cannot_change_it(caller: Caller) -> None:
    made = caller.create()
    path = path_of(made)

    def patch(steps: int, tag: str | None = None, **body: int) -> httpx.Response:
        headers = {} if tag is None else {"If-Match": tag}
        return caller.client.patch(path, json={"max_steps": steps, **body}, headers=headers)

    assert patch(2, '"1"').json()["version"] == 2
    refused(patch(3, '"1"'), 409, "version_conflict")
    refused(patch(3, expected_version=1), 409, "version_conflict")
    refused(patch(3, '"nonsense"'), 409, "version_conflict")
    assert patch(3, expected_version=2).json()["version"] == 3
    assert patch(4, "*").json()["version"] == 4
    assert caller.get(path)["max_steps"] == 4


def test_twenty_changes_at_once_make_twenty_versions_and_lose_none(caller: Caller) -> None:
    path = path_of(caller.create())
    answers = at_once(20, lambda n: caller.client.patch(path, json={"metadata": {f"key {n}": n}}))
    assert [answer.status_code for answer in answers] == [200] * 20
    assert sorted(answer.json()["version"] for answer in answers) == list(range(2, 22))
    for number, answer in enumerate(answers):
        assert answer.json()["metadata"][f"key {number}"] == number
    assert caller.get(path)["metadata"] == {f"key {n}": n for n in range(20)}
    versions = caller.items(f"{path}/versions", limit=100)
    assert [len(version["config"]["metadata"]) for version in versions] == list(range(20, -1, -1))


def test_of_twenty_that_know_the_same_version_one_changes_it(caller: Caller) -> None:
    path = path_of(caller.create())
    headers = {"If-Match": '"1"'}
    answers = at_once(20, lambda n: caller.client.patch(path, json={"max_steps": 100 + n}, headers=headers))
    assert sorted(answer.status_code for answer in answers) == [200, *[409] * 19]
    for answer in answers:
        if answer.status_code == 409:
            refused(answer, 409, "version_conflict")
    (winner,) = [answer.json() for answer in answers if answer.status_code == 200]
    assert (winner["version"], caller.get(path)) == (2, winner)


# -- JSON everywhere (B46) -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "route"),
    [
        ("POST", "/assistants"),
        ("PATCH", "{path}"),
        ("POST", "{path}/activate"),
        ("POST", "{path}/archive"),
        ("POST", "{path}/restore"),
        ("POST", "{path}/sessions"),
        ("POST", "{path}/versions/1/rollback"),
        ("PUT", "{path}/versions/1/tags/stable"),
    ],
)
def test_only_json_is_taken(caller: Caller, method: str, route: str) -> None:
    made = caller.create()
    for kind in ("text/plain", "application/x-www-form-urlencoded", "application/xml"):
        headers = {"Content-Type": kind}
        answer = caller.client.request(method, route.format(path=path_of(made)), content=b"{}", headers=headers)
        refused(answer, 415, "unsupported_media_type")
    assert caller.get(path_of(made)) == made


@pytest.mark.parametrize(
    ("content", "status", "code"),
    [
        (b"{", 400, "bad_request"),
        (b"\xff\xfe", 400, "bad_request"),
        (b'{"name": "a", "name": "b"}', 400, "bad_request"),
        (b'{"name": NaN}', 400, "bad_request"),
        (b'{"name": "a\\u0000"}', 400, "bad_request"),
        (b'{"name": "\\ud800"}', 400, "bad_request"),
        (b'{"priority": 1' + b"0" * 40 + b"}", 400, "bad_request"),
        (b'{"metadata": ' + b'{"a": ' * 70 + b"1" + b"}" * 70 + b"}", 400, "bad_request"),
        (b"[]", 422, "invalid"),
        (b"null", 422, "invalid"),
        (b'"text"', 422, "invalid"),
    ],
)
def test_what_is_no_json_object_is_refused_in_the_one_body(
    caller: Caller, content: bytes, status: int, code: str
) -> None:
    made = caller.create()
    for method, path in (("POST", "/assistants"), ("PATCH", path_of(made))):
        answer = caller.client.request(method, path, content=content, headers={"Content-Type": "application/json"})
        refused(answer, status, code)
    assert caller.get(path_of(made)) == made


def test_unknown_routes_and_methods_answer_in_the_one_body(caller: Caller) -> None:
    path = path_of(caller.create(llm=ECHO))
    refused(caller.client.get(f"{path}/nowhere"), 404, "not_found")
    refused(caller.client.get("/assistantz"), 404, "not_found")
    refused(caller.client.put(path, json={}), 405, "method_not_allowed")
    refused(caller.client.delete("/assistants"), 405, "method_not_allowed")
    refused(caller.client.get(f"{path}/archive"), 405, "method_not_allowed")


def test_a_move_takes_no_fields_and_no_query(caller: Caller) -> None:
    path = path_of(caller.create())
    refused(caller.client.post(f"{path}/archive", json={"now": True}), 422, "invalid", "now")
    refused(caller.client.post(f"{path}/archive?now=1"), 422, "invalid", "query", "now")
    refused(caller.client.delete(f"{path}?permanent=maybe"), 422, "invalid", "query", "permanent")
    assert caller.get(path)["status"] == "active"
