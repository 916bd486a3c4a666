"""What a search engine on the web is to the tool: an address, a query, and results."""

import json
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

import httpx2

from core.url_guard import Answer, AnswerTooLong, BlockedUrl
from runtime.configuration import current

MAX_BYTES = 4 * 1024 * 1024
_LONGEST_SNIPPET = 2_000


class SearchFailed(Exception):
    """There are no results. The message tells the model why."""


@dataclass(frozen=True, slots=True)
class Search:
    """What is looked for: `count` results at most; `safe`: without what is unfit for all, None: as the engine does."""

    query: str
    count: int
    safe: bool | None
    timeout_s: float


class SearchProvider(ABC):
    """A search engine at `url`, called with `key`, "" where it takes none."""

    name: ClassVar[str]
    address: ClassVar[str] = ""  # of the engine itself; "" where everybody has one of their own
    needs_key: ClassVar[bool] = False

    def __init__(self, url: str, key: str):
        self.url = url.rstrip("/")
        self.key = key

    @abstractmethod
    async def search(self, wanted: Search) -> list[dict[str, str]]:
        """The results as {`title`, `url`, `snippet`}, the best first. Raises `SearchFailed`."""

    async def ask(self, method: str, url: str, wanted: Search, body: Any = None) -> dict[str, Any]:
        """One exchange through the URL guard; gives the JSON object that was answered. Raises `SearchFailed`."""
        headers = {"accept": "application/json"}
        if self.key:
            headers["authorization"] = f"Bearer {self.key}"
        if body is not None:
            headers["content-type"] = "application/json"
        try:
            answer = await current().guard.fetch(
                method,
                url,
                headers=headers,
                body=None if body is None else json.dumps(body).encode(),
                timeout_s=wanted.timeout_s,
                max_bytes=MAX_BYTES,
            )
        except (BlockedUrl, AnswerTooLong) as error:
            raise SearchFailed(str(error)) from None
        except httpx2.TimeoutException:
            raise SearchFailed(f"{self.name} did not answer within {wanted.timeout_s:g} seconds.") from None
        except httpx2.HTTPError as error:
            raise SearchFailed(f"{self.name} cannot be reached: {error or type(error).__name__}") from None
        if answer.status != httpx2.codes.OK:
            raise SearchFailed(self.refusal(answer))
        return self._document(answer)

    def refusal(self, answer: Answer) -> str:
        """What an answer that is no success means."""
        return f"{self.name} answered {answer.status}."

    def results(self, found: dict[str, Any], count: int) -> list[dict[str, str]]:
        """The first `count` of its `results`, whose text is in `content`: both engines have them so."""
        entries = found.get("results")
        if not isinstance(entries, list):
            raise SearchFailed(f"{self.name} gave no list of results.")
        return [
            {
                "title": str(entry.get("title") or ""),
                "url": str(entry["url"]),
                "snippet": str(entry.get("content") or "")[:_LONGEST_SNIPPET],
            }
            for entry in entries
            if isinstance(entry, dict) and entry.get("url")
        ][:count]

    def _document(self, answer: Answer) -> dict[str, Any]:
        try:
            found = json.loads(answer.text)
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise SearchFailed(f"{self.name} gave no JSON object.")
        return found
