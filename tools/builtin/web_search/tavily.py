"""Tavily: https://docs.tavily.com/documentation/api-reference/endpoint/search"""

from core.url_guard import Answer
from tools.builtin.web_search.provider import Search, SearchProvider

_REFUSALS = {
    401: "the key is not valid",
    429: "too many requests, try again later",
    432: "the plan's searches are used up",
    433: "the pay-as-you-go limit is reached",
}


class Tavily(SearchProvider):
    """A key is sent along as a bearer token."""

    name = "tavily"
    address = "https://api.tavily.com"
    needs_key = True

    async def search(self, wanted: Search) -> list[dict[str, str]]:
        body: dict[str, object] = {"query": wanted.query, "max_results": wanted.count}
        if wanted.safe is not None:
            body["safe_search"] = wanted.safe
        return self.results(await self.ask("POST", f"{self.url}/search", wanted, body), wanted.count)

    def refusal(self, answer: Answer) -> str:
        meaning = _REFUSALS.get(answer.status)
        return f"tavily answered {answer.status}: {meaning}." if meaning else super().refusal(answer)
