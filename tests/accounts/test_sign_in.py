"""The pages where people sign in and out."""

import pytest
from django.conf import settings
from django.contrib.auth.hashers import MD5PasswordHasher
from django.test import Client
from pytest_django import Settings

from accounts import throttle
from accounts.models import TicketPurpose, User, Workspace
from accounts.services import issue_ticket
from core.redis import client as redis_client
from tests.accounts.conftest import PASSWORD

RIGHT = {"username": "ada", "password": PASSWORD}


@pytest.fixture(autouse=True)
def _quick_hashes(settings: Settings) -> None:
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


class Counted(MD5PasswordHasher):
    """Counts what it computes."""

    algorithm = "counted"
    made = 0

    def encode(self, password: str, salt: str) -> str:
        Counted.made += 1
        return super().encode(password, salt)


def signed_in(client: Client) -> bool:
    return "_auth_user_id" in client.session


def test_a_person_signs_in_and_out(client: Client, person: User) -> None:
    page = client.get("/login?next=/docs/")
    assert 'name="next" value="/docs/"' in page.text
    answer = client.post("/login", {**RIGHT, "next": "/docs/"})
    assert (answer.status_code, answer["Location"]) == (302, "/docs/")
    assert signed_in(client)
    assert client.post("/logout")["Location"] == "/login"
    assert not signed_in(client)


def test_signing_out_takes_a_form(client: Client) -> None:
    answer = client.get("/logout", headers={"accept": "application/json"})
    assert (answer.status_code, answer["Allow"], answer.json()["code"]) == (405, "POST", "method_not_allowed")


def test_an_unknown_name_and_a_wrong_password_look_the_same(client: Client, person: User) -> None:
    wrong = client.post("/login", {"username": "ada", "password": "no"})
    unknown = client.post("/login", {"username": "abc", "password": "no"})
    assert wrong.status_code == unknown.status_code == 401
    for page in (wrong, unknown):
        assert "This name and password do not match." in page.text
    assert not signed_in(client)


class Counting(MD5PasswordHasher):
    """Notes how often it was made to work."""

    algorithm = "counting"
    hashed = 0

    def encode(self, password: str, salt: str) -> str:
        Counting.hashed += 1
        return super().encode(password, salt)


def test_an_unknown_name_costs_as_much_work_as_a_wrong_password(
    client: Client, person: User, settings: Settings
) -> None:
    settings.PASSWORD_HASHERS = [f"{__name__}.Counting"]
    person.set_password(PASSWORD)
    person.save()
    shut_out = User.objects.create_user("eve", password=PASSWORD, is_active=False)
    work = []
    for name in (person.username, "nobody", shut_out.username):
        before = Counting.hashed
        client.post("/login", {"username": name, "password": "no"})
        work.append(Counting.hashed - before)
    assert work == [1, 1, 1]


def test_a_name_is_written_back_as_text(client: Client, db: None) -> None:
    page = client.post("/login", {"username": '"><script>alert(1)</script>', "password": "no"})
    assert "<script>alert" not in page.text


@pytest.mark.parametrize(
    "target", ["https://evil.example", "//evil.example", "/\\evil.example", "javascript:alert(1)", "console", ""]
)
def test_the_way_on_stays_within_this_site(client: Client, person: User, target: str) -> None:
    answer = client.post("/login", {**RIGHT, "next": target})
    assert answer["Location"] == settings.LOGIN_REDIRECT_URL


def test_after_five_failures_a_pause(client: Client, person: User) -> None:
    for _ in range(5):
        assert client.post("/login", {"username": "Ada", "password": "no"}).status_code == 401
    answer = client.post("/login", RIGHT)
    assert answer.status_code == 429
    assert "Try again in 30 s." in answer.text
    assert answer["Retry-After"] == "30"
    elsewhere = Client(REMOTE_ADDR="192.0.2.1")
    assert elsewhere.post("/login", RIGHT).status_code == 302
    redis_client().flushdb()  # as after the pause
    assert client.post("/login", RIGHT).status_code == 302


