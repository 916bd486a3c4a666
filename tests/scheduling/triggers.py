"""Triggers as a key makes them, and the systems that call them."""

import hmac
import json
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any
from uuid import uuid4

from django.test import Client
from standardwebhooks.webhooks import Webhook

from tests.api import Api

HELLO = {"message": "Hello"}


class Sender:
    """Another system, which knows a trigger's address and its secret. It shows no key."""

    def __init__(self, document: Any):
        self.path, self.secret = document["path"], document["secret"]
        self.client = Client()

    def post(self, body: Any, headers: dict[str, str], path: str | None = None) -> Any:
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        return self.client.post(path or self.path, raw, content_type="application/json", headers=headers)

    def standard(self, body: Any = HELLO, *, id_: str = "", at: datetime | None = None, secret: str = "") -> Any:
        """A call that is signed by Standard Webhooks."""
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        at, id_ = at or datetime.now(UTC), id_ or f"msg_{uuid4()}"
        signature = Webhook(secret or self.secret).sign(id_, at, raw.decode())
        signed = {"webhook-id": id_, "webhook-timestamp": str(int(at.timestamp())), "webhook-signature": signature}
        return self.post(raw, signed)

    def github(self, body: Any = HELLO, *, header: str = "x-hub-signature-256", **headers: str) -> Any:
        """A call that is signed as GitHub's are."""
        raw = json.dumps(body).encode()
        signature = "sha256=" + hmac.new(self.secret.encode(), raw, sha256).hexdigest()
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.post(raw, {header: signature, **named})


def make(api: Api, assistant_id: str | None = None, **body: Any) -> Any:
    """A trigger's document, with its secret."""
    answer = api.post(f"/assistants/{assistant_id or api.assistant()}/triggers", {"name": "ci", **body})
    assert answer.status_code == 201, answer.content
    return answer.json()


def sender(api: Api, assistant_id: str | None = None, **body: Any) -> Sender:
    """Somebody who calls a new trigger."""
    return Sender(make(api, assistant_id, **body))
