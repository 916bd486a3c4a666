"""SearXNG, the search engine that one hosts oneself: https://docs.searxng.org/dev/search_api.html"""

from urllib.parse import urlencode

from core.url_guard import Answer
from tools.builtin.web_search.provider import Search, SearchProvider

_STRICT, _OFF = 2, 0


class SearXNG(SearchProvider):
    """It knows no number of results: the first of its page are taken."""

    name = "searxng"

    async def search(self, wanted: Search) -> list[dict[str, str]]:
        query = {"q": wanted.query, "format": "json"}
        if wanted.safe is not None:
            query["safesearch"] = str(_STRICT if wanted.safe else _OFF)
        found = await self.ask("GET", f"{self.url}/search?{urlencode(query)}", wanted)
        return self.results(found, wanted.count)

    def refusal(self, answer: Answer) -> str:
        if answer.status == 403:
            return "searxng answered 403: its settings must list json under search.formats."
        return super().refusal(answer)
