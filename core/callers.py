"""Bodies of callers whom nobody has looked at yet: a form's worth is read, and not much more."""

from collections.abc import Awaitable, Callable

from core.asgi import Message, Receive, Scope

# A login form and nearly every call of the API fit into it.
UNASKED_BYTES = 65_536


def from_callers(scope: Scope, receive: Receive, authenticate: Callable[[Scope], Awaitable[object]]) -> Receive:
    """`receive`, which has `authenticate` look at the request's head before more than `UNASKED_BYTES` are read.

    So it raises what `authenticate` raises for a caller who is not known. Whether they may do what they ask is the
    view's to say, and smaller bodies are the view's alone.
    """
    expected = next((int(value) for name, value in scope["headers"] if name == b"content-length"), 0)
    received, settled = 0, False

    async def read() -> Message:
        nonlocal received, settled
        if not settled and max(expected, received) > UNASKED_BYTES:
            await authenticate(scope)
            settled = True
        message = await receive()
        received += len(message.get("body", b""))
        settled = settled or not message.get("more_body", False)
        return message

    return read
