"""A real MCP server on a free loopback port: streamable HTTP at `/mcp`, SSE at `/sse`.

Run as a program (`python -m tests.stubs.mcp_server`) it is the same server over standard input and output.
"""

import asyncio
import json
import socket
import threading
from collections.abc import Mapping
from typing import Any

import uvicorn
from mcp.server import Server
from mcp.server.sse import SseServerTransport
from mcp.server.stdio import stdio_server
from mcp_types import CallToolRequestParams, CallToolResult, ListToolsResult, TextContent, Tool
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tests.stubs.server import Asked

_NUMBER = {"type": "number"}
_ADD = Tool(
    name="add",
    description="The sum of two numbers.",
    input_schema={"type": "object", "properties": {"a": _NUMBER, "b": _NUMBER}, "required": ["a", "b"]},
)


async def _list(context: object, params: object) -> ListToolsResult:
    return ListToolsResult(tools=[_ADD])


async def _call(context: object, params: CallToolRequestParams) -> CallToolResult:
    args = params.arguments or {}
    return CallToolResult(content=[TextContent(type="text", text=str(args["a"] + args["b"]))])


def mcp_server() -> Server[Any]:
    """It has one tool, `add`."""
    return Server("stub", version="1.2.3", on_list_tools=_list, on_call_tool=_call)


class McpStub:
    """Use it as a context manager. `asked` has each request with its JSON, or None.

    `pages` are other answers by path, `methods` by what a JSON-RPC request asks for; `mcp` is the real one.
    """

    def __init__(
        self,
        pages: Mapping[str, ASGIApp] | None = None,
        methods: Mapping[str, ASGIApp] | None = None,
        *,
        json_response: bool = False,
    ):
        self.asked: list[Asked] = []
        self._sse = SseServerTransport("/messages")
        self.mcp = mcp_server().streamable_http_app(json_response=json_response)
        self._pages = {"/sse": self._speak_sse, "/messages": self._sse.handle_post_message, **(pages or {})}
        self._methods = dict(methods or {})
        self._socket = socket.create_server(("127.0.0.1", 0))
        config = uvicorn.Config(
            self._answer, interface="asgi3", lifespan="on", log_config=None, timeout_graceful_shutdown=1
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, args=([self._socket],), daemon=True)

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self._socket.getsockname()[1]}"

    def __enter__(self) -> "McpStub":
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._server.should_exit = True
        self._thread.join()
        self._socket.close()

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.mcp(scope, receive, send)
            return
        read = await _body(receive) if scope["method"] == "POST" else b""
        body = json.loads(read) if read else None
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        self.asked.append(Asked(scope["path"], headers, body))
        app = self._pages.get(scope["path"], self.mcp)
        if body is not None:
            app = self._methods.get(body.get("method"), app)
            receive = _again(read, receive)
        await app(scope, receive, send)

    async def _speak_sse(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with self._sse.connect_sse(scope, receive, send) as (received, sent):
            server = mcp_server()
            await server.run(received, sent, server.create_initialization_options())


async def _body(receive: Receive) -> bytes:
    read = b""
    while True:
        part = await receive()
        read += bytes(part.get("body", b""))
        if not part.get("more_body"):
            return read


def _again(body: bytes, receive: Receive) -> Receive:
    whole: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replay() -> Message:
        return whole.pop() if whole else await receive()

    return replay


def answering(body: bytes, *, status: int = 200, kind: bytes = b"application/json", **headers: bytes) -> ASGIApp:
    """A page; underscores in the names of `headers` are written as dashes."""
    sent = [(b"content-type", kind), *((name.replace("_", "-").encode(), value) for name, value in headers.items())]

    async def page(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": status, "headers": sent})
        await send({"type": "http.response.body", "body": body})

    return page


def redirecting(target: str) -> ASGIApp:
    return answering(b"", status=307, location=target.encode())


def failing(code: int, message: str, data: Any = None) -> ASGIApp:
    error = {"code": code, "message": message, "data": data}
    return answering(json.dumps({"jsonrpc": "2.0", "id": None, "error": error}).encode(), status=400)


async def hang(scope: Scope, receive: Receive, send: Send) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _speak_stdio() -> None:
    server = mcp_server()
    async with stdio_server() as (received, sent):
        await server.run(received, sent, server.create_initialization_options())


if __name__ == "__main__":
    asyncio.run(_speak_stdio())
