"""The mail server as one variable names it, and what doctor says about it."""

from typing import Any

import pytest
from pytest_django import Settings

from accounts.models import Workspace
from config.beat import Chore, chores
from config.doctor import service
from config.doctor.findings import Finding, State, make
from config.env import BadEnvironment, Environment
from config.mail import MailServer, read_mail_url
from tests.servers import wait_for
from tests.stubs.mail import MailStub


@pytest.mark.parametrize(
    ("url", "host", "port", "starttls", "tls"),
    [
        ("smtp://mail.example.com", "mail.example.com", 587, True, False),
        ("smtp://mail.example.com:2525/", "mail.example.com", 2525, True, False),
        ("smtp://127.0.0.1?tls=none", "127.0.0.1", 25, False, False),
        ("smtps://mail.example.com", "mail.example.com", 465, False, True),
    ],
)
def test_a_server_is_talked_to_in_private_unless_it_is_said(
    url: str, host: str, port: int, starttls: bool, tls: bool
) -> None:
    assert read_mail_url(url) == MailServer(host, port, "", "", starttls, tls)


def test_a_login_is_percent_encoded() -> None:
    server = read_mail_url("smtp://bot%40example.com:p%3Ass%2F@mail.example.com")
    assert server is not None
    assert (server.user, server.password) == ("bot@example.com", "p:ss/")


@pytest.mark.parametrize(
    "url",
    [
        "mail.example.com",
        "http://mail.example.com",
        "smtp://",
        "smtp://mail.example.com:x",
        "smtp://mail.example.com/box",
        "smtp://mail.example.com?tls=maybe",
        "smtps://mail.example.com?tls=none",
        "smtp://mail.example.com?timeout=3",
        "smtp://bot@mail.example.com",
    ],
)
def test_what_cannot_work_does_not_start(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("AGENT_SERVER_EMAIL_URL", url)
    with pytest.raises(BadEnvironment, match=r"^AGENT_SERVER_EMAIL_URL "):
        Environment()


def test_no_password_is_in_what_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AGENT_SERVER_EMAIL_URL", "smtp://bot:hunter2secret@mail.example.com:99999")
    with pytest.raises(BadEnvironment) as refused:
        Environment()
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("AGENT_SERVER_ALERT_EMAILS", "ops"),
        ("AGENT_SERVER_ALERT_EMAILS", "Ops <ops@example.com>"),
        ("AGENT_SERVER_EMAIL_FROM", "a@example.com,b@example.com"),
    ],
)
def test_addresses_are_addresses(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(BadEnvironment, match=name):
        Environment()


def mail() -> Finding:
    return make([check for check in service.CHECKS if check.name == "mail"], timeout_s=60)[0]


@pytest.mark.django_db(transaction=True)
def test_doctor_says_whether_alerts_are_mailed(settings: Settings) -> None:
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST = ""
    assert mail().state == State.OK
    Workspace.objects.create(name="W", slug="w", alert_emails=["ann@ours.test"])
    assert mail().state == State.WARNING
    with MailStub() as stub:
        settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", stub.port
        assert mail().state == State.OK
        settings.EMAIL_USE_TLS = True  # which the stub does not know
        assert mail().state == State.FAILED
    assert stub.letters == []


def test_beat_looks_and_mails() -> None:
    assert [chore.name for chore in chores()] == ["watch", "mail", "deliver"]


@pytest.mark.django_db(transaction=True)
def test_a_chore_outlives_an_outage() -> None:
    from django.db import OperationalError

    done: list[Any] = []

    def fail_first() -> None:
        done.append(None)
        if len(done) == 1:
            raise OperationalError("gone")

    chore = Chore("a chore", 0.01, fail_first)
    chore.start()
    wait_for(lambda: len(done) > 2)
    chore.end()
    chore.join(5)
    assert not chore.is_alive()
