"""langchain's model of the Messages API, over a client that we give it."""

from functools import cached_property

import anthropic
import httpx2
from langchain_anthropic import ChatAnthropic
from pydantic import Field


class Messages(ChatAnthropic):
    """`ChatAnthropic` over `http_client`: on its own it takes no other than the SDK's, which passes no
    guard."""

    http_client: httpx2.AsyncClient = Field(exclude=True)

    @cached_property
    def _async_client(self) -> anthropic.AsyncClient:
        return anthropic.AsyncClient(**self._client_params, http_client=self.http_client)
