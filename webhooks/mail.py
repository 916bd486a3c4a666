"""Alerts by e-mail: one when it opens and one when it is well again.

Each is sent at least once, outside of any transaction: a round takes what is due, sends it and says so. What cannot be
sent is tried again, for a day. Where nobody is to be told, nothing waits.
"""

import logging
import smtplib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.conf import settings
from django.core.mail import EmailMessage, get_connection
from django.core.mail.backends.base import BaseEmailBackend

from core.db import Operation, Query, operation

log = logging.getLogger(__name__)

# So many a round, so that all of them are sent before another beat takes them for forgotten.
ROUND = 5
# The seconds before the second attempt; they double with each one, up to the longest.
FIRST_PAUSE_S, LONGEST_PAUSE_S = 60, 3_600
GIVE_UP_AFTER_S = 86_400
SUBJECT_LENGTH = 160

_ATTEMPTED = """
UPDATE alerts a SET mail_attempts = mail_attempts + 1, mail_not_before = clock_timestamp()
    + make_interval(secs => least(%(first)s * 2.0 ^ least(mail_attempts, 10), %(longest)s))
FROM (
    SELECT id FROM alerts WHERE mail_not_before <= clock_timestamp()
    ORDER BY mail_not_before LIMIT %(round)s FOR NO KEY UPDATE SKIP LOCKED
) AS due
WHERE a.id = due.id
RETURNING a.id, a.kind, a.message, a.opened_at, a.resolved_at, a.mailed_at,
    (SELECT w.name FROM workspaces w WHERE w.id = a.workspace_id) AS workspace,
    (SELECT w.alert_emails FROM workspaces w WHERE w.id = a.workspace_id) AS addresses,
    coalesce(a.resolved_at, a.opened_at) < clock_timestamp() - make_interval(secs => %(give_up_s)s) AS given_up
"""

# What was resolved while the first mail was on its way has another one coming.
_MAILED = """
UPDATE alerts SET mailed_at = CASE WHEN %(sent)s THEN coalesce(mailed_at, clock_timestamp()) ELSE mailed_at END,
    mail_attempts = 0, mail_not_before =
        CASE WHEN %(sent)s AND resolved_at IS DISTINCT FROM %(resolved_at)s::timestamptz THEN clock_timestamp() END
WHERE id = %(id)s
"""


@dataclass(frozen=True, slots=True)
class Mail:
    """An alert that somebody is to be told of; `resolved_at` as it was when the mail was begun."""

    id: UUID
    kind: str
    message: str
    opened_at: datetime
    resolved_at: datetime | None
    mailed_at: datetime | None
    workspace: str | None
    addresses: list[str] | None
    given_up: bool

    @property
    def parties(self) -> list[list[str]]:
        """Who gets a mail of their own: the operators, and the workspace's people, who need not know each other."""
        operators = list(settings.ALERT_EMAILS)
        known = {address.lower() for address in operators}
        theirs = [address for address in self.addresses or () if address.lower() not in known]
        return [party for party in (operators, theirs) if party]


def mail_alerts() -> int:
    """One round: send what is due; gives how many alerts were told. Raises what an outage of PostgreSQL does."""
    taken = _take().run()
    due = [mail for mail in taken if not mail.given_up and settings.EMAIL_HOST and mail.parties]
    for mail in taken:
        if mail not in due:
            if mail.given_up:
                log.error("The alert %s was not mailed for a day, and is not any more.", mail.id)
            _done(mail, sent=False).run()
    return _send(due) if due else 0


@operation(atomic=True)
def _take() -> Operation[list[Mail]]:
    """What is due, with the next attempt put off: who dies while sending leaves it to that."""
    bounds = {"first": FIRST_PAUSE_S, "longest": LONGEST_PAUSE_S, "round": ROUND, "give_up_s": GIVE_UP_AFTER_S}
    return [Mail(**row) for row in (yield Query(_ATTEMPTED, bounds))]


@operation()
def _done(mail: Mail, *, sent: bool) -> Operation[None]:
    yield Query(_MAILED, {"id": mail.id, "sent": sent, "resolved_at": mail.resolved_at})


def _send(due: Sequence[Mail]) -> int:
    told = 0
    try:
        with get_connection() as server:
            for mail in due:
                if _sent(server, mail):
                    _done(mail, sent=True).run()
                    told += 1
    except (smtplib.SMTPException, OSError) as error:
        log.warning("The mail server cannot be used: %s", _in_short(error))
    return told


def _sent(server: BaseEmailBackend, mail: Mail) -> bool:
    """Whether nothing is left to try. One that is refused for good, or for one party, keeps nobody else waiting."""
    try:
        for message in messages(mail):
            _hand_over(server, message)
    except smtplib.SMTPServerDisconnected:
        raise
    except smtplib.SMTPException as error:
        log.warning("The alert %s was not mailed: %s", mail.id, _in_short(error))
        return False
    return True


def _hand_over(server: BaseEmailBackend, message: EmailMessage) -> None:
    try:
        server.send_messages([message])
    except smtplib.SMTPRecipientsRefused as error:
        if any(code < 500 for code, _ in error.recipients.values()):
            raise
        log.warning("The mail server knows none of %d addresses of an alert.", len(error.recipients))


def _in_short(error: Exception) -> str:
    """What went wrong, without what was sent."""
    return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"


def messages(mail: Mail) -> Iterable[EmailMessage]:
    """The alert as plain text, once for each party. Its `Message-ID` is that of every attempt."""
    state = "open" if mail.resolved_at is None else "resolved"
    about = f"{mail.kind} in {mail.workspace}" if mail.workspace is not None else mail.kind
    first = "Well again: " if mail.resolved_at else ""
    # A name may be anything; a line of a header is one.
    subject = " ".join(f"[Agent Server] {first}{about}: {mail.message}".split())[:SUBJECT_LENGTH]
    for number, party in enumerate(mail.parties):
        yield EmailMessage(
            subject=subject,
            body=_body(mail),
            to=party,
            headers={
                "Message-ID": f"<{mail.id}.{state}.{number}@agent-server>",
                "Auto-Submitted": "auto-generated",
                **({"In-Reply-To": f"<{mail.id}.open.{number}@agent-server>"} if mail.mailed_at else {}),
            },
        )


def _body(mail: Mail) -> str:
    lines: list[Any] = [mail.message, ""]
    lines.append(f"What: {mail.kind}")
    lines.append("Whose: the server" if mail.workspace is None else f"Workspace: {mail.workspace}")
    lines.append(f"Since: {mail.opened_at:%Y-%m-%d %H:%M:%S} UTC")
    if mail.resolved_at is not None:
        lines.append(f"Well again: {mail.resolved_at:%Y-%m-%d %H:%M:%S} UTC")
    if settings.PUBLIC_URL:
        page = f"{settings.PUBLIC_URL}{settings.MOUNT_PREFIX}/admin/webhooks/alert/{mail.id}/change/"
        lines += ["", page]
    return "\n".join(lines) + "\n"
