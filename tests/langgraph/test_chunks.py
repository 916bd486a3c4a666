"""Messages that come in pieces are put together as LangChain puts its chunks together."""

from typing import Any

import pytest
from langchain_core.messages import AIMessageChunk, message_chunk_to_message
from langchain_core.messages.tool import tool_call_chunk

from protocols.langgraph.streaming.chunks import Growing


def _chunk(content: Any = "", **fields: Any) -> AIMessageChunk:
    return AIMessageChunk(content=content, id="lc_run--1", **fields)


def _args(*pieces: str) -> list[AIMessageChunk]:
    first = tool_call_chunk(name="weather", args="", id="call_1", index=0)
    rest = [tool_call_chunk(name=None, args=piece, id=None, index=0) for piece in pieces]
    return [_chunk(tool_call_chunks=[chunk]) for chunk in (first, *rest)]


@pytest.mark.parametrize(
    "chunks",
    [
        [_chunk("It is"), _chunk(" sunny"), _chunk("", chunk_position="last")],
        _args('{"ci', 'ty": "Ber', 'lin", "days"', ": [1, ", "2", "]}"),
        _args('{"text": "a \\', '"quoted\\" word"}'),
        _args("[1, 2]"),
        [
            _chunk(tool_call_chunks=[tool_call_chunk(name=name, args="{}", id=name, index=index)])
            for index, name in enumerate("ab")
        ],
        [
            _chunk([{"type": "text", "text": "It is", "index": 0}]),
            _chunk([{"type": "text", "text": " sunny", "index": 0}]),
            _chunk([{"type": "text", "text": "So", "index": 1}]),
        ],
        [_chunk("", additional_kwargs={"reasoning": "be"}), _chunk("x", additional_kwargs={"reasoning": "cause"})],
        [
            _chunk("a", usage_metadata={"input_tokens": 3, "output_tokens": 0, "total_tokens": 3}),
            _chunk("b", usage_metadata={"input_tokens": 0, "output_tokens": 2, "total_tokens": 2}),
        ],
        [_chunk("a", response_metadata={"model": "m"}), _chunk("b", response_metadata={"finish_reason": "stop"})],
    ],
)
def test_a_message_so_far_is_langchains(chunks: list[AIMessageChunk]) -> None:
    growing, whole = Growing(chunks[0].model_dump()), chunks[0]
    assert growing.message() == message_chunk_to_message(whole).model_dump()
    for chunk in chunks[1:]:
        growing.add(chunk.model_dump())
        whole = whole + chunk
        assert growing.message() == message_chunk_to_message(whole).model_dump()
