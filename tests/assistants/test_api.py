"""The assistants over HTTP: shapes, codes, pages, walls."""

import json
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from rest_framework.test import APIClient

from accounts.identity import Identity
from accounts.models import User
from accounts.services import create_api_key
from assistants.config import AssistantConfig
from assistants.models import Assistant, AssistantTag
from tests.api import UNKNOWN

pytestmark = pytest.mark.django_db
Body = dict[str, Any]

KNOWN_BY_THE_SERVER = {
    "id",
    "status",
    "version",
    "tags",
    "endpoint",
    "validation",
    "created_at",
    "updated_at",
    "created_by",
}


def client_of(identity: Identity, *scopes: str) -> APIClient:
    _, key = create_api_key(identity.workspace_id, "tests", scopes or ["*"])
    client = APIClient(headers={"Authorization": f"Bearer {key}"})
    client.default_format = "json"
    return client


@pytest.fixture
def client(identity: Identity) -> APIClient:
    return client_of(identity)


@pytest.fixture
def assistant(client: APIClient, body: Body) -> Body:
    return post(client, "/assistants", body)


def post(client: APIClient, path: str, body: Any = None, status: int = 201) -> Body:
    return answer(client.post(path, body), status)


# Assistants of hosted graphs have them.
OF_GRAPHS = {"graph_id", "config", "context"}


def answer(response: Any, status: int = 200) -> Body:
    assert response.status_code == status, response.content
    document: Body = json.loads(response.content)
    return document


def test_creating_answers_the_whole_assistant(client: APIClient, body: Body) -> None:
    made = post(client, "/assistants", body)
    assert made.keys() == AssistantConfig.model_fields.keys() - OF_GRAPHS | KNOWN_BY_THE_SERVER
    assert (made["version"], made["status"], made["tags"]) == (1, "active", {})
    assert list(made["llm"])[:3] == ["provider", "model", "temperature"]
    assert made["created_at"].endswith("Z")
    assert made["created_by"] == "key:tests"
    assert answer(client.get(f"/assistants/{made['id']}")) == made


def test_an_error_has_the_one_body(client: APIClient, body: Body) -> None:
    error = post(client, "/assistants", {**body, "llm": {**body["llm"], "temperature": 3}}, 422)
    assert error.keys() == {"detail", "code", "request_id", "errors"}
    assert error["code"] == "invalid"
    assert [fault["loc"] for fault in error["errors"]] == [["llm", "temperature"]]
    assert not Assistant.objects.exists()


@pytest.mark.parametrize(
    ("content", "content_type", "status"),
    [
        ("{", "application/json", 400),
        ('{"name": "a", "name": "b"}', "application/json", 400),
        ('{"name": NaN}', "application/json", 400),
        ("[]", "application/json", 422),
        ("null", "application/json", 422),
        ("name=a", "application/x-www-form-urlencoded", 415),
        ("{}", "text/plain", 415),
        ("", "application/json", 422),
    ],
)
def test_a_body_that_is_not_right_is_refused(client: APIClient, content: str, content_type: str, status: int) -> None:
    answer(client.generic("POST", "/assistants", content, content_type), status)
    assert not Assistant.objects.exists()


def test_a_name_that_is_taken_is_a_conflict(client: APIClient, assistant: Body, body: Body) -> None:
    assert post(client, "/assistants", body, 409)["code"] == "already_exists"


def test_a_patch_answers_the_new_version(client: APIClient, assistant: Body) -> None:
    path = f"/assistants/{assistant['id']}"
    changed = answer(client.patch(path, {"llm": {"temperature": 0.5}}))
    assert (changed["version"], changed["llm"]["model"], changed["llm"]["temperature"]) == (2, "echo", 0.5)
    assert changed["updated_at"] > assistant["updated_at"]
    assert answer(client.get(f"{path}/versions/1"))["config"]["llm"]["temperature"] is None


def test_if_match_guards_a_patch(client: APIClient, assistant: Body) -> None:
    path = f"/assistants/{assistant['id']}"
    answer(client.patch(path, {"max_steps": 3}, headers={"If-Match": '"1"'}))
    stale = answer(client.patch(path, {"max_steps": 4}, headers={"If-Match": '"1"'}), 409)
    assert stale["code"] == "version_conflict"
    assert client.get(path).headers["ETag"] == '"2"'
    assert answer(client.patch(path, {"max_steps": 4, "expected_version": 1}), 409)["code"] == "version_conflict"


def test_the_life_of_an_assistant(client: APIClient, body: Body) -> None:
    path = f"/assistants/{post(client, '/assistants', {**body, 'status': 'created'})['id']}"
    assert post(client, f"{path}/activate", status=200)["status"] == "active"
    assert post(client, f"{path}/activate", status=409)["code"] == "conflict"
    assert post(client, f"{path}/archive", {}, 200)["status"] == "archived"
    assert answer(client.patch(path, {"max_steps": 3}), 409)["code"] == "conflict"
    assert post(client, f"{path}/restore", status=200)["status"] == "active"
    assert answer(client.delete(path))["status"] == "archived"
    assert answer(client.delete(path))["status"] == "archived"
    assert answer(client.get(path))["status"] == "archived"


