"""A deployment's own routes and authentication, as langgraph.json names them in tests."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from langgraph_sdk import Auth
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

LIVED: list[str] = []

auth = Auth()


@auth.authenticate
async def known(authorization: str | None) -> dict[str, Any]:
    if authorization != "Bearer ann-token":
        raise Auth.exceptions.HTTPException(status_code=401, detail="no token")
    return {"identity": "ann", "permissions": ["look"]}


@asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[dict[str, Any]]:
    LIVED.append("begun")
    yield {"said": "hello"}
    LIVED.append("ended")


async def hello(request: Request) -> JSONResponse:
    body = await request.body()
    user = request.scope.get("user")
    return JSONResponse(
        {
            "path": request.url.path,
            "said": request.state.said,
            "body": body.decode(),
            "user": user and user.identity,
            "permissions": list(request.auth.scopes) if user else [],
        },
        headers={"x-own": "yes"},
    )


app = Starlette(routes=[Route("/hello/{name}", hello, methods=["GET", "POST"]), Route("/ok", hello)], lifespan=lifespan)


async def broken(scope: Any, receive: Any, send: Any) -> None:
    """An application that does not start."""
    await receive()
    await send({"type": "lifespan.startup.failed", "message": "no database of mine"})


async def plain(scope: Any, receive: Any, send: Any) -> None:
    """An application that knows no lifespan."""
    assert scope["type"] == "http"
    await send({"type": "http.response.start", "status": 418, "headers": []})
    await send({"type": "http.response.body", "body": b"short and stout"})
