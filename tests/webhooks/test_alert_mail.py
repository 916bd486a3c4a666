"""Alerts by e-mail: to whom, once each, again where it fails, and to nobody where nobody is to be told."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection, transaction
from django.db.models import F
from pytest_django import Settings

from accounts.identity import Identity
from accounts.models import Workspace
from core.clock import ClockTimestamp
from core.db import Operation, operation
from tests.stubs.mail import MailStub
from webhooks.alerts import raise_alert, resolve_alert
from webhooks.kinds import Kind
from webhooks.mail import _send, _take, mail_alerts
from webhooks.models import Alert
from webhooks.services import close_alert


@operation(atomic=True)
def opened(workspace: Workspace | None, message: str = "It fails.", subject: str = "one") -> Operation[bool]:
    return (
        yield from raise_alert(workspace and workspace.id, Kind.SCHEDULE_FAILED, subject, message, {"message": message})
    )


@operation(atomic=True)
def resolved(workspace: Workspace | None, subject: str = "one") -> Operation[bool]:
    return (yield from resolve_alert(workspace and workspace.id, Kind.SCHEDULE_FAILED, subject).start())


@pytest.fixture
def workspace(db: None) -> Workspace:
    return Workspace.objects.create(name="Ours", slug="ours", alert_emails=["ann@ours.test"])


@pytest.fixture(autouse=True)
def _real_mail(settings: Settings) -> None:
    """pytest-django would keep mails in memory."""
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.ALERT_EMAILS = ["ops@server.test"]
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", 1


@pytest.fixture
def server(settings: Settings) -> Iterator[MailStub]:
    with MailStub() as stub:
        settings.EMAIL_PORT = stub.port
        yield stub


def make_due(**changes: Any) -> None:
    Alert.objects.update(mail_not_before=ClockTimestamp(), **changes)


def test_the_operators_and_the_workspaces_people_are_told_apart(server: MailStub, workspace: Workspace) -> None:
    opened(workspace, "The schedule 'daily' failed 3 times.").run()
    assert mail_alerts() == 1
    assert [letter.to for letter in server.letters] == [["ops@server.test"], ["ann@ours.test"]]
    message = server.letters[1].message
    assert message["subject"] == "[Agent Server] schedule.failed in Ours: The schedule 'daily' failed 3 times."
    assert message["to"] == "ann@ours.test"
    assert message.get_content_type() == "text/plain"
    assert "Workspace: Ours" in message.get_content()
    assert Alert.objects.get().mailed_at is not None


def test_an_alert_is_mailed_once(server: MailStub, workspace: Workspace) -> None:
    opened(workspace).run()
    opened(workspace).run()
    assert [mail_alerts(), mail_alerts()] == [1, 0]
    assert len(server.letters) == 2


def test_the_servers_own_alerts_are_the_operators(server: MailStub, workspace: Workspace) -> None:
    opened(None).run()
    mail_alerts()
    assert [letter.to for letter in server.letters] == [["ops@server.test"]]
    assert "Whose: the server" in server.letters[0].message.get_content()


def test_when_it_is_well_again_that_is_mailed_too(server: MailStub, workspace: Workspace) -> None:
    opened(None).run()
    mail_alerts()
    resolved(None).run()
    assert [mail_alerts(), mail_alerts()] == [1, 0]
    first, second = (letter.message for letter in server.letters)
    assert second["subject"].startswith("[Agent Server] Well again: ")
    assert "Well again: 2" in second.get_content()
    assert second["in-reply-to"] == first["message-id"] != second["message-id"]


def test_what_is_over_before_its_mail_is_one_mail(server: MailStub, workspace: Workspace) -> None:
    opened(None).run()
    resolved(None).run()
    assert [mail_alerts(), mail_alerts()] == [1, 0]
    assert server.letters[0].message["subject"].startswith("[Agent Server] Well again: ")


def test_what_is_over_while_its_mail_is_on_its_way_has_another(server: MailStub, workspace: Workspace) -> None:
    opened(None).run()
    under_way = _take().run()
    resolved(None).run()
    assert [_send(under_way), mail_alerts(), mail_alerts()] == [1, 1, 0]
    subjects = [letter.message["subject"] for letter in server.letters]
    assert [subject.startswith("[Agent Server] Well again: ") for subject in subjects] == [False, True]


def test_the_page_in_the_admin_is_named_where_the_address_is_known(
    server: MailStub, workspace: Workspace, settings: Settings
) -> None:
    settings.PUBLIC_URL, settings.MOUNT_PREFIX = "https://agents.example.com", "/a"
    opened(None).run()
    mail_alerts()
    page = f"https://agents.example.com/a/admin/webhooks/alert/{Alert.objects.get().id}/change/"
    assert page in server.letters[0].message.get_content().splitlines()


def test_a_name_with_lines_makes_no_headers(server: MailStub, workspace: Workspace) -> None:
    opened(workspace, "fails\r\nBcc: eve@evil.test\n\nx").run()
    assert mail_alerts() == 1
    assert server.letters[0].message["bcc"] is None
    assert server.letters[0].message["subject"].endswith("fails Bcc: eve@evil.test x")


def test_a_mail_that_cannot_be_sent_is_tried_again_later(workspace: Workspace, settings: Settings) -> None:
    opened(workspace).run()
    assert mail_alerts() == 0
    pauses = []
    for _ in range(3):
        alert = Alert.objects.annotate(left=F("mail_not_before") - ClockTimestamp()).get()
        pauses.append(round(alert.left / timedelta(minutes=1)))
        assert mail_alerts() == 0
        assert Alert.objects.get().mail_attempts == len(pauses)
        make_due()
        mail_alerts()
    assert pauses == [1, 2, 4]
    with MailStub() as back:
        settings.EMAIL_PORT = back.port
        make_due()
        assert mail_alerts() == 1
        assert len(back.letters) == 2


def test_after_a_day_it_is_given_up(workspace: Workspace) -> None:
    opened(workspace).run()
    make_due(opened_at=ClockTimestamp() - timedelta(days=1, minutes=1))
    mail_alerts()
    alert = Alert.objects.get()
    assert (alert.mail_not_before, alert.mailed_at) == (None, None)


@pytest.mark.parametrize("missing", ["server", "addresses"])
def test_where_nobody_is_told_nothing_waits(workspace: Workspace, settings: Settings, missing: str) -> None:
    if missing == "server":
        settings.EMAIL_HOST = ""
    else:
        settings.ALERT_EMAILS = []
        Workspace.objects.update(alert_emails=[])
    opened(workspace).run()
    assert mail_alerts() == 0
    resolved(workspace).run()
    alert = Alert.objects.get()
    assert (alert.mail_not_before, alert.mailed_at) == (None, None)


def test_an_address_that_is_refused_for_good_keeps_nobody_waiting(workspace: Workspace, settings: Settings) -> None:
    with MailStub(**{"ops_at_server.test": "550 unknown"}) as stub:
        settings.EMAIL_PORT = stub.port
        opened(workspace).run()
        opened(workspace, subject="two").run()
        assert [mail_alerts(), mail_alerts()] == [2, 0]
        assert [letter.to for letter in stub.letters] == [["ann@ours.test"]] * 2


def test_one_that_is_refused_for_now_is_tried_again(workspace: Workspace, settings: Settings) -> None:
    with MailStub(**{"ops_at_server.test": "451 later"}) as stub:
        settings.EMAIL_PORT = stub.port
        opened(None).run()
        assert mail_alerts() == 0
        stub.refused.clear()
        make_due()
        assert mail_alerts() == 1


def test_two_beats_do_not_mail_the_same(workspace: Workspace) -> None:
    opened(None).run()
    assert [len(_take().run()), len(_take().run())] == [1, 0]


@pytest.mark.django_db(transaction=True)
def test_nor_at_the_same_moment() -> None:
    opened(None).run()
    with ThreadPoolExecutor(1) as other, transaction.atomic():
        assert len(_take().run()) == 1
        assert other.submit(_taken_elsewhere).result(10) == 0


def _taken_elsewhere() -> int:
    try:
        return len(_take().run())
    finally:
        connection.close()


def test_one_who_stands_in_both_lists_gets_one(server: MailStub, workspace: Workspace) -> None:
    Workspace.objects.update(alert_emails=["OPS@server.test"])
    opened(workspace).run()
    mail_alerts()
    assert len(server.letters) == 1


def test_those_who_were_told_hear_that_somebody_closed_it(server: MailStub, workspace: Workspace) -> None:
    opened(workspace).run()
    mail_alerts()
    close_alert(Identity(workspace.id, frozenset({"*"}), "user:ann"), Alert.objects.get().id)
    assert mail_alerts() == 1
    assert len(server.letters) == 4
