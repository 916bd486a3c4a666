"""The whole application in this process, without a server: what a client sends goes through all of its layers."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import httpx
import orjson
import psycopg
from asgiref.sync import sync_to_async
from django.conf import settings
from django.db import connections

from core.db import close_pool, open_pool
from tests.api import assert_refused
from tests.prints import Prints


@dataclass
class Told:
    """An answer, and the processor's time that it took: what others do on this machine does not count."""

    answer: httpx.Response
    cpu_s: float


class Door:
    """A client with a key, at the application's own front."""

    def __init__(self, key: str) -> None:
        from config.asgi import application  # once Django is set up

        self.application, self.key = application, key
        self._loop = asyncio.new_event_loop()
        self._client = httpx.AsyncClient(
            transport=httpx.ASGITransport(application), base_url="http://door", headers={"X-Api-Key": key}
        )
        self.wait(open_pool(size=4))
        self._database = psycopg.connect(settings.DATABASE_URL, autocommit=True)
        self._prints = Prints(lambda statement: self._database.execute(statement).fetchall())

    def become(self, key: str) -> None:
        """Ask with another key from now on."""
        self.key = self._client.headers["X-Api-Key"] = key

    def wait(self, work: Any) -> Any:
        return self._loop.run_until_complete(work)

    def close(self) -> None:
        self.wait(self._client.aclose())
        self.wait(close_pool())
        # Django's views have a thread of their own, whose connection would keep the test database from being dropped.
        self.wait(sync_to_async(connections.close_all)())
        self._loop.close()
        self._database.close()

    # -- asking ----------------------------------------------------------------------------------------------------

    def ask(self, method: str, path: str, body: Any = None, **options: Any) -> httpx.Response:
        """`body`: a document, or bytes as they are."""
        return self.measure(method, path, body, **options).answer

    def measure(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        headers: Mapping[str, str] | Sequence[tuple[str, str]] | None = None,
        content_type: str | None = "application/json",
    ) -> Told:
        content = body if isinstance(body, bytes | None) else orjson.dumps(body)
        sent = list(headers.items()) if isinstance(headers, Mapping) else list(headers or ())
        if content is not None and content_type is not None:
            sent.append(("Content-Type", content_type))
        request = self._client.build_request(method, path, content=content, headers=sent)
        began = time.process_time()
        answer = self.wait(self._client.send(request))
        return Told(answer, time.process_time() - began)

    def good(self, method: str, path: str, body: Any = None) -> Any:
        """The document that a request is answered with, which must be a good one."""
        answer = self.ask(method, path, body)
        assert answer.is_success, (method, path, body, answer.text)
        return answer.json() if answer.content else None

    def refuse(self, status: int, code: str, method: str, path: str, body: Any = None, **options: Any) -> Told:
        """The request must be answered with the one error body."""
        told = self.measure(method, path, body, **options)
        shown = body[:200] if isinstance(body, bytes) else body
        assert told.answer.status_code == status, (method, path[:200], shown, options, told.answer.text[:500])
        assert_refused(told.answer, status, code)
        document = told.answer.json()
        assert isinstance(document["detail"], str)
        assert document["detail"], document
        assert document["request_id"] == told.answer.headers["x-request-id"]
        return told

    # -- what is stored --------------------------------------------------------------------------------------------

    def stored(self) -> list[Any]:
        """A print of every row that there is."""
        return self._prints.take()

    def sql(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        return self._database.execute(statement, values).fetchall()
