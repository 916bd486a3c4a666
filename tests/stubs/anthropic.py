"""A server that speaks as much of the Messages API as a streaming client needs."""

import json
from collections.abc import Iterator
from typing import Any

from tests.stubs.server import ModelStub, Reply


def anthropic_stub(*replies: Reply) -> ModelStub:
    """Use it as a context manager; the base URL is `f"http://{stub.address}"`."""
    return ModelStub(_pieces, *replies)


def _pieces(reply: Reply) -> Iterator[bytes]:
    # Anthropic tells cached input apart from the other.
    fresh = reply.input_tokens - reply.cached_tokens
    message: dict[str, Any] = {
        "id": "m1",
        "type": "message",
        "role": "assistant",
        "model": "stub",
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": {"input_tokens": fresh, "cache_read_input_tokens": reply.cached_tokens, "output_tokens": 0},
    }
    yield _event("message_start", {"message": message})
    index = 0
    if reply.reasoning:
        thinking = {"type": "thinking", "thinking": "", "signature": ""}
        deltas = [
            {"type": "thinking_delta", "thinking": reply.reasoning},
            {"type": "signature_delta", "signature": "signed"},
        ]
        yield from _block(index, thinking, deltas)
        index += 1
    if reply.text:
        deltas = [{"type": "text_delta", "text": f"{word} "} for word in reply.text.split(" ")]
        yield from _block(index, {"type": "text", "text": ""}, deltas)
        index += 1
    for call_id, name, arguments in reply.tool_calls:
        call = {"type": "tool_use", "id": call_id, "name": name, "input": {}}
        yield from _block(index, call, [{"type": "input_json_delta", "partial_json": arguments}])
        index += 1
    end = {
        "delta": {"stop_reason": "tool_use" if reply.tool_calls else "end_turn", "stop_sequence": None},
        "usage": {
            "input_tokens": fresh,
            "cache_read_input_tokens": reply.cached_tokens,
            "output_tokens": reply.output_tokens,
        },
    }
    yield _event("message_delta", end)
    yield _event("message_stop", {})


def _block(index: int, block: dict[str, Any], deltas: list[dict[str, Any]]) -> Iterator[bytes]:
    yield _event("content_block_start", {"index": index, "content_block": block})
    for delta in deltas:
        yield _event("content_block_delta", {"index": index, "delta": delta})
    yield _event("content_block_stop", {"index": index})


def _event(name: str, data: dict[str, Any]) -> bytes:
    return f"event: {name}\ndata: {json.dumps({'type': name, **data})}\n\n".encode()