def test_a_move_takes_no_fields(client: APIClient, assistant: Body) -> None:
    assert post(client, f"/assistants/{assistant['id']}/archive", {"now": True}, 422)["errors"]


def test_failed_checks_are_named_on_activation(client: APIClient, body: Body) -> None:
    made = post(client, "/assistants", {**body, "tools": [{"name": "no_such_tool"}]})
    assert (made["status"], made["validation"]["status"]) == ("created", "failed")
    error = post(client, f"/assistants/{made['id']}/activate", status=409)
    assert [fault["loc"] for fault in error["errors"]] == [["tools", 0, "name"]]


@pytest.mark.parametrize("path", ["x", UNKNOWN, UNKNOWN.upper(), "%00", "☃"])
def test_unknown_and_malformed_ids_are_not_found(client: APIClient, path: str) -> None:
    for response in (
        client.get(f"/assistants/{path}"),
        client.patch(f"/assistants/{path}", {"max_steps": 3}),
        client.delete(f"/assistants/{path}"),
        client.post(f"/assistants/{path}/activate"),
        client.get(f"/assistants/{path}/versions"),
        client.get(f"/assistants/{path}/versions/1"),
    ):
        assert answer(response, 404)["code"] == "not_found"


@pytest.mark.parametrize("number", ["2", "0", "-1", "x", "01", "99999999999999999999", "٣"])
def test_an_unknown_version_is_not_found(client: APIClient, assistant: Body, number: str) -> None:
    answer(client.get(f"/assistants/{assistant['id']}/versions/{number}"), 404)


def test_scopes_are_asked_for(identity: Identity, assistant: Body, body: Body) -> None:
    path = f"/assistants/{assistant['id']}"
    reader, other = client_of(identity, "assistants:read"), client_of(identity, "runs:write")
    answer(reader.get(path))
    for response in (reader.post("/assistants", body), reader.patch(path, {}), reader.delete(path)):
        answer(response, 403)
    for route in ("/assistants", path, f"{path}/versions", "/tools", "/assistant-types", "/middleware-types"):
        answer(other.get(route), 403)
        answer(APIClient().get(route), 401)


def test_versions_cannot_be_changed(client: APIClient, assistant: Body) -> None:
    path = f"/assistants/{assistant['id']}/versions/1"
    for response in (client.patch(path, {}), client.put(path, {}), client.delete(path), client.post(path, {})):
        assert answer(response, 405)["code"] == "method_not_allowed"


def test_versions_are_listed_the_latest_first_with_their_tags(client: APIClient, assistant: Body) -> None:
    path = f"/assistants/{assistant['id']}"
    for steps in (2, 3):
        client.patch(path, {"max_steps": steps, "change_note": f"now {steps}"})
    AssistantTag.objects.create(assistant_id=assistant["id"], name="stable", version=2)
    page = answer(client.get(f"{path}/versions?limit=2"))
    assert [item["version"] for item in page["items"]] == [3, 2]
    assert (page["total"], page["items"][1]["tags"], page["items"][1]["change_note"]) == (3, ["stable"], "now 2")
    assert page["items"][0].keys() == {
        "version",
        "config",
        "created_at",
        "created_by",
        "change_note",
        "source_version",
        "tags",
    }
    rest = answer(client.get(f"{path}/versions?cursor={page['next_cursor']}"))
    assert [item["version"] for item in rest["items"]] == [1]
    assert answer(client.get(path))["tags"] == {"stable": 2}


@pytest.fixture
def many(client: APIClient, body: Body) -> list[Body]:
    """Five assistants; the second is archived, the third held back."""
    made = [
        post(client, "/assistants", {**body, "name": f"Helper {n}", **({"status": "created"} if n == 2 else {})})
        for n in range(5)
    ]
    client.patch(f"/assistants/{made[0]['id']}", {"metadata": {"team": "x", "deep": {"er": [1, 2]}}})
    client.delete(f"/assistants/{made[1]['id']}")
    return made


def names(client: APIClient, query: str) -> list[str]:
    return [item["name"] for item in answer(client.get(f"/assistants{query}"))["items"]]


def test_assistants_are_listed_the_newest_first(client: APIClient, many: list[Body]) -> None:
    page = answer(client.get("/assistants?limit=2"))
    assert [item["name"] for item in page["items"]] == ["Helper 4", "Helper 3"]
    assert page["items"][0] == many[4]
    assert (page["total"], page["total_exact"], page["limit"], page["offset"]) == (5, True, 2, 0)
    assert names(client, "?limit=2&offset=2") == ["Helper 2", "Helper 1"]
    assert names(client, f"?limit=2&cursor={page['next_cursor']}") == ["Helper 2", "Helper 1"]
    assert names(client, "?ordering=name&limit=1") == ["Helper 0"]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("?name=HELPER", 5),
        ("?name=4", 1),
        ("?name=%25", 0),
        ("?status=archived", 1),
        ("?status=active", 3),
        ("?type=ReactAgent", 5),
        ("?type=Other", 0),
        ("?type=ReactAgent&status=created&name=elp", 1),
        ('?metadata={"team":"x"}', 1),
        ('?metadata={"team":"x","deep":{"er":[2]}}', 1),
        ('?metadata={"team":"y"}', 0),
        ("?metadata={}", 5),
    ],
)
def test_lists_are_filtered(client: APIClient, many: list[Body], query: str, found: int) -> None:
    page = answer(client.get(f"/assistants{query}"))
    assert len(page["items"]) == page["total"] == found


