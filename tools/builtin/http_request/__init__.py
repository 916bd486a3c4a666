"""The tool `http_request`."""

import json
from typing import Literal

import httpx2
from pydantic import BaseModel, ConfigDict, Field

from core.url_guard import AnswerTooLong, BlockedUrl
from runtime.configuration import current
from runtime.contract import Json, Tool, ToolContext
from tools.registry import register

Method = Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
_OURS = frozenset({"accept-encoding", "connection", "content-length", "host", "transfer-encoding"})
METHODS: list[Method] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]


class HttpRequestArgs(BaseModel):
    model_config = ConfigDict(extra="forbid")

    method: Method = "GET"
    url: str = Field(description="An absolute http or https URL.")
    headers: dict[str, str] = Field(default_factory=dict)
    body: Json = Field(default=None, description="Text, or JSON, which is sent as application/json.")


class HttpRequestParameters(BaseModel):
    """`timeout_s` bounds the whole exchange, `max_bytes` the answer's body; other methods are refused."""

    model_config = ConfigDict(extra="forbid")

    timeout_s: float = Field(default=30, gt=0, le=300)
    max_bytes: int = Field(default=1024 * 1024, ge=1, le=10 * 1024 * 1024)
    allowed_methods: list[Method] = METHODS


class RequestFailed(Exception):
    """There was no answer. The message tells the model why."""


class HttpRequest(Tool):
    """One HTTP exchange, through the URL guard. Redirects are not followed; the model sees where they
    lead."""

    name = "http_request"
    description = "Makes one HTTP request and returns the answer's status, headers and body."
    Args = HttpRequestArgs
    Parameters = HttpRequestParameters

    async def acall(self, args: HttpRequestArgs, context: ToolContext) -> Json:
        parameters = HttpRequestParameters.model_validate(context.parameters)
        if args.method not in parameters.allowed_methods:
            raise RequestFailed(f"The method {args.method} is not allowed here.")
        content, headers = _content(args)
        try:
            answer = await current().guard.fetch(
                args.method,
                args.url,
                headers=headers,
                body=content,
                timeout_s=parameters.timeout_s,
                max_bytes=parameters.max_bytes,
            )
        except (BlockedUrl, AnswerTooLong) as error:
            raise RequestFailed(str(error)) from None
        except httpx2.TimeoutException:
            raise RequestFailed(f"No complete answer came within {parameters.timeout_s:g} seconds.") from None
        except httpx2.HTTPError as error:
            raise RequestFailed(f"The request failed: {error or type(error).__name__}") from None
        return {"status": answer.status, "headers": answer.headers, "body": answer.text}


def _content(args: HttpRequestArgs) -> tuple[bytes | None, dict[str, str]]:
    # The connection is ours: the length, the host and the framing are not the model's to set.
    headers = {name: value for name, value in args.headers.items() if name.lower() not in _OURS}
    if args.body is None:
        return None, headers
    if isinstance(args.body, str):
        return args.body.encode(), headers
    if not any(name.lower() == "content-type" for name in headers):
        headers["content-type"] = "application/json"
    return json.dumps(args.body).encode(), headers


register(HttpRequest())
