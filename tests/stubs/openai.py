"""A server that speaks as much of the Chat Completions API as a streaming client needs."""

import json
from collections.abc import Iterator
from typing import Any

from tests.stubs.server import ModelStub, Reply


def openai_stub(*replies: Reply) -> ModelStub:
    """Use it as a context manager; the base URL is `f"http://{stub.address}/v1"`."""
    return ModelStub(chunks, *replies)


def chunks(reply: Reply) -> Iterator[bytes]:
    """The reply as a stream's pieces."""
    for word in reply.reasoning.split(" ") if reply.reasoning else ():
        yield _chunk({"reasoning_content": f"{word} "})
    for word in reply.text.split(" ") if reply.text else ():
        yield _chunk({"content": f"{word} "})
    for index, (call_id, name, arguments) in enumerate(reply.tool_calls):
        function = {"name": name, "arguments": ""}
        yield _chunk({"tool_calls": [{"index": index, "id": call_id, "type": "function", "function": function}]})
        middle = len(arguments) // 2
        for part in (arguments[:middle], arguments[middle:]):
            yield _chunk({"tool_calls": [{"index": index, "function": {"arguments": part}}]})
    yield _chunk({}, finish="tool_calls" if reply.tool_calls else "stop")
    usage = {
        "prompt_tokens": reply.input_tokens,
        "completion_tokens": reply.output_tokens,
        "total_tokens": reply.input_tokens + reply.output_tokens,
        "prompt_tokens_details": {"cached_tokens": reply.cached_tokens},
    }
    yield _event({"id": "c1", "object": "chat.completion.chunk", "choices": [], "usage": usage})
    yield b"data: [DONE]\n\n"


def _chunk(delta: dict[str, Any], finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return _event({"id": "c1", "object": "chat.completion.chunk", "model": "stub", "choices": [choice]})


def _event(data: dict[str, Any]) -> bytes:
    return f"data: {json.dumps(data)}\n\n".encode()