@pytest.mark.parametrize(
    ("query", "name"),
    [
        ("limit=0", "limit"),
        ("limit=101", "limit"),
        ("limit=x", "limit"),
        ("offset=-1", "offset"),
        ("status=happy", "status"),
        ("ordering=llm", "ordering"),
        ("cursor=nonsense", "cursor"),
        ("surprise=1", "surprise"),
        ("name=%00", "name"),
        ("type=%00", "type"),
        ("metadata=x", "metadata"),
        ("metadata=[]", "metadata"),
        ('metadata={"a":1,"a":2}', "metadata"),
    ],
)
def test_a_query_that_is_not_right_is_refused(client: APIClient, query: str, name: str) -> None:
    error = answer(client.get(f"/assistants?{query}"), 422)
    assert error["errors"][0]["loc"] == ["query", name]


def test_lists_cost_the_same_number_of_queries_at_any_length(client: APIClient, assistant: Body, body: Body) -> None:
    def cost(path: str) -> int:
        with CaptureQueriesContext(
            connection,
        ) as queries:
            answer(client.get(path))
        return len(queries)

    one = f"/assistants/{assistant['id']}"
    lists = ["/assistants", f"{one}/versions", f"{one}/audit"]
    answer(client.get(lists[0]))
    client.patch(one, {"max_steps": 59})
    before = [cost(f"{path}?limit=1") for path in lists]
    for number in range(4):
        post(client, "/assistants", {**body, "name": f"another {number}"})
        client.patch(f"/assistants/{assistant['id']}", {"max_steps": 60 + number})
    assert [cost(f"{path}?limit=5") for path in lists] == before


def test_types_and_tools_describe_themselves(client: APIClient) -> None:
    (react,) = [entry for entry in client.get("/assistant-types").json() if entry["name"] == "ReactAgent"]
    assert react.keys() == {"name", "description", "config_schema"}
    assert react["config_schema"]["properties"]["llm"] == {"$ref": "#/$defs/LLMConfig"}
    assert react["config_schema"]["properties"]["type"]["const"] == "ReactAgent"
    tools = {tool["name"]: tool for tool in client.get("/tools").json()}
    assert {"calculator", "current_time", "http_request"} <= tools.keys()
    assert {"name", "description", "args_schema", "parameters_schema", "problems"} <= tools["calculator"].keys()


def test_middleware_describes_itself(client: APIClient) -> None:
    found = {entry["name"]: entry for entry in client.get("/middleware-types").json()}
    title = found["conversation_title"]
    assert title.keys() == {"name", "description", "settings_schema"}
    assert title["description"].startswith("Gives a conversation a title")
    assert title["settings_schema"]["properties"]["max_chars"]["default"] == 80


def test_numbers_of_any_size_come_back(client: APIClient, body: Body) -> None:
    numbers = {"big": 1e300, "small": 1e-300, "long": 2**63 - 1, "zero": -0.0}
    made = post(client, "/assistants", {**body, "metadata": numbers})
    assert answer(client.get(f"/assistants/{made['id']}"))["metadata"] == numbers


def test_a_browser_gets_pages_with_forms(client: APIClient, assistant: Body) -> None:
    browser = APIClient(headers={"Accept": "text/html"})
    browser.force_login(User.objects.create_superuser("admin", password="admin"))
    new = browser.get("/assistants").content.decode()
    assert "&quot;my-assistant&quot;" in new
    one = browser.get(f"/assistants/{assistant['id']}").content.decode()
    assert "&quot;helper&quot;" in one
    assert "&quot;validation&quot;" in one


@pytest.mark.parametrize(
    ("scope", "path", "status"),
    [("*", f"/assistants/{UNKNOWN}", 404), ("*", "/assistants?limit=0", 422), ("runs:read", "/assistants", 403)],
)
def test_a_browser_gets_errors_as_pages(identity: Identity, scope: str, path: str, status: int) -> None:
    response = client_of(identity, scope).get(path, headers={"Accept": "text/html"})
    assert response.status_code == status
    assert "&quot;request_id&quot;" in response.content.decode()


def test_who_may_only_read_gets_a_page_without_a_form(identity: Identity) -> None:
    response = client_of(identity, "assistants:read").get("/assistants", headers={"Accept": "text/html"})
    assert response.status_code == 200
    assert "my-assistant" not in response.content.decode()


def test_a_login_without_a_csrf_token_cannot_write(body: Body, identity: Identity) -> None:
    browser = APIClient(enforce_csrf_checks=True)
    browser.force_login(User.objects.create_superuser("admin", password="admin"))
    assert browser.post("/assistants", body, format="json").status_code == 403
    assert not Assistant.objects.exists()
