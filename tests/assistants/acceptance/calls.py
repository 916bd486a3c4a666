"""What a client of the assistants' API does, told in short."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar
from uuid import uuid4

import httpx

T = TypeVar("T")
Document = dict[str, Any]

ECHO = {"provider": "fake", "model": "echo"}
# Answers with the system prompt: what a run was given shows in what it says.
PROMPT = {"provider": "fake", "model": "prompt"}


def script(*turns: Document) -> Document:
    """A model that plays these turns."""
    return {"provider": "fake", "model": "script", "settings": {"turns": list(turns)}}


def unique(word: str) -> str:
    """A name that no other test uses: all of them share one server."""
    return f"{word} {uuid4()}"


def path_of(assistant: Document) -> str:
    return f"/assistants/{assistant['id']}"


def at_once(times: int, call: Callable[[int], T]) -> list[T]:
    """`call(0)` to `call(times - 1)`, each in a thread of its own, all at the same time."""
    with ThreadPoolExecutor(times) as threads:
        return list(threads.map(call, range(times)))


class Caller:
    """The requests of one key. What must succeed comes back as its document; `client` is for what must not."""

    def __init__(self, client: httpx.Client):
        self.client = client

    def get(self, path: str, **query: Any) -> Any:
        return document_of(self.client.get(path, params=query))

    def post(self, path: str, body: Any = None) -> Any:
        return document_of(self.client.post(path, json=body))

    def patch(self, path: str, body: Any) -> Any:
        return document_of(self.client.patch(path, json=body))

    def put(self, path: str) -> Any:
        return document_of(self.client.put(path))

    def delete(self, path: str, **query: Any) -> Any:
        return document_of(self.client.delete(path, params=query))

    def items(self, path: str, **query: Any) -> list[Any]:
        """What a list holds."""
        items: list[Any] = self.get(path, **query)["items"]
        return items

    def create(self, **config: Any) -> Document:
        """An assistant, by default one that answers with its system prompt."""
        made: Document = self.post("/assistants", {"name": unique("assistant"), "llm": PROMPT, **config})
        return made

    def open(self, assistant: Document, **choice: Any) -> str:
        """A session with the assistant; gives its id."""
        return str(self.post(assistant["endpoint"], choice)["id"])

    def start(self, session: str, message: Any = "go") -> str:
        """A run in the session that nobody waits for; gives its id."""
        return str(self.post(f"/sessions/{session}/runs", {"input": {"message": message}})["id"])

    def run(self, session: str, message: Any = "go") -> Document:
        """A run in the session, as it is when it has ended."""
        run: Document = self.post(f"/sessions/{session}/runs/wait", {"input": {"message": message}})
        return run

    def answer(self, session: str, message: Any = "go") -> str:
        """What a run in the session says."""
        run = self.run(session, message)
        assert run["status"] == "success", run["error"]
        return str(run["output"]["text"])

    def ended(self, run: str) -> Document:
        """The run, once it has ended."""
        joined: Document = self.get(f"/runs/{run}/join")
        return joined


def document_of(answer: httpx.Response) -> Any:
    assert answer.is_success, f"{answer.status_code} {answer.text}"
    return answer.json() if answer.content else None


def refused(answer: httpx.Response, status: int, code: str, *loc: str | int) -> Document:
    """Asserts the one error body, with `loc` that one of its faults is there; gives the body."""
    assert answer.status_code == status, f"{answer.status_code} {answer.text}"
    body: Document = answer.json()
    assert body.keys() == {"detail", "code", "request_id", "errors"}
    assert body["code"] == code
    assert isinstance(body["detail"], str)
    assert body["request_id"] == answer.headers["x-request-id"]
    if loc:
        assert list(loc) in [error["loc"] for error in body["errors"]], body["errors"]
    return body


def checks_of(assistant: Document) -> dict[str, Document]:
    """The automatic checks by name."""
    return {check["name"]: check for check in assistant["validation"]["checks"]}
