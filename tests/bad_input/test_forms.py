"""What people send from pages, and what they write into addresses: nothing of it is a failure of the server's."""

from typing import Any
from urllib.parse import quote, urlencode
from uuid import uuid4

import pytest
from django.contrib import admin
from django.db import connection
from django.test import Client
from django.urls import reverse

from accounts.models import User
from tests.api import UNKNOWN, Api, assert_refused
from tests.bad_input.routes import FORMS, filled
from tests.bad_input.test_addresses import BAD_NUMBERS
from tests.bad_input.test_fields import HOSTILE_IDS

UNSTORABLE = ["a\0b", "\0", "\ud800"]
ODD = ["", "x" * 100_000, "\u202e\u200b", "{{ 7*7 }}", "../../etc/passwd", "' OR 1=1 --", "\r\nSet-Cookie: a=b", "%s%n"]


@pytest.fixture
def browser(db: None, settings: Any) -> Client:
    """An operator's, which shows a failure as the page that it is. What is sent here is no password to be kept well."""
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    client = Client(raise_request_exception=False)
    client.force_login(User.objects.create_superuser("root", password="a long password"))
    return client


def count() -> int:
    with connection.cursor() as cursor:
        tables = [name for name in connection.introspection.table_names(cursor) if name != "django_session"]
        cursor.execute(" UNION ALL ".join(f'SELECT count(*) FROM "{name}"' for name in tables))
        return sum(row[0] for row in cursor.fetchall())


def forms(api: Api) -> dict[str, dict[str, str]]:
    """Each form's address, with fields that it takes. Who has signed out sees no other form."""
    api.client.put("/secrets/KEPT", {"value": "a secret text", "hosts": ["example.com"]}, format="json")
    assistant = api.assistant()
    ids = {
        "workspace_id": str(api.workspace.id),
        "assistant_id": assistant,
        "session_id": api.session(assistant),
        "key_id": api.post("/api-keys", {"name": "spare", "scopes": ["runs:read"]}).json()["id"],
        "member_id": api.post("/members", {"username": uuid4().hex}).json()["id"],
        "name": "KEPT",
        "token": "nothing",
        "unknown": UNKNOWN,
    }
    return {filled(path, ids): filled(fields, ids) for path, fields in FORMS.items() if path != "/logout"}


@pytest.mark.parametrize("text", UNSTORABLE, ids=ascii)
def test_a_form_with_what_no_database_keeps_is_a_bad_request(browser: Client, api: Api, text: str) -> None:
    sent = forms(api)
    before = count()
    for address, fields in sent.items():
        for name in fields:
            hostile = urlencode({**fields, name: text}, errors="surrogatepass")
            answer = browser.post(address, hostile, "application/x-www-form-urlencoded")
            # Half of an emoji is no UTF-8 and has become U+FFFD, which can be kept.
            if "\0" in text:
                assert_refused(answer, 400, "bad_request")
            assert answer.status_code < 500, (address, name)
        if "\0" in text:
            multipart = browser.post(address, {**fields, "surprise": text})
            assert_refused(multipart, 400, "bad_request")
    if "\0" in text:
        assert count() == before


def test_a_form_in_a_charset_that_spells_surrogates_is_no_failure(browser: Client, api: Api) -> None:
    body = b'--x\r\nContent-Disposition: form-data; name="title"\r\n\r\n\\ud800\\u0000\r\n--x--\r\n'
    for charset in ("unicode_escape", "raw_unicode_escape", "utf-7", "utf-16", "rot13", "nonsense"):
        for address in forms(api):
            answer = browser.generic("POST", address, body, f"multipart/form-data; boundary=x; charset={charset}")
            assert answer.status_code < 500, (charset, address)


@pytest.mark.parametrize("nth", range(len(ODD)), ids=lambda nth: ascii(ODD[nth][:30]))
def test_odd_fields_are_taken_or_refused(browser: Client, api: Api, nth: int) -> None:
    """All of them at once, and each text alone in another one of the fields."""
    text = ODD[nth]
    for address, fields in forms(api).items():
        alone = list(fields)[nth % len(fields)] if fields else ""
        for sent in ({**fields, alone: text}, dict.fromkeys(fields, text), {}):
            answer = browser.post(address, sent)
            assert answer.status_code < 500, (address, alone, text[:50])
            assert "Set-Cookie: a=b" not in str(answer.headers)


def test_what_is_no_form_is_no_failure(browser: Client, api: Api) -> None:
    for address in forms(api):
        assert browser.post(address, b"\xff\xfe", "application/x-www-form-urlencoded").status_code < 500
        assert browser.post(address, b"{", "application/json").status_code < 500
        assert browser.post(address, b"x", "multipart/form-data").status_code < 500


QUERIES = [
    "q",
    "o",
    "p",
    "e",
    "all",
    "id",
    "id__exact",
    "id__in",
    "status__exact",
    "workspace__id__exact",
    "created_at__gte",
]


@pytest.mark.parametrize("model", admin.site._registry, ids=lambda model: model._meta.label_lower)
def test_the_admins_pages_take_any_address(browser: Client, model: Any) -> None:
    changelist = reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")
    for name in QUERIES:
        for text in ("x", "9" * 30, "\u202e' --"):
            answer = browser.get(f"{changelist}?{name}={quote(text, safe='')}")
            assert answer.status_code < 500, (name, text)
    for identifier in HOSTILE_IDS[1:5]:
        answer = browser.get(f"{changelist}{quote(identifier, safe='')}/change/")
        assert answer.status_code < 500, identifier
    for action in ("delete_selected", "revoke", "nothing", ""):
        answer = browser.post(changelist, {"action": action, "_selected_action": ["x", UNKNOWN, "9" * 30]})
        assert answer.status_code < 500, action


@pytest.mark.parametrize("model", admin.site._registry, ids=lambda model: model._meta.label_lower)
def test_the_admins_forms_take_any_field(browser: Client, model: Any) -> None:
    add = reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_add")
    page = browser.get(add)
    assert page.status_code < 500
    form = page.context and page.context.get("adminform")
    names = list(form.form.fields) if form else ["configuration", "workspace", "name"]
    for text in (ODD[1], ODD[2], UNSTORABLE[0], "9" * 30, UNKNOWN, '{"a": NaN}', "[" * 500):
        answer = browser.post(add, dict.fromkeys(names, text))
        assert answer.status_code < 500, (text[:50], names)


def test_the_chats_addresses_are_read_strictly(browser: Client, api: Api) -> None:
    session = api.session()
    for number in BAD_NUMBERS:
        for address in ("earlier?before", "events?after"):
            answer = browser.get(f"/console/chat/{session}/{address}={quote(number)}")
            assert_refused(answer, 422, "invalid")
    for run in (UNKNOWN, "x", "' --", "x" * 5_000):
        assert_refused(browser.get(f"/console/chat/{session}/asked?run={quote(run)}"), 404, "not_found")
    for call in ("x", "' --", "\u202e", "x" * 5_000):
        answer = browser.get(f"/console/chat/{session}/runs/{UNKNOWN}/calls/{quote(call, safe='')}")
        assert_refused(answer, 404, "not_found")