def test_a_person_who_found_the_password_has_all_tries_again(client: Client, person: User) -> None:
    for _ in range(4):
        client.post("/login", {"username": "Ada", "password": "no"})
    assert client.post("/login", RIGHT).status_code == 302
    other = Client()
    answers = [other.post("/login", {"username": "Ada", "password": "no"}).status_code for _ in range(6)]
    assert answers == [401] * 5 + [429]


def test_from_one_address_a_pause_comes_after_thirty_failures_whatever_the_names(person: User) -> None:
    guesser = Client(REMOTE_ADDR="2001:db8::1")
    answers = [guesser.post("/login", {"username": f"n{i}", "password": "no"}).status_code for i in range(31)]
    assert answers == [401] * 30 + [429]
    neighbour = Client(REMOTE_ADDR="2001:db8::2")  # of the same /64, which one customer has
    assert neighbour.post("/login", RIGHT).status_code == 429
    assert Client(REMOTE_ADDR="2001:db8:0:1::1").post("/login", RIGHT).status_code == 302


def test_no_count_stays_for_ever(client: Client, person: User) -> None:
    client.post("/login", {**RIGHT, "password": "no"})
    redis_client().delete(*redis_client().keys("*logins:*"))  # forgotten between the try and its success
    throttle.was_right("127.0.0.1", "ada")
    client.post("/login", {**RIGHT, "password": "no"})
    assert all(0 < redis_client().ttl(key) <= 60 for key in redis_client().keys("*login*"))


def test_links_are_tries_too(client: Client, person: User) -> None:
    answers = [client.post(f"/sign-in/{i}").status_code for i in range(15)]
    answers += [client.get(f"/invitations/{i}").status_code for i in range(16)]
    assert answers == [410] * 30 + [429]


def test_without_redis_people_still_sign_in_and_guessing_is_no_easier(
    client: Client, person: User, settings: Settings
) -> None:
    here, wrong = settings.REDIS_URL, {**RIGHT, "password": "no"}
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    redis_client.cache_clear()
    try:
        assert client.post("/login", wrong).status_code == 401
        assert client.post("/login", RIGHT).status_code == 302
        assert [client.post("/login", wrong).status_code for _ in range(6)] == [401] * 5 + [429]
    finally:
        settings.REDIS_URL = here
        redis_client.cache_clear()


def test_an_unknown_name_costs_as_much_as_a_wrong_password(person: User, settings: Settings) -> None:
    settings.PASSWORD_HASHERS = ["tests.accounts.test_sign_in.Counted"]
    person.set_password("right")
    person.save()
    costs = []
    for name in ("Ada", "nobody"):
        Counted.made = 0
        assert Client().post("/login", {"username": name, "password": "no"}).status_code == 401
        costs.append(Counted.made)
    assert costs == [1, 1]


def test_a_form_needs_its_token(person: User) -> None:
    strict = Client(enforce_csrf_checks=True)
    answer = strict.post("/login", RIGHT, headers={"accept": "application/json"})
    assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")


def test_a_link_signs_in_once_and_not_by_being_looked_at(client: Client, person: User, workspace: Workspace) -> None:
    token, _ = issue_ticket(TicketPurpose.SIGN_IN, path="/console/", user=person, workspace=workspace)
    link = f"/sign-in/{token}"
    assert client.get(link).status_code == client.get(link).status_code == 200
    assert not signed_in(client)
    answer = client.post(link)
    assert (answer.status_code, answer["Location"]) == (302, "/console/")
    assert signed_in(client)
    again = Client().post(link)
    assert again.status_code == 410
    assert "does not work any more" in again.text


def test_a_link_leads_within_this_site(client: Client, person: User) -> None:
    token, _ = issue_ticket(TicketPurpose.SIGN_IN, path="/console/", user=person)
    assert client.post(f"/sign-in/{token}", {"next": "//evil.example"})["Location"] == "/console/"


def test_a_link_does_not_let_in_who_was_shut_out(client: Client, person: User) -> None:
    token, _ = issue_ticket(TicketPurpose.SIGN_IN, path="/console/", user=person)
    User.objects.update(is_active=False)
    assert client.post(f"/sign-in/{token}").status_code == 410
    assert not signed_in(client)


def test_the_page_runs_nobodys_script(client: Client, db: None) -> None:
    assert "script-src 'self'" in client.get("/login")["Content-Security-Policy"]
