"""What an attempt needs before it can be sent: the event's body, and what signs it."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from accounts.queries import open_secrets
from accounts.vault import Unreadable
from core.db import Operation, Query, Row, operation
from core.redaction import Redactor, everywhere, in_logs
from runtime.errors import MissingSecret
from runtime.providers.access import named_secret
from runtime.secrets import name_in
from webhooks.bodies_of_events import body_of
from webhooks.dispatch.exchange import Exchange
from webhooks.dispatch.headers import BadSecret, headers_of, shown
from webhooks.langgraph import LANGGRAPH, deployments_headers
from webhooks.signing import secrets_of

log = logging.getLogger(__name__)

# Whoever was first made the body that all attempts send.
_KEEP_BODY = "UPDATE webhook_events SET body = coalesce(body, %(body)s) WHERE id = %(id)s RETURNING body"


class NotReady(Exception):
    """It cannot be sent; the message may be shown to the workspace."""


@dataclass(frozen=True, slots=True)
class Request:
    """What is sent, and without what it is logged."""

    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    redactor: Redactor = everywhere

    @property
    def shown(self) -> dict[str, str]:
        """The headers as the log keeps them."""
        logged: dict[str, str] = self.redactor.value(shown(self.headers))
        return logged

    def clean(self, exchange: Exchange) -> Exchange:
        """What came back, without secrets."""
        value = self.redactor.value
        return replace(
            exchange, headers=value(exchange.headers), body=value(exchange.body), error=value(exchange.error)
        )


@operation()
def prepare(delivery: Row, at: datetime) -> Operation[Request]:
    """The request of an attempt that begins at the moment `at`. Raises `NotReady`."""
    secrets = yield from _signing(delivery)
    body = delivery["body"]
    if body is None:
        (kept,) = yield Query(_KEEP_BODY, {"id": delivery["event_id"], "body": _made(delivery)})
        body = kept["body"]
    redactor = Redactor(everywhere)
    for secret in secrets:
        redactor.learn("signing secret", secret)
        in_logs.learn("signing secret", secret)
    own = delivery["headers"]
    if delivery["told_as"] == LANGGRAPH:
        own = _of_deployment()
        for value in own.values():
            redactor.learn("webhook header", value)
    try:
        headers = headers_of(str(delivery["event_id"]), body, at.astimezone(UTC), secrets, own)
    except BadSecret as fault:
        raise NotReady(str(fault)) from None
    return Request(headers, body.encode(), redactor)


def _of_deployment() -> dict[str, str]:
    try:
        return deployments_headers()
    except ValueError as fault:
        raise NotReady(str(fault)) from None


def _signing(delivery: Row) -> Operation[Sequence[str]]:
    if delivery["endpoint_id"] is not None:
        try:
            return secrets_of(
                delivery["workspace_id"],
                delivery["endpoint_id"],
                delivery["sealed_secret"],
                delivery["previous_secret"],
            )
        except Unreadable:
            raise NotReady("The signing secret cannot be read: no key of this server opens it.") from None
    reference = delivery["secret_env"]
    if reference is None:
        return ()
    name = name_in(reference)
    bound = open_secrets(delivery["workspace_id"], () if name is None else (name,))
    secrets = yield from bound.start()
    try:
        return (named_secret(reference, delivery["url"], secrets),)
    except MissingSecret as fault:
        raise NotReady(str(fault)) from None


def _made(delivery: Row) -> str:
    try:
        return body_of(delivery["kind"], delivery["data"], delivery["workspace_id"], delivery["happened_at"])
    except Exception:
        # The edge: what another room makes of an event must not end the dispatcher with all its attempts.
        log.exception("The body of event %s cannot be made.", delivery["event_id"])
        raise NotReady("Its body cannot be made; the server's log says why.") from None
