"""The tool `web_search`."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from core.url_guard import BlockedUrl
from runtime.configuration import current
from runtime.contract import Json, Tool, ToolContext
from runtime.errors import MissingSecret
from runtime.providers.access import named_secret
from runtime.secrets import Secrets
from tools.builtin.web_search.provider import Search, SearchFailed, SearchProvider
from tools.builtin.web_search.searxng import SearXNG
from tools.builtin.web_search.tavily import Tavily
from tools.registry import register

Url = Annotated[str, StringConstraints(pattern=r"^https?://[^\s/?#@]+(/[^\s?#]*)?$", max_length=2_000)]
_PROVIDERS: dict[str, type[SearchProvider]] = {provider.name: provider for provider in (SearXNG, Tavily)}


class WebSearchArgs(BaseModel):
    model_config = ConfigDict(extra="forbid")

    query: str = Field(min_length=1, max_length=1_000, description="What to look for.")
    max_results: int | None = Field(default=None, ge=1, description="At most so many results.")


class WebSearchParameters(BaseModel):
    """`max_results` bounds what the model gets, whatever it asks for. `safe_search`: without what is unfit for all; not
    given: as the provider does. `api_key_env`: a variable with an allowed prefix, or `secret:<name>`."""

    model_config = ConfigDict(extra="forbid")

    provider: Literal["searxng", "tavily"] | None = None
    base_url: Url | None = None
    api_key_env: str | None = Field(default=None, max_length=128)
    max_results: int = Field(default=5, ge=1, le=20)
    safe_search: bool | None = None
    timeout_s: float = Field(default=20, gt=0, le=120)


class WebSearch(Tool):
    """A search by an engine that the assistant names. Add one: a `SearchProvider` in a file of its own."""

    name = "web_search"
    description = "Searches the web; returns the title, the address and a snippet of each result."
    read_only = True
    Args = WebSearchArgs
    Parameters = WebSearchParameters

    def check(self, parameters: dict[str, Any], secrets: Secrets) -> list[str]:
        try:
            _provider(WebSearchParameters.model_validate(parameters), secrets)
        except SearchFailed as fault:
            return [str(fault)]
        return []

    async def acall(self, args: WebSearchArgs, context: ToolContext) -> Json:
        parameters = WebSearchParameters.model_validate(context.parameters)
        provider = _provider(parameters, context.secrets)
        count = min(args.max_results or parameters.max_results, parameters.max_results)
        return await provider.search(Search(args.query, count, parameters.safe_search, parameters.timeout_s))


def _provider(parameters: WebSearchParameters, secrets: Secrets) -> SearchProvider:
    """The engine that is named, with its key; raises `SearchFailed` with what is missing."""
    if parameters.provider is None:
        raise SearchFailed(f"The parameter provider is missing: {' or '.join(_PROVIDERS)}.")
    kind = _PROVIDERS[parameters.provider]
    url = parameters.base_url or kind.address
    if not url:
        raise SearchFailed(f"The parameter base_url is missing: where {kind.name} is.")
    if kind.needs_key and parameters.api_key_env is None:
        raise SearchFailed(f"The parameter api_key_env is missing: what holds {kind.name}'s key.")
    try:
        current().guard.check(url)
        key = named_secret(parameters.api_key_env, url, secrets) if parameters.api_key_env else ""
    except (BlockedUrl, MissingSecret) as error:
        raise SearchFailed(error.message) from None
    return kind(url, key)


register(WebSearch())
